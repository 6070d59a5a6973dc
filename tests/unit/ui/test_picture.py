from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PySide6.QtCore import QRectF
from PySide6.QtGui import QColor, QImage, QPainter

from maskwright.core.mask import Mask
from maskwright.core.prompts import Box, Point
from maskwright.ui.layers import LAYERS, Outline, PreviewShape, Scene, edge_boxes, paint
from maskwright.ui.picture import Picture, alpha_of, outline_of, overlay_of, overlay_of_mask
from maskwright.ui.view_transform import ViewTransform

BLUE = (0, 114, 178)
FILL_ALPHA = 73


def test_opacity_becomes_alpha_and_the_current_object_stands_out():
    assert alpha_of(0.44, is_current=False) == FILL_ALPHA
    assert alpha_of(0.44, is_current=True) == 112
    assert alpha_of(1.0, is_current=True) == 230  # never hides the picture


def square(shape=(20, 30), box=(5, 6, 10, 16)) -> Mask:
    array = np.zeros(shape, bool)
    array[box[0] : box[2], box[1] : box[3]] = True
    return Mask.from_array(array)


def painted(scene: Scene, size: tuple[int, int] = (120, 80), dirty: QRectF | None = None) -> QImage:
    image = QImage(size[0], size[1], QImage.Format.Format_RGB32)
    image.fill(QColor(1, 2, 3))
    painter = QPainter(image)
    paint(painter, scene, dirty or QRectF(0, 0, *size))
    painter.end()
    return image


def rgb(image: QImage, x: int, y: int) -> tuple[int, int, int]:
    color = image.pixelColor(x, y)
    return color.red(), color.green(), color.blue()


def test_a_picture_shows_its_pixels(qt):
    pixels = np.arange(48, dtype=np.uint8).reshape(6, 8) * 5
    picture = Picture.from_pixels(pixels)
    scene = Scene(ViewTransform(4.0, 2.0, 2.0), QColor(9, 9, 9), picture=picture)
    image = painted(scene, (40, 30))
    for y in range(6):
        for x in range(8):
            assert rgb(image, 4 * x + 2, 4 * y + 2) == (int(pixels[y, x]),) * 3
    assert rgb(image, 36, 10) == (9, 9, 9)


def test_colours_arrive_in_their_order(qt):
    pixels = np.zeros((4, 5, 3), np.uint8)
    pixels[..., 0], pixels[..., 1], pixels[..., 2] = 200, 100, 50
    picture = Picture.from_pixels(pixels)
    assert rgb(picture.levels[0][0], 2, 2) == (200, 100, 50)


def test_a_large_picture_keeps_halved_copies_with_means(qt):
    pixels = np.zeros((1100, 1300), np.uint8)
    pixels[0::2] = 100
    picture = Picture.from_pixels(pixels)
    assert [level.width() for level, _ in picture.levels] == [1300, 650, 325]
    assert rgb(picture.levels[1][0], 10, 10) == (50, 50, 50)
    assert picture.level_for(1.0).width() == 1300
    assert picture.level_for(0.49).width() == 650
    assert picture.level_for(0.2).width() == 325


def test_other_pixels_are_refused(qt):
    with pytest.raises(ValueError, match="uint8"):
        Picture.from_pixels(np.zeros((4, 4), np.int16))


def test_an_overlay_has_one_index_a_colour_and_the_last_object_on_top(qt):
    low, high = square(), square(box=(8, 6, 14, 16))
    overlay = overlay_of((20, 30), [(low, (255, 0, 0), False), (high, (0, 255, 0), False)], opacity=0.44)
    assert overlay is not None
    assert overlay.image.colorCount() == 3
    assert QColor.fromRgba(overlay.image.color(1)).alpha() == FILL_ALPHA
    assert overlay.indices[6, 7] == 1
    assert overlay.indices[9, 7] == 2
    assert overlay.indices[0, 0] == 0
    assert overlay_of((20, 30), []) is None


