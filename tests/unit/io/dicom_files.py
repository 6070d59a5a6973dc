"""Writes small DICOM files with known positions and values for the reading tests."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as Items
from pydicom.uid import UID, ExplicitVRLittleEndian, generate_uid

CT, MR, PET = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4", "1.2.840.10008.5.1.4.1.1.128"
DX, US, SECONDARY = "1.2.840.10008.5.1.4.1.1.1.1", "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.5.1.4.1.1.7"
ENHANCED_CT, US_CINE = "1.2.840.10008.5.1.4.1.1.2.1", "1.2.840.10008.5.1.4.1.1.3.1"
AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def write_image(path: Path, pixels: np.ndarray, *, sop: str = CT, modality: str = "CT", **tags: Any) -> Path:
    """Write ``(y, x)``, ``(y, x, 3)`` or, with NumberOfFrames among the tags, ``(frames, y, x)`` as stored values.

    A tag given as None is left out. Without tags it is an axial slice at z = 0, pixels 0.5 x 0.25 mm (row, column).
    """
    frames = "NumberOfFrames" in tags
    colour = pixels.ndim == 3 and not frames
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = UID(sop)
    bits = pixels.dtype.itemsize * 8
    defaults: dict[str, Any] = {
        "SOPInstanceUID": generate_uid(),
        "StudyInstanceUID": "1.2.3",
        "SeriesInstanceUID": "1.2.3.4",
        "Modality": modality,
        "PatientID": "test",
        "Rows": pixels.shape[1 if frames else 0],
        "Columns": pixels.shape[2 if frames else 1],
        "SamplesPerPixel": 3 if colour else 1,
        "PhotometricInterpretation": "RGB" if colour else "MONOCHROME2",
        "PlanarConfiguration": 0 if colour else None,
        "BitsAllocated": bits,
        "BitsStored": bits,
        "HighBit": tags.get("BitsStored", bits) - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"),
        "PixelSpacing": [0.5, 0.25],
        "ImagePositionPatient": [0.0, 0.0, 0.0],
        "ImageOrientationPatient": list(AXIAL),
    }
    for name, value in (defaults | tags).items():
        if value is not None:
            setattr(header, name, value)
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID
    header.PixelData = pixels.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path


def write_series(folder: Path, depths: Sequence[float], *, shape: tuple[int, int] = (4, 5), **tags: Any) -> list[Path]:
    """Write an axial CT slice per depth (mm), in file order; slice i holds the value 10 i in all pixels."""
    return [
        write_image(
            folder / f"IM{i:04d}.dcm",
            np.full(shape, 10 * i, np.int16),
            **({"ImagePositionPatient": [-3.0, 7.0, depth], "InstanceNumber": i + 1} | tags),
        )
        for i, depth in enumerate(depths)
    ]


def frame_groups(positions: Sequence[Sequence[float]], orientation: Sequence[float] = AXIAL) -> dict[str, Any]:
    """Return the functional groups of a multi-frame file whose frames lie at the given positions, 2 x 1.5 mm pixels."""
    return {
        "NumberOfFrames": len(positions),
        "ImagePositionPatient": None,
        "ImageOrientationPatient": None,
        "PixelSpacing": None,
        "SharedFunctionalGroupsSequence": Items(
            [
                _item(
                    PixelMeasuresSequence=Items([_item(PixelSpacing=[2.0, 1.5], SliceThickness=9.0)]),
                    PlaneOrientationSequence=Items([_item(ImageOrientationPatient=list(orientation))]),
                    PixelValueTransformationSequence=Items(
                        [_item(RescaleSlope=1, RescaleIntercept=-1024, RescaleType="HU")]
                    ),
                    FrameVOILUTSequence=Items([_item(WindowCenter=40, WindowWidth=350)]),
                )
            ]
        ),
        "PerFrameFunctionalGroupsSequence": Items(
            [_item(PlanePositionSequence=Items([_item(ImagePositionPatient=list(position))])) for position in positions]
        ),
    }


def write_report(path: Path, *, modality: str = "SR", sop: str = "1.2.840.10008.5.1.4.1.1.88.22") -> Path:
    """Write a DICOM object without pixels."""
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    header.file_meta.MediaStorageSOPClassUID = header.SOPClassUID = UID(sop)
    header.file_meta.MediaStorageSOPInstanceUID = header.SOPInstanceUID = generate_uid()
    header.Modality = modality
    path.parent.mkdir(parents=True, exist_ok=True)
    header.save_as(path, enforce_file_format=True)
    return path


def _item(**tags: Any) -> Dataset:
    item = Dataset()
    for name, value in tags.items():
        setattr(item, name, value)
    return item
