"""Reads DICOM headers: one `Slice` per image or frame, and a refusal of files that are not scans."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import ScanError
from maskwright.io.checks import COPY_AGAIN

PASS_TAGS = (
    "AcquisitionNumber",
    "TemporalPositionIdentifier",
    "EchoNumbers",
    "DiffusionBValue",
    "TriggerTime",
    "ImageType",
)
"""What tells passes over the same positions apart, in the order in which they are tried."""

_TAGS = (
    *("SOPClassUID", "SOPInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "Rows", "Columns"),
    *("NumberOfFrames", "TotalPixelMatrixColumns", "ImageOrientationPatient", "ImagePositionPatient"),
    *("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing", "SliceThickness", "SpacingBetweenSlices"),
    *("RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth", "PhotometricInterpretation"),
    *("BitsStored", "PixelRepresentation", "SharedFunctionalGroupsSequence", "PerFrameFunctionalGroupsSequence"),
    *PASS_TAGS,
)
_NOT_SCANS = {
    "SEG": "a segmentation (DICOM SEG)",
    "RTSTRUCT": "a set of contours (RTSTRUCT)",
    "RTPLAN": "a radiotherapy plan",
    "RTDOSE": "a dose distribution",
    "SR": "a structured report",
    "ANN": "a set of annotations",
    "PR": "a presentation state",
    "KO": "a list of key images",
    "REG": "a registration",
    "DOC": "a document",
}
_DIRECTORY_CLASS = "1.2.840.10008.1.3.10"


@dataclass(frozen=True, slots=True)
class Slice:
    """What the header of one DICOM image, or of one frame of a file with many, says about it.

    Positions and spacings in mm, LPS. `orientation` holds the direction cosines of a row and of a column; it and
    `position` are ``None`` in pictures that know no patient space (plain X-ray, ultrasound, screen captures).
    `window` is (level, width) in rescaled units.
    """

    path: Path
    frame: int
    n_frames: int
    instance: str
    series: str
    series_number: int
    modality: str
    shape_yx: tuple[int, int]
    orientation: tuple[float, ...] | None
    position: tuple[float, ...] | None
    spacing_yx_mm: tuple[float, float]
    thickness_mm: float
    slope: float
    intercept: float
    window: tuple[float, float] | None
    inverted_sum: float | None
    """For MONOCHROME1: the smallest plus the largest stored value, by which the pixels are turned round."""
    passes: tuple[str, ...]

    @property
    def normal(self) -> np.ndarray:
        """Unit vector that slices are stacked along, shape (3,)."""
        row_column = np.array(self.orientation or (1, 0, 0, 0, 1, 0), dtype=np.float64)
        return np.cross(row_column[:3], row_column[3:])

    @property
    def depth_mm(self) -> float:
        """Position along the normal."""
        return float(np.dot(self.normal, self.position or (0, 0, 0)))


class NotAScan(ScanError):
    """A DICOM file that holds no picture of its own: a report, contours, a segmentation."""


def read_slices(path: Path) -> tuple[Slice, ...]:
    """Read the header of one file: one Slice, or one per frame in the order of the file.

    Raises
    ------
    ScanError
        If the header is damaged, or the file holds something that is not a scan, such as a report or a segmentation.
    """
    import pydicom

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # pydicom warns of values that break the standard in ways that do no harm
            header = pydicom.dcmread(path, stop_before_pixels=True, force=True, specific_tags=list(_TAGS))
            _refuse_other_objects(header, path)
            n_frames = int(header.get("NumberOfFrames") or 1)
            first = _slice(header, path, n_frames)
            groups = list(header.get("PerFrameFunctionalGroupsSequence") or ())
            if not groups:
                rest = replace(first, position=None)  # the header has one position: that of the first frame
                return (first, *(replace(rest, frame=i) for i in range(1, n_frames)))
            if len(groups) != n_frames:
                raise ScanError(f"the header describes {len(groups)} of {n_frames} frames", path=path, hint=COPY_AGAIN)
            shared = list(header.get("SharedFunctionalGroupsSequence") or ())
            return tuple(_framed(first, i, (groups[i], *shared[:1])) for i in range(n_frames))
    except (ScanError, PermissionError, FileNotFoundError):
        raise
    except Exception as error:  # a broken header surfaces as whatever pydicom or a conversion meets first
        raise ScanError("the DICOM header is damaged or incomplete", path=path, hint=COPY_AGAIN) from error


def _refuse_other_objects(header: Any, path: Path) -> None:
    from pydicom.uid import UID

    modality = str(header.get("Modality") or "")
    if str(header.get("SOPClassUID") or "") == _DIRECTORY_CLASS:
        raise NotAScan("this is the index of a DICOM medium", path=path, hint="Open the folder that it lies in.")
    if modality in _NOT_SCANS:
        raise NotAScan(
            f"this file holds {_NOT_SCANS[modality]}, not a scan", path=path, hint="Open the series it belongs to."
        )
    if not header.get("SOPClassUID") and not header.get("Rows"):
        raise ScanError("the DICOM header is damaged or incomplete", path=path, hint=COPY_AGAIN)
    if not (header.get("Rows") and header.get("Columns")):
        if "Image Storage" in UID(header.SOPClassUID).name:  # cut off before the sizes
            raise ScanError("the DICOM header is damaged or incomplete", path=path, hint=COPY_AGAIN)
        raise NotAScan(
            f"this DICOM file holds no pixels (modality {modality or 'unknown'})",
            path=path,
            hint="Open a series of images.",
        )
    if int(header.get("NumberOfFrames") or 1) > 1 and (header.get("TotalPixelMatrixColumns") or 0) > header.Columns:
        raise NotAScan(
            "this is a whole-slide image, cut into tiles", path=path, hint="Export the region to annotate as TIFF."
        )


def _slice(header: Any, path: Path, n_frames: int) -> Slice:
    signed = bool(header.get("PixelRepresentation") or 0)
    inverted = str(header.get("PhotometricInterpretation") or "") == "MONOCHROME1"
    spacing = header.get("PixelSpacing") or header.get("ImagerPixelSpacing") or header.get("NominalScannedPixelSpacing")
    return Slice(
        path=path,
        frame=0,
        n_frames=n_frames,
        instance=str(header.get("SOPInstanceUID") or ""),
        series=str(header.get("SeriesInstanceUID") or ""),
        series_number=int(header.get("SeriesNumber") or 0),
        modality=str(header.get("Modality") or ""),
        shape_yx=(int(header.Rows), int(header.Columns)),
        orientation=_floats(header.get("ImageOrientationPatient"), 6),
        position=_floats(header.get("ImagePositionPatient"), 3),
        spacing_yx_mm=_spacing(spacing),
        thickness_mm=_positive(header.get("SpacingBetweenSlices"), _positive(header.get("SliceThickness"), 1.0)),
        slope=float(header.get("RescaleSlope") or 1.0),
        intercept=float(header.get("RescaleIntercept") or 0.0),
        window=_window(header),
        inverted_sum=(-1.0 if signed else 2.0 ** int(header.BitsStored) - 1) if inverted else None,
        passes=tuple(str(header.get(tag) or "") for tag in PASS_TAGS),
    )


def _framed(first: Slice, frame: int, groups: Sequence[Any]) -> Slice:
    """Fill in what the functional groups of one frame (its own first, then the shared ones) say."""

    def item(name: str) -> Any:
        return next((g[name].value[0] for g in groups if g.get(name)), {})

    measures, rescale = item("PixelMeasuresSequence"), item("PixelValueTransformationSequence")
    spacing, slope = measures.get("PixelSpacing"), rescale.get("RescaleSlope")
    return replace(
        first,
        frame=frame,
        orientation=_floats(item("PlaneOrientationSequence").get("ImageOrientationPatient"), 6) or first.orientation,
        position=_floats(item("PlanePositionSequence").get("ImagePositionPatient"), 3) or first.position,
        spacing_yx_mm=_spacing(spacing) if spacing else first.spacing_yx_mm,
        thickness_mm=_positive(measures.get("SpacingBetweenSlices"), 0.0)
        or _positive(measures.get("SliceThickness"), first.thickness_mm),
        slope=first.slope if slope is None else float(slope),
        intercept=float(rescale.get("RescaleIntercept", first.intercept)),
        window=_window(item("FrameVOILUTSequence")) or first.window,
    )


def _floats(value: Any, n: int) -> tuple[float, ...] | None:
    numbers = tuple(float(v) for v in value) if value else ()
    return numbers if len(numbers) == n and any(numbers[: n // 2] if n == 6 else (1,)) else None


def _positive(value: Any, default: float) -> float:
    number = abs(float(value)) if value not in (None, "") else 0.0
    return number if number > 0 else default


def _spacing(value: Any) -> tuple[float, float]:
    if value is None or len(value) != 2:
        return 1.0, 1.0
    return _positive(value[0], 1.0), _positive(value[1], 1.0)


def _window(header: Any) -> tuple[float, float] | None:
    """Return the first of the windows a header offers, as (level, width)."""
    pair = [header.get(name) for name in ("WindowCenter", "WindowWidth")]
    level, width = (v[0] if isinstance(v, list | tuple) or hasattr(v, "append") else v for v in pair)
    return None if level in (None, "") or width in (None, "") else (float(level), float(width))
