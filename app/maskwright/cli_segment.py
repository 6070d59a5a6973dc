"""`maskwright segment`: one picture and some prompts in, one mask out."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.cli_verb import Verb, add_json, add_model, add_store, load_model, print_json
from maskwright.core.errors import MaskwrightError

if TYPE_CHECKING:
    from maskwright.core.features import Features
    from maskwright.core.prompts import Prompt, Prompts
    from maskwright.core.volume import View, Volume
    from maskwright.inference import Segmenter
    from maskwright.inference.closer import CropEncoder

EXAMPLES = """\
  maskwright segment photo.jpg --point 300,180 --out mask.png
  maskwright segment photo.jpg --point 300,180 --not 120,350 --out mask.png
  maskwright segment scan.nii.gz --slice 94 --box 70,90,104,146 --out mask.png --json

Coordinates are pixels of the slice: x to the right, y down, 0,0 the centre of the first pixel. A box is half-open.
The mask is an 8-bit PNG of the size of the slice, 255 on the object.
"""


class _Prompt(argparse.Action):
    """Collects the prompts of all options in one list, in the order of the command line."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        namespace.prompts = [*namespace.prompts, values]


def point(text: str) -> Prompt:
    """A positive click from `x,y`."""
    from maskwright.core.prompts import Point

    x, y = numbers(text, 2, "x,y")
    return Point(x, y)


def background(text: str) -> Prompt:
    """A negative click from `x,y`."""
    from maskwright.core.prompts import Point

    x, y = numbers(text, 2, "x,y")
    return Point(x, y, positive=False)


def box(text: str) -> Prompt:
    """A box from `x0,y0,x1,y1`."""
    from maskwright.core.prompts import Box

    x0, y0, x1, y1 = numbers(text, 4, "x0,y0,x1,y1")
    found = Box(x0, y0, x1, y1)
    if found.x0 == found.x1 or found.y0 == found.y1:
        raise argparse.ArgumentTypeError(f"the box {text} has no area")
    return found


def words(text: str) -> Prompt:
    """A text prompt."""
    from maskwright.core.prompts import Text

    if not text.strip():
        raise argparse.ArgumentTypeError("the text is empty")
    return Text(text.strip())


