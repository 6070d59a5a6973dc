"""Families of published models: what each needs to be recognised, built, loaded and exported in the one contract.

A family file in `zoo/` writes a function that returns its :class:`Family` under ``@register_family(name)`` and puts
its module into :data:`ZOO`. Import, export, parity, tests and benchmarks run over :func:`families`.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.errors import ModelError

if TYPE_CHECKING:
    from torch import Tensor, nn

ZOO: tuple[str, ...] = ("imis", "interformer", "sam", "sam2")
"""Modules of `maskwright_models.zoo` that register a family."""


@dataclass(frozen=True, slots=True)
class FeatureShape:
    """One encoder output: shape with the batch axis, and the dtype it is stored in."""

    shape: tuple[int, ...]
    dtype: str = "float16"


@dataclass(frozen=True, slots=True)
class Parts:
    """A loaded model as the contract cuts it: what runs once for a slice, and what answers a click.

    ``encoder`` maps ``image`` (1, 3, S, S) float32, normalised as ``mean_rgb`` and ``std_rgb`` say, to a tuple of
    float32 tensors of the shapes in ``features``. ``head`` takes these (float32), then ``point_coords`` (1, N, 2),
    ``point_labels`` (1, N), ``mask_input`` (1, 1, h, w), ``has_mask_input`` (1,), then ``state_in`` and ``has_state``
    where ``state_shape`` is given, then ``text_embedding`` and ``has_text`` where ``text_shape`` is given. It gives
    ``logits`` (1, K, h, w), ``scores`` (1, K), with a state ``state_out``, with ``categories`` (what a mask can
    be) ``category`` (1, K) int64. Casts to and from the stored dtype are put around both on export.

    ``text_tower`` maps ``input_ids`` (1, T) int64 to ``text_embedding``; it is written as ``text.onnx``.
    ``more_files`` writes what else the model needs (a tokenizer) into a folder and returns the file name of
    each role. ``extra`` is put into the card as it is.
    """

    encoder: nn.Module
    head: nn.Module
    input_size: int
    logits_shape: tuple[int, int]
    candidates: int
    features: tuple[FeatureShape, ...]
    prompts: tuple[str, ...] = ("point", "box", "scribble")
    mean_rgb: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std_rgb: tuple[float, float, float] = (0.229, 0.224, 0.225)
    preprocessing: str = "letterbox-top-left"
    state_shape: tuple[int, ...] | None = None
    text_shape: tuple[int, ...] | None = None
    labels: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    text_tower: nn.Module | None = None
    more_files: Callable[[Path], Mapping[str, str]] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


def _same(state: Mapping[str, Tensor], variant: str) -> Mapping[str, Tensor]:
    return state


@dataclass(frozen=True, slots=True)
class Family:
    """One family of published models.

    ``detect`` names the variant a state dict belongs to by its keys and shapes, or gives None. ``build`` makes a
    variant with fresh weights whose state dict has the official names. ``adapt`` gives the state dict that ``build``'s
    module takes strictly (drops what the official file carries without using it). ``parts`` cuts a loaded model.
    ``beside`` gives a built model what it needs beside its weights (a tokenizer, names) from a folder, mostly that of
    the checkpoint, and returns sentences about what is not there. ``variants`` lists what can be built, the smallest
    first. ``after`` is a family whose checkpoints look the same, so
    that ``--family auto`` picks that one.
    """

    title: str
    licence: str
    citation: str
    variants: tuple[str, ...]
    detect: Callable[[Mapping[str, Tensor]], str | None]
    build: Callable[[str], nn.Module]
    parts: Callable[[nn.Module], Parts]
    adapt: Callable[[Mapping[str, Tensor], str], Mapping[str, Tensor]] = _same
    beside: Callable[[nn.Module, Path], tuple[str, ...]] | None = None
    after: str = ""
    notice: str = ""


_FAMILIES: dict[str, Family] = {}


def register_family(name: str) -> Callable[[Callable[[], Family]], Callable[[], Family]]:
    """Enter the family that the decorated function returns. Raises ValueError for a name that is taken."""

    def enter(make: Callable[[], Family]) -> Callable[[], Family]:
        if name in _FAMILIES:
            raise ValueError(f"family {name!r} is registered twice")
        _FAMILIES[name] = make()
        return make

    return enter


def families() -> dict[str, Family]:
    """All families by name."""
    for module in ZOO:
        importlib.import_module(f"maskwright_models.zoo.{module}")
    return dict(_FAMILIES)


def family(name: str) -> Family:
    """One family. Raises ModelError that names those there are."""
    known = families()
    if name not in known:
        raise ModelError(f"there is no model family {name!r}", hint=f"Known: {', '.join(sorted(known))}.")
    return known[name]


def detect(state: Mapping[str, Tensor]) -> tuple[str, str] | None:
    """Family and variant whose names and shapes a state dict has, or None."""
    for name, one in families().items():
        if not one.after and (variant := one.detect(state)) is not None:
            return name, variant
    return None
