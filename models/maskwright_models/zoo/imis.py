"""IMIS-Net (Cheng et al., "Interactive Medical Image Segmentation", CVPR 2025) as a family of the zoo.

Own code after the paper and the published names and shapes; a published state dict loads strictly. The model itself is
in `imis_model.py`, what it needs beside its weights in `imis_files.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from maskwright.core.preprocess import STRETCH_CENTRES
from maskwright_models.registry import Family, FeatureShape, Parts, register_family
from maskwright_models.zoo.imis_files import ImisFiles, find_files
from maskwright_models.zoo.imis_model import VARIANTS, Encoder, Head, ImisNet, TextTower, adapt, detect

TEMPLATE = "A segmentation area of a {}."
"""Sentence that the model was trained to read names in."""


def attach(model: nn.Module, folder: Path) -> tuple[str, ...]:
    """Give the model the tokenizer and the categories in ``folder``; sentences that say what is not there.

    Raises ModelError for a file that cannot be used.
    """
    assert isinstance(model, ImisNet)
    model.files = find_files(folder)
    return model.files.missing


def parts(model: nn.Module) -> Parts:
    """The model as the contract cuts it; it takes text where :func:`attach` found a tokenizer."""
    assert isinstance(model, ImisNet)
    vit, files = model.config.vit, model.files
    categories = files.categories
    vectors = None if categories is None else torch.from_numpy(categories.weights)
    takes_text = bool(files.tokenizer)
    text = {"template": TEMPLATE, "names": {} if categories is None else dict(categories.names)}
    return Parts(
        encoder=Encoder(model),
        head=Head(model, takes_text=takes_text, categories=vectors),
        input_size=vit.size,
        logits_shape=(4 * vit.grid, 4 * vit.grid),
        candidates=3,
        features=(FeatureShape((1, vit.width, vit.grid, vit.grid)),),
        prompts=("point", "box", "scribble", *(("text",) if takes_text else ())),
        preprocessing=STRETCH_CENTRES,
        text_shape=(1, vit.width) if takes_text else None,
        labels=() if categories is None else categories.completions,
        categories=() if categories is None else categories.classes,
        text_tower=TextTower(model) if takes_text else None,
        more_files=(lambda folder: write_tokenizer(files, folder)) if takes_text else None,
        extra={"text": text} if takes_text else {},
    )


def write_tokenizer(files: ImisFiles, folder: Path) -> Mapping[str, str]:
    """Write `tokenizer.json` into ``folder``; file name of its role."""
    (folder / "tokenizer.json").write_text(files.tokenizer, "utf-8")
    return {"tokenizer": "tokenizer.json"}


@register_family("imis")
def imis() -> Family:
    """IMIS-Net, the published ViT-B and its smaller input sizes."""
    return Family(
        title="IMIS-Net",
        licence="not stated by its authors",
        citation="Cheng J., Fu B., Ye J., et al. Interactive Medical Image Segmentation: A Benchmark Dataset and "
        "Baseline. CVPR 2025. https://arxiv.org/abs/2411.12814",
        variants=tuple(VARIANTS),
        detect=detect,
        build=lambda variant: ImisNet(VARIANTS[variant]),
        parts=parts,
        adapt=adapt,
        beside=attach,
        notice="The published repository carries no licence; ask its authors before you use the weights beyond "
        "research. Not for diagnosis.",
    )
