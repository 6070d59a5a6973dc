"""Groups the DICOM files of a folder into scans: splits, sorts by position, and finds what is missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np

from maskwright.core.errors import ScanError
from maskwright.core.geometry import Geometry
from maskwright.io.dicom_header import PASS_TAGS, NotAScan, Slice, read_slices

_SAME_MM = 0.01  # two slices closer than this lie at one position
_SAME_COSINE = 0.01  # and two that are tilted against each other by less than half a degree are parallel


def group_series(paths: Iterable[Path]) -> tuple[list[list[Slice]], list[ScanError]]:
    """Read the headers of DICOM files and group the images into scans.

    One scan is what one series shows in one orientation and in one pass (time point, echo, b-value; `PASS_TAGS` of
    `dicom_header`); pictures without a position and files with several frames each stand alone. Copies of the same
    image count once; reports, segmentations and the like are left out.

    Returns
    -------
    Scans, in the order of series number and first file, each sorted by position along its normal; and an error
    for every file whose header cannot be read.
    """
    stacks: list[list[Slice]] = []
    seen: set[str] = set()
    broken: list[ScanError] = []
    for path in sorted(paths):
        try:
            slices = read_slices(path)
        except NotAScan:
            continue
        except ScanError as error:
            broken.append(error)
            continue
        first = slices[0]
        if first.instance and first.instance in seen:
            continue
        seen.add(first.instance)
        stack = next((s for s in stacks if _belong_together(s[0], first)), None)
        if stack is None:
            stacks.append(list(slices))
        else:
            stack.append(first)
    scans = [
        one_pass
        for stack in stacks
        for one_pass in (_passes(stack) if stack[0].n_frames == 1 else [_by_position(stack)])
    ]
    return sorted(scans, key=lambda scan: (scan[0].series_number, min(s.path for s in scan))), broken


def stack_geometry(slices: Sequence[Slice]) -> Geometry:
    """Return the grid of sorted slices, after checking that they make one.

    Raises
    ------
    ScanError
        If slices differ in size or pixel spacing, share a position, or are missing: the gap and its place are named.
    """
    first, last = slices[0], slices[-1]
    _refuse_mixed(slices)
    affine = np.eye(4)
    row_column = np.array(first.orientation or (1, 0, 0, 0, 1, 0), dtype=np.float64)
    affine[:3, 0] = row_column[:3] * first.spacing_yx_mm[1]
    affine[:3, 1] = row_column[3:] * first.spacing_yx_mm[0]
    affine[:3, 2] = first.normal * first.thickness_mm
    if first.position is not None:
        affine[:3, 3] = first.position
        if len(slices) > 1 and all(s.position is not None for s in slices):
            _refuse_gaps(slices)
            affine[:3, 2] = (np.array(last.position) - np.array(first.position)) / (len(slices) - 1)
            _refuse_strays(slices, affine)
    return Geometry((len(slices), *first.shape_yx), affine)


def _belong_together(a: Slice, b: Slice) -> bool:
    """Whether two images are parallel slices of one series."""
    if a.series != b.series or a.n_frames > 1 or b.n_frames > 1 or a.position is None or b.position is None:
        return False
    return a.orientation is not None and b.orientation is not None and _parallel(a, b)


def _parallel(a: Slice, b: Slice) -> bool:
    return bool(np.allclose(a.orientation or 0, b.orientation or 0, rtol=0, atol=_SAME_COSINE))


def _by_position(stack: list[Slice]) -> list[Slice]:
    if any(s.position is None or s.orientation is None for s in stack):
        return stack
    return sorted(stack, key=lambda s: (s.depth_mm, s.path.name, s.frame))


def _overlaps(stack: Sequence[Slice]) -> bool:
    return any(b - a < _SAME_MM for a, b in pairwise(sorted(s.depth_mm for s in stack)))


def _passes(stack: list[Slice]) -> list[list[Slice]]:
    """Split slices that share positions into passes that do not, if a tag or all of them together tell them apart."""
    if _overlaps(stack):
        for tags in (*([i] for i in range(len(PASS_TAGS))), range(len(PASS_TAGS))):
            split: dict[tuple[str, ...], list[Slice]] = {}
            for s in stack:
                split.setdefault(tuple(s.passes[i] for i in tags), []).append(s)
            if len(split) > 1 and not any(_overlaps(part) for part in split.values()):
                return [_by_position(part) for part in split.values()]
    return [_by_position(stack)]


def _refuse_mixed(slices: Sequence[Slice]) -> None:
    for what, unit, values in (
        ("sizes", "pixels", [f"{s.shape_yx[1]} x {s.shape_yx[0]}" for s in slices]),
        ("pixel spacings", "mm", ["{:g} x {:g}".format(*s.spacing_yx_mm) for s in slices]),
    ):
        counts = Counter(values).most_common()
        if len(counts) > 1:
            odd = slices[values.index(counts[-1][0])]
            listed = " and ".join(f"{n} of {value}" for value, n in counts[:2])
            raise ScanError(
                f"the slices of this series have different {what}: {listed} {unit}",
                path=odd.path,
                hint="Move the files that do not belong to it to a folder of their own.",
            )
    turned = next((s for s in slices if not _parallel(s, slices[0])), None)
    if turned:
        raise ScanError(
            "the frames of this file face different ways, as in a localizer", path=turned.path, hint="Open the series."
        )


def _refuse_gaps(slices: Sequence[Slice]) -> None:
    depths = [s.depth_mm for s in slices]
    gaps = [b - a for a, b in pairwise(depths)]
    usual = sorted(gaps)[(len(gaps) - 1) // 2]
    if min(gaps) < _SAME_MM:
        at = depths[gaps.index(min(gaps))]
        raise ScanError(
            f"several slices of this series lie at one position ({at:.2f} mm), as in a time series",
            path=slices[0].path.parent,
            hint="Put the files of one time point into a folder of their own.",
        )
    # positions are often rounded to a tenth of a millimetre, which two neighbours can do in opposite directions
    uneven = [i for i, g in enumerate(gaps) if g > 1.5 * usual or abs(g - usual) > max(0.1 * usual, 0.11)]
    if not uneven:
        return
    i = max(uneven, key=lambda k: gaps[k])
    lacking = max(0, round(gaps[i] / usual) - 1)
    more = f", and {len(uneven) - 1} more such places" if len(uneven) > 1 else ""
    missing = f"{lacking} slice{'s' if lacking > 1 else ''} missing" if lacking else "slices unevenly spaced"
    raise ScanError(
        f"{missing} between {depths[i]:.2f} and {depths[i + 1]:.2f} mm (a gap of {gaps[i]:.2f} mm in a series of "
        f"{usual:.2f} mm steps{more})",
        path=slices[0].path.parent if slices[0].n_frames == 1 else slices[0].path,
        hint="Copy the whole series again; to work on a part, move its files to a folder of their own.",
    )


def _refuse_strays(slices: Sequence[Slice], affine: np.ndarray) -> None:
    """Raise ScanError if a slice is off the straight line through the first and the last by a tenth of the step."""
    step = affine[:3, 2]
    for i, s in enumerate(slices):
        off = float(np.linalg.norm(np.array(s.position) - (affine[:3, 3] + i * step)))
        if off > max(0.1 * float(np.linalg.norm(step)), 0.11):
            raise ScanError(
                f"a slice lies {off:.2f} mm beside its place in the series",
                path=s.path,
                hint="Resample the series to an even grid, or move the slices that do not fit to another folder.",
            )
