"""Run lengths as COCO counts them: column by column, background first."""

from __future__ import annotations

import numpy as np

from maskwright.core.errors import AnnotationError


def encode_counts(bits: np.ndarray, *, shape_yx: tuple[int, int], corner_yx: tuple[int, int]) -> list[int]:
    """Run lengths of a slice of which only a bool crop (h, w) at `corner_yx` holds foreground."""
    height, width = shape_yx
    total = height * width
    if bits.size == 0:
        return [total]
    h, w = bits.shape
    columns = np.zeros((w, h + 2), np.int8)
    columns[:, 1:-1] = bits.T
    column, row = np.nonzero(np.diff(columns, axis=1))
    edges = (column + corner_yx[1]) * height + row + corner_yx[0]  # start, end, start, end, …
    joined = np.flatnonzero(np.diff(edges) == 0)  # a run that goes on at the top of the next column
    edges = np.delete(edges, np.concatenate([joined, joined + 1]))
    counts = np.diff(np.concatenate([[0], edges, [total]]))
    return (counts[:-1] if counts[-1] == 0 else counts).tolist()


def decode_counts(counts: list[int], *, shape_yx: tuple[int, int]) -> np.ndarray:
    """Slice (Y, X) bool from run lengths.

    Raises
    ------
    AnnotationError
        When a run is negative or the runs do not add up to the size of the slice.
    """
    height, width = shape_yx
    runs = np.asarray(counts, np.int64).ravel()
    if (runs < 0).any() or int(runs.sum()) != height * width:
        raise AnnotationError(
            f"run lengths add up to {int(runs.sum())} pixels where the image has {height} x {width} = {height * width}",
            hint="The mask belongs to another image, or the file is damaged.",
        )
    values = np.arange(runs.size) % 2 == 1
    return np.repeat(values, runs).reshape(width, height).T


def decode_string(text: str) -> list[int]:
    """Run lengths from COCO's compressed string: 5 bits a character, low bits first, differences to two runs before.

    Raises
    ------
    AnnotationError
        When the string is cut short or holds other characters.
    """
    counts: list[int] = []
    value = shift = 0
    for character in text:
        code = ord(character) - 48
        if not 0 <= code < 64 or shift > 60:
            raise AnnotationError("a run-length string is damaged")
        value |= (code & 31) << shift
        shift += 5
        if code & 32:
            continue
        if code & 16:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise AnnotationError("a run-length string is cut short")
    return counts
