"""The pictures beside exported masks: a photo as it is, an acquired slice in the window it is shown in."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np

from maskwright.core.errors import ExportError
from maskwright.core.volume import Volume
from maskwright.core.window import Window, default_window, to_uint8
from maskwright.io.datasets.items import Item, slice_name

_COPIED = ("PNG", "JPEG", "BMP", "TIFF", "WEBP")
_EXIF_ORIENTATION = 274


class PictureWriter:
    """Writes pictures of one item; the scan is opened once, and only when its pixels are needed.

    Parameters
    ----------
    item
        What the pictures are of.
    name
        Its unique name in the dataset.
    folder
        Folder the pictures go into.
    """

    def __init__(self, item: Item, *, name: str, folder: Path) -> None:
        self._item = item
        self._name = name
        self._folder = folder
        self._volume = item.volume
        self._window: Window | None = None

    def write(self, index: int) -> str:
        """Write the picture of an acquired slice and return its file name.

        An upright photo is copied byte by byte; a turned one is written upright, because its masks are. Slices are
        8-bit PNG in their default window.

        Raises
        ------
        ScanError
            When the scan cannot be opened any more.
        ExportError
            When it is not the one that was annotated.
        """
        ending = _copied_ending(self._item) if self._item.is_photo else None
        if ending:
            file_name = self._name + ending
            shutil.copyfile(self._item.source, self._folder / file_name)
            return file_name
        file_name = slice_name(self._name, index, self._item.geometry) + ".png"
        _write_png(self._pixels(index), self._folder / file_name)
        return file_name

    def _pixels(self, index: int) -> np.ndarray:
        volume = self._opened()
        pixels = volume.slice_at(0, index)
        if pixels.ndim == 3 or (volume.is_photo and pixels.dtype in (np.uint8, np.uint16)):
            return pixels
        if self._window is None:
            self._window = default_window(volume)
        return to_uint8(pixels, self._window)

    def _opened(self) -> Volume:
        if self._volume is None:
            from maskwright.io.scans import open_scan

            self._volume = open_scan(self._item.source)
        if not self._volume.geometry.is_close(self._item.geometry):
            raise ExportError(
                f"the scan has another grid than when it was annotated: {self._volume.geometry.shape_zyx} against "
                f"{self._item.geometry.shape_zyx}",
                path=self._item.source,
                hint="Put the original file back.",
            )
        return self._volume


def check(folder: Path, sizes_yx: dict[str, tuple[int, int]]) -> None:
    """ExportError unless the folder holds one picture per name, each as large as its mask."""
    from PIL import Image

    found = {path.stem: path for path in folder.iterdir()}
    if found.keys() != sizes_yx.keys():
        raise ExportError(f"the export has {len(found)} pictures instead of {len(sizes_yx)}", path=folder)
    for name, size_yx in sizes_yx.items():
        try:
            with Image.open(found[name]) as image:
                image.load()
                width, height = image.size
        except (OSError, SyntaxError) as error:
            raise ExportError(f"an exported picture cannot be read back ({error})", path=found[name]) from error
        if (height, width) != size_yx:
            raise ExportError(
                f"an exported picture has {width} x {height} pixels, its mask {size_yx[1]} x {size_yx[0]}",
                path=found[name],
            )


def _copied_ending(item: Item) -> str | None:
    """Ending of a photo that may be copied as it is, or None when it is turned or not a plain picture file."""
    from PIL import Image

    path = item.source
    if not path.is_file():
        return None
    try:
        with Image.open(path) as image:
            upright = image.getexif().get(_EXIF_ORIENTATION, 1) in (0, 1)
            plain = image.format in _COPIED and getattr(image, "n_frames", 1) == 1
            fits = image.size[::-1] == item.geometry.shape_zyx[1:]
            ending = {"JPEG": ".jpg"}.get(str(image.format), "." + str(image.format).lower())
    except (OSError, SyntaxError, Image.DecompressionBombError):
        return None
    return (path.suffix or ending) if upright and plain and fits else None


def _write_png(pixels: np.ndarray, path: Path) -> None:
    from PIL import Image

    Image.fromarray(np.ascontiguousarray(pixels)).save(path, format="PNG")
