"""ModelCard: everything an exported model needs and gives, read from its model.json."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from maskwright.core.errors import ModelError
from maskwright.core.preprocess import FITS, LETTERBOX

CONTRACT_VERSION = 1
"""Version of the tensor contract between the app and a model folder (names, shapes and meaning of inputs, outputs)."""


@dataclass(frozen=True, slots=True)
class FeatureSpec:
    """One encoder output: tensor name, shape with the batch axis, dtype as stored (``float16`` or ``float32``)."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True, slots=True)
class ModelCard:
    """What ``model.json`` says.

    ``files`` maps a role (``encoder``, ``head``, ``text``, ``tokenizer``) to a file name in the folder and
    ``sha256`` that file name to its hash. ``input_size`` is the side of the square encoder input and
    ``logits_shape`` the size of the mask logits, both in pixels. ``preprocessing`` is one of
    :data:`maskwright.core.preprocess.FITS`. ``labels`` are words to offer for a text prompt, ``categories`` the names
    that the head's ``category`` output counts through. Where text alone gives a score below ``text_floor``, nothing was
    found; without it every score counts. ``first_passes`` is how many head runs make the first answer to an object,
    each going on from the mask of the one before; later answers have that of the answer before them, and take one, and
    so do words alone. ``kept_elsewhere`` is the weight of the earlier answer, 0..1, where a change does not touch the
    newest click (:mod:`maskwright.inference.steady`).
    """

    id: str
    name: str
    family: str
    version: str
    licence: str
    citation: str
    contract: int
    input_size: int
    logits_shape: tuple[int, int]
    candidates: int
    features: tuple[FeatureSpec, ...]
    files: Mapping[str, str]
    sha256: Mapping[str, str]
    prompts: tuple[str, ...] = ("point", "box", "scribble")
    state_shape: tuple[int, ...] | None = None
    text_shape: tuple[int, ...] | None = None
    text_floor: float | None = None
    mean_rgb: tuple[float, float, float] = (0.485, 0.456, 0.406)
    std_rgb: tuple[float, float, float] = (0.229, 0.224, 0.225)
    preprocessing: str = LETTERBOX
    notice: str = ""
    first_passes: int = 1
    kept_elsewhere: float = 0.0
    labels: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def encoder_sha256(self) -> str:
        """Hash that stored features are signed with: features of another encoder are never used."""
        return self.sha256[self.files["encoder"]]

    @property
    def features_id(self) -> str:
        """Model that stored features are named after: the one whose encoder this is, where it was adapted from it."""
        of = str(self.extra.get("features_of") or self.id)
        return self.id if set(of) & set("/\\") else of


_TUPLES = ("logits_shape", "prompts", "state_shape", "text_shape", "mean_rgb", "std_rgb", "labels", "categories")


def card_from_json(value: Mapping[str, Any], *, path: object = None) -> ModelCard:
    """Read a card. Raises ModelError that names what is missing or what the app does not know."""
    where = str(path) if path is not None else None
    contract = value.get("contract")
    if contract != CONTRACT_VERSION:
        raise ModelError(
            f"model speaks contract version {contract!r}, this app knows version {CONTRACT_VERSION}",
            path=where,
            hint="Export the model again with this release, or update maskwright.",
        )
    if value.get("preprocessing", LETTERBOX) not in FITS:
        raise ModelError(
            f"model wants preprocessing {value['preprocessing']!r}, which this app does not know",
            path=where,
            hint="Update maskwright.",
        )
    known = {name for name in ModelCard.__dataclass_fields__ if name != "extra"}
    try:
        fields: dict[str, Any] = {k: v for k, v in value.items() if k in known}
        fields["features"] = tuple(FeatureSpec(f["name"], tuple(f["shape"]), f["dtype"]) for f in value["features"])
        for key in _TUPLES:
            if isinstance(fields.get(key), list):
                fields[key] = tuple(fields[key])
        return ModelCard(**fields, extra={k: v for k, v in value.items() if k not in known})
    except (KeyError, TypeError) as error:
        raise ModelError(
            f"model card is incomplete ({error})", path=where, hint="Import or export the model again."
        ) from error


def card_to_json(card: ModelCard) -> dict[str, Any]:
    """Plain values for ``model.json``; reading them back gives an equal card."""
    out: dict[str, Any] = {}
    for name in ModelCard.__dataclass_fields__:
        value = getattr(card, name)
        if name == "features":
            value = [{"name": f.name, "shape": list(f.shape), "dtype": f.dtype} for f in value]
        elif isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, Mapping):
            value = dict(value)
        if name == "extra":
            out.update(card.extra)
        else:
            out[name] = value
    return out
