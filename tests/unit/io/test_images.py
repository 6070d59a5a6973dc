"""Photos of every depth and orientation, read pixel for pixel, and broken ones refused."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from maskwright.core.errors import ScanError
from maskwright.core.geometry import Geometry
from maskwright.io.scans import open_scan

GREY = np.arange(24, dtype=np.uint8).reshape(4, 6) * 10
DEEP = np.arange(24, dtype=np.uint16).reshape(4, 6) * 2700 + 3
LOSSLESS = {"jpg": {"quality": 100, "subsampling": 0}}  # as nearly as JPEG can be
RGB = np.random.default_rng(0).integers(0, 256, (4, 6, 3)).astype(np.uint8)


def saved(path, image: Image.Image, **options):
    image.save(path, **options)
    return path


@pytest.mark.parametrize("ending", ["png", "tif", "bmp"])
@pytest.mark.parametrize("pixels", [GREY, RGB], ids=["grey", "rgb"])
def test_8_bit_pictures_pixel_for_pixel(tmp_path, ending, pixels):
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(pixels))
    volume = open_scan(path)
    np.testing.assert_array_equal(volume.voxels, pixels[None])
    assert (volume.voxels.dtype, volume.modality, volume.source) == (np.uint8, "photo", path)
    assert volume.geometry.is_close(Geometry.photo(4, 6))


@pytest.mark.parametrize("ending", ["png", "tif"])
def test_16_bit_grey_keeps_16_bits(tmp_path, ending):
    voxels = open_scan(saved(tmp_path / f"a.{ending}", Image.fromarray(DEEP))).voxels
    np.testing.assert_array_equal(voxels, DEEP[None])
    assert voxels.dtype == np.uint16


@pytest.mark.parametrize("pixels", [DEEP.astype(">u2"), DEEP.astype(np.int16) - 99, DEEP.astype(np.float32) / 7],
                         ids=["big-endian", "signed", "float"])  # fmt: skip
def test_tiff_of_other_numbers(tmp_path, pixels):
    tifffile.imwrite(tmp_path / "a.tif", pixels, byteorder=">" if pixels.dtype.byteorder == ">" else "<")
    voxels = open_scan(tmp_path / "a.tif").voxels
    np.testing.assert_array_equal(voxels, pixels[None])
    assert voxels.dtype == pixels.dtype.newbyteorder("=")


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_deflate", "packbits", "tiff_adobe_deflate"])
def test_compressed_tiff(tmp_path, compression):
    path = saved(tmp_path / "a.tif", Image.fromarray(DEEP), compression=compression)
    np.testing.assert_array_equal(open_scan(path).voxels, DEEP[None])


@pytest.mark.parametrize("pages", [np.stack([DEEP, DEEP + 1, DEEP + 2]), np.stack([RGB, 255 - RGB])], ids=["16", "rgb"])
def test_a_tiff_with_pages_is_a_volume(tmp_path, pages):
    tifffile.imwrite(tmp_path / "a.tif", pages, photometric="rgb" if pages.ndim == 4 else "minisblack")
    volume = open_scan(tmp_path / "a.tif")
    np.testing.assert_array_equal(volume.voxels, pages)
    assert volume.modality == ""
    assert not volume.is_photo
    assert volume.geometry.shape_zyx == pages.shape[:3]


def test_the_small_copies_in_a_tiff_are_not_slices(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as writer:
        writer.write(DEEP)
        writer.write(DEEP[::2, ::2], subfiletype=1)
    np.testing.assert_array_equal(open_scan(tmp_path / "a.tif").voxels, DEEP[None])


def test_tiff_pages_of_different_sizes_or_kinds_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "sizes.tif") as writer:
        writer.write(DEEP)
        writer.write(DEEP[:, :3])
    with pytest.raises(ScanError, match=r"different sizes \(6 x 4 and 3 x 4 pixels\): .*sizes\.tif"):
        open_scan(tmp_path / "sizes.tif")
    with tifffile.TiffWriter(tmp_path / "kinds.tif") as writer:
        writer.write(GREY, photometric="minisblack")
        writer.write(RGB, photometric="rgb")
    with pytest.raises(ScanError, match="some pages of this TIFF are in colour and some are grey"):
        open_scan(tmp_path / "kinds.tif")


def test_alpha_is_dropped(tmp_path):
    rgba = np.dstack([RGB, np.full(GREY.shape, 100, np.uint8)])
    np.testing.assert_array_equal(open_scan(saved(tmp_path / "a.png", Image.fromarray(rgba))).voxels, RGB[None])
    grey_alpha = Image.merge("LA", [Image.fromarray(GREY), Image.fromarray(GREY // 2)])
    np.testing.assert_array_equal(open_scan(saved(tmp_path / "b.png", grey_alpha)).voxels, GREY[None])


@pytest.mark.parametrize("transparency", [None, 0, bytes([0, 128, 255])])
def test_a_palette_becomes_its_colours(tmp_path, transparency):
    indexed = Image.fromarray(np.array([[0, 1, 2], [2, 1, 0]], np.uint8)).convert("P")
    indexed.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    options = {} if transparency is None else {"transparency": transparency}
    voxels = open_scan(saved(tmp_path / "a.png", indexed, **options)).voxels
    np.testing.assert_array_equal(voxels[0, 0], [[10, 20, 30], [40, 50, 60], [70, 80, 90]])


def test_black_and_white_is_0_and_255(tmp_path):
    bits = np.array([[0, 255, 255], [255, 0, 0]], np.uint8)
    np.testing.assert_array_equal(
        open_scan(saved(tmp_path / "a.png", Image.fromarray(bits).convert("1"))).voxels, bits[None]
    )


def test_jpeg_grey_colour_and_cmyk_decode_as_pillow_does(tmp_path):
    smooth = np.linspace(0, 255, 32 * 48).reshape(32, 48).astype(np.uint8)
    for name, image in {
        "grey": Image.fromarray(smooth),
        "rgb": Image.fromarray(np.dstack([smooth, smooth.T.reshape(32, 48), smooth[::-1]])),
        "cmyk": Image.fromarray(smooth).convert("CMYK"),
    }.items():
        path = saved(tmp_path / f"{name}.jpg", image, quality=95)
        with Image.open(path) as direct:
            expected = np.asarray(direct if name == "grey" else direct.convert("RGB"))
        np.testing.assert_array_equal(open_scan(path).voxels, expected[None])


def test_webp(tmp_path):
    path = saved(tmp_path / "a.webp", Image.fromarray(RGB), lossless=True)
    np.testing.assert_array_equal(open_scan(path).voxels, RGB[None])


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "jpg", "tif"])
def test_the_camera_may_be_held_any_way(tmp_path, ending, orientation):
    pixels = np.zeros((16, 24, 3), np.uint8)  # four flat corners that survive JPEG
    pixels[:8, :8], pixels[:8, 16:], pixels[8:, :8] = (255, 0, 0), (0, 255, 0), (0, 0, 255)
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(tmp_path / f"a.{ending}", Image.fromarray(pixels), exif=exif, **LOSSLESS.get(ending, {}))
    upright = np.asarray(ImageOps.exif_transpose(_tagged(pixels, orientation)))
    voxels = open_scan(path).voxels
    assert voxels.shape[1:3] == ((24, 16) if orientation >= 5 else (16, 24))
    np.testing.assert_allclose(voxels[0].astype(int), upright.astype(int), atol=3)


def _tagged(pixels: np.ndarray, orientation: int) -> Image.Image:
    image = Image.fromarray(pixels)
    image.getexif()[274] = orientation
    return image


@pytest.mark.parametrize("orientation", [3, 6])
def test_16_bit_pictures_are_turned_too(tmp_path, orientation):
    exif = Image.Exif()
    exif[274] = orientation
    path = saved(tmp_path / "a.png", Image.fromarray(DEEP), exif=exif)
    np.testing.assert_array_equal(open_scan(path).voxels[0], np.rot90(DEEP, {3: 2, 6: -1}[orientation]))


@pytest.mark.parametrize("ending", ["png", "jpg", "tif", "bmp", "webp"])
def test_a_file_that_was_cut_off_is_refused(tmp_path, ending, capfd):
    noise = np.random.default_rng(1).integers(0, 256, (64, 64, 3)).astype(np.uint8)
    path = saved(tmp_path / f"bild ä.{ending}", Image.fromarray(noise))
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(ScanError, match=rf"file is damaged or incomplete: .*bild ä\.{ending}\. Copy it again from"):
        open_scan(path)
    assert capfd.readouterr() == ("", "")


def _png_header(width: int, height: int) -> bytes:
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


def test_a_giant_png_is_refused_on_its_header(tmp_path):
    import tracemalloc

    path = tmp_path / "giant.png"
    path.write_bytes(_png_header(30_000, 30_000))
    open_scan(saved(tmp_path / "first.png", Image.fromarray(GREY)))  # the imports do not count
    tracemalloc.start()
    with pytest.raises(ScanError) as caught:
        open_scan(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert str(caught.value) == (
        f"the picture is too large: 30,000 x 30,000 pixels, the limit is 268 million: {path}. "
        "Crop it or scale it down, and open the smaller copy."
    )
    assert peak < 1_000_000


def test_a_giant_tiff_or_stack_is_refused_on_its_header(tmp_path, monkeypatch):
    from maskwright.io import checks

    tifffile.imwrite(tmp_path / "a.tif", np.zeros((5, 4, 6), np.uint8), photometric="minisblack")
    monkeypatch.setattr(checks, "MAX_PIXELS", 4 * 6 - 1)
    with pytest.raises(ScanError, match="the picture is too large: 6 x 4 pixels"):
        open_scan(tmp_path / "a.tif")
    monkeypatch.setattr(checks, "MAX_PIXELS", 4 * 6)
    monkeypatch.setattr(checks, "MAX_VOXELS", 5 * 4 * 6 - 1)
    with pytest.raises(ScanError, match="the volume is too large: 6 x 4 x 5 voxels"):
        open_scan(tmp_path / "a.tif")
    monkeypatch.setattr(checks, "MAX_VOXELS", 5 * 4 * 6)
    assert open_scan(tmp_path / "a.tif").n_slices() == 5


def test_pixels_without_a_value_are_counted(tmp_path):
    pixels = np.ones((4, 6), np.float32)
    pixels[0, 0], pixels[1, 1] = np.nan, np.inf
    tifffile.imwrite(tmp_path / "a.tif", pixels)
    with pytest.raises(ScanError, match=r"2 of 24 voxels have no value \(NaN or infinite\): .*a\.tif\. Replace them"):
        open_scan(tmp_path / "a.tif")


def test_real_photos_decode_as_opencv_does(shared_data):
    import cv2

    files = sorted((shared_data / "val/berkeley/images").iterdir())[:5]
    files += sorted((shared_data / "val/medical_ct_kidney_kits19/images").iterdir())[:2]
    assert len(files) == 7
    for file in files:
        ours = open_scan(file).voxels[0]
        theirs = cv2.imread(str(file), cv2.IMREAD_COLOR_RGB if ours.ndim == 3 else cv2.IMREAD_UNCHANGED)
        assert theirs is not None
        difference = np.abs(ours.astype(int) - theirs.astype(int))
        assert difference.max() <= 3  # two JPEG decoders may round differently
        assert difference.mean() < 0.2
