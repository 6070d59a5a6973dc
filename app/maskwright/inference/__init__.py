"""Runs exported models in ONNX Runtime: arrays in, arrays out. The only package that imports onnxruntime."""

from __future__ import annotations

from pathlib import Path

from maskwright.inference.model_folder import find_folder, installed_folders, read_card
from maskwright.inference.segmentation import Segmentation, Zoomed
from maskwright.inference.segmenter import OnnxSegmenter, Segmenter
from maskwright.inference.uncertainty import Uncertainty
from maskwright.inference.zoom import ZoomPolicy, policy_of_card

__all__ = [
    "OnnxSegmenter",
    "Segmentation",
    "Segmenter",
    "Uncertainty",
    "ZoomPolicy",
    "Zoomed",
    "installed_folders",
    "load_segmenter",
    "read_card",
]


def load_segmenter(
    model: str | Path = "default",
    threads: int | None = None,
    *,
    user_models: Path | None = None,
    zoom: bool | ZoomPolicy = True,
) -> OnnxSegmenter:
    """Open an installed model by id, or a model folder by path.

    ``threads`` is how many threads one run may use (default: all cores, at most four); ``user_models`` is a folder of
    models beside the bundled ones. ``zoom`` says whether, or how, small objects are looked at a second time in a crop
    (True: as the model's card says); the encoder then runs once more when an object turns out to be small. Raises
    ModelError where the model is not there, its hash differs, or it speaks another contract.
    """
    folder = find_folder(model, user_models)
    policy = zoom if isinstance(zoom, ZoomPolicy) else policy_of_card(read_card(folder).extra) if zoom else None
    return OnnxSegmenter(folder, threads=threads, zoom=policy)