def numbers(text: str, count: int, form: str) -> list[float]:
    """`count` finite numbers between commas, for argparse."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if len(values) != count or not all(abs(value) < 1e9 for value in values):
        raise argparse.ArgumentTypeError(f"{text!r} is not {form}")
    return values


def png_path(text: str) -> Path:
    """A path that ends in .png, for argparse."""
    if not text.lower().endswith(".png"):
        raise argparse.ArgumentTypeError(f"{text!r} does not end in .png")
    return Path(text)


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.set_defaults(prompts=[])
    parser.add_argument("image", type=Path, metavar="IMAGE", help="a photo, a volume, or a folder of DICOM slices")
    parser.add_argument("--point", action=_Prompt, type=point, metavar="X,Y", help="this belongs to the object")
    parser.add_argument("--not", action=_Prompt, type=background, metavar="X,Y", help="this does not")
    parser.add_argument("--box", action=_Prompt, type=box, metavar="X0,Y0,X1,Y1", help="the object is in here")
    parser.add_argument("--text", action=_Prompt, type=words, metavar="WORDS", help="what to look for")
    parser.add_argument("--slice", type=int, metavar="N", help="slice of a volume, from 0 (the middle if not given)")
    parser.add_argument("--out", type=png_path, required=True, metavar="FILE", help="where the mask goes, a .png")
    add_model(parser)
    add_store(parser)
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    from maskwright.core.prompts import Prompts, prompt_to_json
    from maskwright.io.png_file import write_png
    from maskwright.io.scans import open_scan

    if not arguments.prompts:
        print("maskwright segment: error: give at least one --point, --box or --text", file=sys.stderr)
        return 2
    prompts = Prompts(tuple(arguments.prompts))
    volume = open_scan(arguments.image)
    view = _view(volume, arguments.slice)
    _check_inside(volume, view, prompts)
    segmenter = load_model(arguments)
    begun = time.perf_counter()
    features, stored = _features(volume, view, segmenter, arguments.store)
    features = features.with_crops(_crops(volume, view, segmenter))
    encoded = time.perf_counter()
    answer = segmenter.segment(features, prompts)
    segmented = time.perf_counter()
    write_png(arguments.out, answer.mask.astype("uint8") * 255)
    area = int(answer.mask.sum())
    nothing = answer.not_found_sentence("picture" if volume.is_photo else "slice")
    if arguments.json:
        print_json(
            {
                "image": str(arguments.image),
                "slice": view.index,
                "size": [answer.mask.shape[1], answer.mask.shape[0]],
                "model": segmenter.card.id,
                "prompts": [prompt_to_json(prompt) for prompt in prompts],
                "mask": str(arguments.out),
                "area_px": area,
                "found": area > 0,
                "says": nothing,
                "score": round(float(answer.score), 4),
                "features_from_store": stored,
                "features_ms": round(1e3 * (encoded - begun), 1),
                "segment_ms": round(1e3 * (segmented - encoded), 1),
            }
        )
    else:
        how = "from the store" if stored else f"encoded in {1e3 * (encoded - begun):.0f} ms"
        if nothing:
            print(nothing, "The mask is empty.")
        print(f"{arguments.out}: {area} pixels, predicted IoU {answer.score:.2f}; {how}, segmented in "
              f"{1e3 * (segmented - encoded):.0f} ms")  # fmt: skip
    return 0


def _view(volume: Volume, index: int | None) -> View:
    from maskwright.core.volume import View

    if index is None:
        return volume.middle()
    if not 0 <= index < volume.n_slices():
        raise MaskwrightError(
            f"there is no slice {index}", path=volume.source, hint=f"It has the slices 0 to {volume.n_slices() - 1}."
        )
    return View(0, index)


def _check_inside(volume: Volume, view: View, prompts: Prompts) -> None:
    from maskwright.core.prompts import Box, Point

    height, width = volume.slice_shape(view.axis)
    hint = f"The picture is {width} pixels wide and {height} high."
    for prompt in prompts:
        if isinstance(prompt, Point) and not (-0.5 <= prompt.x < width - 0.5 and -0.5 <= prompt.y < height - 0.5):
            raise MaskwrightError(f"the click {prompt.x:g},{prompt.y:g} lies outside", path=volume.source, hint=hint)
        if isinstance(prompt, Box) and (min(prompt.x1, prompt.y1) <= 0 or prompt.x0 >= width or prompt.y0 >= height):
            where = f"{prompt.x0:g},{prompt.y0:g},{prompt.x1:g},{prompt.y1:g}"
            raise MaskwrightError(f"the box {where} lies outside", path=volume.source, hint=hint)


def _features(volume: Volume, view: View, segmenter: Segmenter, root: Path | None) -> tuple[Features, bool]:
    """Features of a slice, and whether the store in `root` had them; what it lacked is added to it."""
    from maskwright.core.fingerprint import fingerprint
    from maskwright.core.preprocess import intensity_for
    from maskwright.session.precompute import encode_slice, open_store

    intensity = intensity_for(volume.voxels, volume.modality)
    if root is None:
        return encode_slice(volume, view, segmenter=segmenter, intensity=intensity), False
    store = open_store(volume, fingerprint(volume), segmenter=segmenter, root=root, intensity=intensity)
    if store.ready(view):
        return store.read(view), True
    features = encode_slice(volume, view, segmenter=segmenter, intensity=intensity)
    store.write(view, features)
    return features, False


def _crops(volume: Volume, view: View, segmenter: Segmenter) -> CropEncoder:
    """Encodes the part of a slice that a small object fills: the mask does not depend on what the store has."""
    from maskwright.core.preprocess import intensity_for
    from maskwright.inference.closer import CropEncoder
    from maskwright.session.precompute import encode_slice

    intensity = intensity_for(volume.voxels, volume.modality)
    return CropEncoder(lambda box: encode_slice(volume, view, segmenter=segmenter, intensity=intensity, box=box))


VERB = Verb("segment", "write the mask of one object in a picture", EXAMPLES, _arguments, _run)