def test_more_colours_than_indices_do_not_fail(qt):
    masks = [(square(), (i % 256, i // 256, 7), False) for i in range(300)]
    overlay = overlay_of((20, 30), masks)
    assert overlay is not None
    assert overlay.image.colorCount() == 256


def test_the_overlay_of_a_mask_covers_just_its_box(qt):
    overlay = overlay_of_mask(square(), BLUE)
    assert (overlay.image.width(), overlay.image.height()) == (10, 5)
    assert overlay.indices[:5, :10].all()


def test_the_outline_runs_along_the_pixel_edges(qt):
    assert outline_of(square()).boundingRect() == QRectF(6, 5, 10, 5)


def test_the_outline_goes_round_holes_and_along_every_edge_once(qt):
    array = np.ones((6, 7), bool)
    array[2:4, 3] = False
    path = outline_of(Mask.from_array(array))
    length = sum(
        abs(a.x - b.x) + abs(a.y - b.y)
        for a, b in ((path.elementAt(i), path.elementAt(i + 1)) for i in range(0, path.elementCount(), 2))
    )
    assert length == 2 * (6 + 7) + 2 * (2 + 1)
    assert path.elementCount() == 2 * 8  # four sides outside, four round the hole
    assert outline_of(Mask.empty((5, 5))).isEmpty()


def test_fill_and_contour_lie_on_the_mask(qt):
    picture = Picture.from_pixels(np.zeros((20, 30), np.uint8))
    mask = square()
    scene = Scene(
        ViewTransform(4.0, 2.0, 2.0),
        QColor(0, 0, 0),
        picture=picture,
        masks=overlay_of((20, 30), [(mask, (255, 0, 0), False)], opacity=0.44),
        outlines=(Outline(outline_of(mask), (0, 0, 255)),),
    )
    image = painted(scene)
    assert rgb(image, 4 * 10 + 2, 4 * 7 + 2) == (FILL_ALPHA, 0, 0)  # inside: the fill over black
    assert rgb(image, 4 * 20 + 2, 4 * 7 + 2) == (0, 0, 0)  # outside: nothing
    edge = rgb(image, 4 * 6, 4 * 7 + 2)
    assert edge[2] > 150  # on the left edge: the contour


def test_hidden_masks_leave_the_picture_alone(qt):
    picture = Picture.from_pixels(np.full((20, 30), 50, np.uint8))
    mask = square()
    bare = Scene(ViewTransform(4.0, 2.0, 2.0), QColor(0, 0, 0), picture=picture)
    hidden = Scene(
        ViewTransform(4.0, 2.0, 2.0),
        QColor(0, 0, 0),
        picture=picture,
        masks=overlay_of((20, 30), [(mask, (255, 0, 0), True)]),
        outlines=(Outline(outline_of(mask), (0, 0, 255)),),
        show_masks=False,
    )
    assert painted(bare) == painted(hidden)


def test_positive_and_negative_dots_differ_in_colour_and_in_sign(qt):
    picture = Picture.from_pixels(np.zeros((20, 30), np.uint8))
    images = []
    for positive in (True, False):
        scene = Scene(
            ViewTransform(4.0, 2.0, 2.0),
            QColor(0, 0, 0),
            picture=picture,
            prompts=(Point(10, 10, positive=positive),),
        )
        images.append(painted(scene))
    x, y = 4 * 10 + 2, 4 * 10 + 2
    assert min(rgb(images[0], x, y)) > 230 and min(rgb(images[1], x, y)) > 230  # the bar of both signs
    assert min(rgb(images[0], x, y - 2)) > 230  # only the plus has an upright
    assert min(rgb(images[1], x, y - 2)) < 150
    plus, minus = rgb(images[0], x + 4, y - 2), rgb(images[1], x + 4, y - 2)
    assert plus[1] > plus[0] and minus[0] > minus[1]


def test_a_box_is_drawn_where_its_pixels_end(qt):
    picture = Picture.from_pixels(np.zeros((20, 30), np.uint8))
    scene = Scene(ViewTransform(4.0, 2.0, 2.0), QColor(0, 0, 0), picture=picture, drag_box=Box(5, 5, 15, 12))
    image = painted(scene)
    assert min(rgb(image, 4 * 5, 4 * 8)) > 100  # left edge of pixel 5
    assert min(rgb(image, 4 * 15, 4 * 8)) > 100  # right edge of pixel 14
    assert rgb(image, 4 * 10, 4 * 8) == (0, 0, 0)


@pytest.mark.parametrize(("flip_x", "flip_y"), [(True, False), (False, True), (True, True)])
def test_a_mirrored_scene_is_the_mirror_image_of_the_scene(qt, flip_x, flip_y):
    """Picture, fill, contours, preview and boxes, against the same scene made from mirrored arrays."""
    rng = np.random.default_rng(3)
    pixels = rng.integers(0, 255, (20, 30)).astype(np.uint8)
    one, two = square().to_array(), square(box=(1, 20, 7, 29)).to_array()
    turn = (slice(None, None, -1 if flip_y else 1), slice(None, None, -1 if flip_x else 1))

    def scene(transform: ViewTransform, part: tuple[slice, slice], drag: Box) -> Scene:
        masks = [Mask.from_array(np.ascontiguousarray(array[part])) for array in (one, two)]
        y0, x0, y1, x1 = masks[1].box
        preview = PreviewShape((x0, y0, x1, y1), overlay_of_mask(masks[1], BLUE), outline_of(masks[1]), BLUE)
        return Scene(
            transform,
            QColor(0, 0, 0),
            picture=Picture.from_pixels(np.ascontiguousarray(pixels[part])),
            masks=overlay_of((20, 30), [(masks[0], (255, 0, 0), False)]),
            outlines=(Outline(outline_of(masks[0]), (0, 0, 255)),),
            preview=preview,
            drag_box=drag,
        )

    size = (140, 100)
    there = ViewTransform(flip_x=flip_x, flip_y=flip_y).fitted((20, 30), size, margin=10)
    plain = ViewTransform.fit((20, 30), size, margin=10)
    as_is, drag = (slice(None), slice(None)), Box(3, 11, 8, 18)
    turned_drag = Box(22 if flip_x else 3, 2 if flip_y else 11, 27 if flip_x else 8, 9 if flip_y else 18)
    found = painted(scene(there, as_is, drag), size)
    assert found == painted(scene(plain, turn, turned_drag), size)
    assert found != painted(scene(plain, as_is, drag), size)


def test_the_top_left_of_a_mirrored_picture_is_the_last_pixel(qt):
    pixels = (np.arange(48, dtype=np.uint8) * 5).reshape(6, 8)
    there = ViewTransform(flip_x=True, flip_y=True).fitted((6, 8), (40, 32), margin=4)
    scene = Scene(there, QColor(9, 9, 9), picture=Picture.from_pixels(pixels))
    image = painted(scene, (40, 32))
    assert rgb(image, 4, 4) == (int(pixels[5, 7]),) * 3
    assert rgb(image, 35, 4) == (int(pixels[5, 0]),) * 3
    assert rgb(image, 35, 27) == (int(pixels[0, 0]),) * 3
    assert rgb(image, 3, 4) == (9, 9, 9)


def test_a_part_of_a_mirrored_scene_is_repainted_as_it_was(qt):
    pixels = np.random.default_rng(4).integers(0, 255, (20, 30)).astype(np.uint8)
    there = ViewTransform(flip_x=True, flip_y=True).fitted((20, 30), (137, 91), margin=5)
    scene = Scene(there, QColor(0, 0, 0), picture=Picture.from_pixels(pixels))
    whole = painted(scene, (137, 91))
    part = painted(scene, (137, 91), QRectF(50, 30, 25, 20))
    assert rgb(part, 10, 10) == (1, 2, 3)  # not touched
    for y in range(30, 50):
        for x in range(50, 75):
            assert rgb(part, x, y) == rgb(whole, x, y)


def test_letters_stand_at_the_edges_of_what_is_seen(qt):
    picture = Picture.from_pixels(np.zeros((20, 30), np.uint8))
    there = ViewTransform.fit((20, 30), (200.0, 120.0), margin=16)
    plain = Scene(there, QColor(0, 0, 0), picture=picture, widget_wh=(200.0, 120.0))
    lettered = replace(plain, edges=("R", "A", "L", "P"))
    assert painted(plain, (200, 120)) == painted(replace(plain, edges=()), (200, 120))
    left, top, right, bottom = edge_boxes(lettered)
    assert top == QRectF(92, 0, 16, 16) and bottom == QRectF(92, 104, 16, 16)  # in the margin
    assert left.right() == there.image_rect((20, 30)).left() and right.left() == there.image_rect((20, 30)).right()
    bare, image = painted(plain, (200, 120)), painted(lettered, (200, 120))
    for box in (left, top, right, bottom):
        place = box.toAlignedRect()
        assert image.copy(place) != bare.copy(place)
    inside = there.image_rect((20, 30)).toAlignedRect()
    assert image.copy(inside) == bare.copy(inside)  # the slice itself stays free
    close = replace(lettered, transform=there.zoomed(8, (100.0, 60.0)))
    widget = QRectF(0, 0, 200, 120)
    assert all(widget.contains(box) for box in edge_boxes(close))


def test_layers_paint_the_ground_first_and_the_prompts_over_the_masks(qt):
    names = [layer.__name__ for layer in LAYERS]
    assert names[:3] == ["paint_background", "paint_picture", "paint_masks"]
    assert names.index("paint_preview") < names.index("paint_prompts")
