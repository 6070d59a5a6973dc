"""Reads published checkpoints: never running code that a file carries, and with every tensor accounted for."""

from __future__ import annotations

import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.core.errors import ModelError
from maskwright_models.registry import Family, detect, families, family

if TYPE_CHECKING:
    from torch import Tensor, nn

WRAPPERS = ("state_dict", "model", "model_state_dict")
"""Keys under which training programs put the state dict."""
NAMED = 12
"""How many names a message lists before it counts the rest."""
AGAIN = "Get the file again from where it was published."


@dataclass(frozen=True, slots=True, eq=False)
class Loaded:
    """A model with the weights of a checkpoint, and what it was recognised as."""

    name: str
    variant: str
    family: Family
    model: nn.Module


def read_state(path: Path) -> dict[str, Tensor]:
    """State dict in a file that ``torch.save`` wrote, out of whatever dict it lies in, without a ``module.`` prefix.

    Only tensors and plain values are unpickled. Raises ModelError for a file that is missing, cut off, of another kind,
    or that would have to run code.
    """
    import torch

    if not path.is_file():
        raise ModelError("there is no such checkpoint", path=path, hint="Name a .pth or .pt file.")
    try:
        with torch.serialization.safe_globals(_harmless()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickle protocols that torch itself does not write
            value = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except pickle.UnpicklingError as error:
        raise _unpickling_error(path, error) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
        raise ModelError("the checkpoint is cut off or not one of torch", path=path, hint=AGAIN) from error
    state = _tensors(value)
    if not state:
        raise ModelError("the file holds no state dict", path=path, hint="Name the file with the weights.")
    return state


def load(path: Path, *, name: str = "auto", variant: str = "auto") -> Loaded:
    """Model of family ``name`` with the weights of a checkpoint, in evaluation mode.

    ``variant`` is for weights that fit several, as those that were tuned at another input size.

    Raises ModelError for what :func:`read_state` refuses, for another family's file, and for one whose tensors are not
    exactly those of the model; it lists them.
    """
    state = read_state(path)
    found = detect(state)
    if name == "auto" and found is None:
        raise ModelError(
            "this checkpoint is of no family that is known", path=path, hint=f"Known: {', '.join(sorted(families()))}."
        )
    if name == "auto" and found is not None:
        name = found[0]
    wanted = family(name)
    looks = wanted.detect(state)
    if looks is None:
        seen = f"it looks like {found[0]} {found[1]}" if found is not None else "it is of no family that is known"
        raise ModelError(
            f"this is not a checkpoint of {wanted.title}: {seen}",
            path=path,
            hint=f"Use --family {found[0]}." if found is not None else AGAIN,
        )
    if variant not in ("auto", *wanted.variants):
        raise ModelError(
            f"{wanted.title} has no variant {variant!r}", path=path, hint=f"Known: {', '.join(wanted.variants)}."
        )
    variant = looks if variant == "auto" else variant
    return Loaded(name, variant, wanted, load_strictly(wanted, variant, state, path=path))


def load_strictly(wanted: Family, variant: str, state: Mapping[str, Tensor], *, path: Path) -> nn.Module:
    """Build a variant and give it the weights. Raises ModelError listing what is missing, unknown or misshapen."""
    import torch

    with torch.device("meta"):
        model = wanted.build(variant)
    own = wanted.adapt(model.state_dict(), variant)
    given = {k: v.float() if v.is_floating_point() else v for k, v in wanted.adapt(state, variant).items()}
    faults = []
    if missing := sorted(own.keys() - given.keys()):
        faults.append(f"{len(missing)} missing: {_names(missing)}")
    if unknown := sorted(given.keys() - own.keys()):
        faults.append(f"{len(unknown)} unknown: {_names(unknown)}")
    both = sorted(own.keys() & given.keys())
    if shapes := [
        f"{k} is {tuple(given[k].shape)}, not {tuple(own[k].shape)}" for k in both if given[k].shape != own[k].shape
    ]:
        faults.append(f"{len(shapes)} of another shape: {_names(shapes)}")
    if not faults and (broken := [k for k in both if not bool(torch.isfinite(given[k]).all())]):
        faults.append(f"{len(broken)} not finite: {_names(broken)}")
    if faults:
        raise ModelError(
            f"the tensors are not those of {wanted.title} {variant} ({'; '.join(faults)})", path=path, hint=AGAIN
        )
    model.load_state_dict(given, strict=False, assign=True)  # not strict: what adapt drops stays as it was built
    if any(t.is_meta for t in (*model.parameters(), *model.buffers())):
        model = wanted.build(variant)
        model.load_state_dict(given, strict=False, assign=True)
    return model.eval().requires_grad_(requires_grad=False)


class _Unread:
    """Stands for an object in a file that nobody needs: an optimizer that was saved whole."""

    def __setstate__(self, state: object) -> None:
        pass


def _empty(*_: object) -> dict[Any, Any]:
    return {}


def _harmless() -> list[Any]:
    """What training programs save beside tensors and what cannot do anything: their arguments, and NumPy's numbers.

    Optimizers that were saved whole (SAM-Med2D does) are not made: something inert takes their place.
    """
    import argparse

    import numpy as np
    import torch
    from numpy._core import multiarray

    numbers = [type(np.dtype(code)) for code in ("f4", "f8", "i4", "i8", "?")]
    scalars = [(multiarray.scalar, f"numpy.{core}.multiarray.scalar") for core in ("core", "_core")]
    optimizers = [v for v in vars(torch.optim).values() if isinstance(v, type) and issubclass(v, torch.optim.Optimizer)]
    inert: list[Any] = [(_Unread, f"{o.__module__}.{o.__qualname__}") for o in optimizers]
    inert.append((_empty, "collections.defaultdict"))
    return [argparse.Namespace, dict, np.dtype, *numbers, *scalars, *inert]


def _tensors(value: Any) -> dict[str, Tensor]:
    import torch

    while isinstance(value, Mapping) and (inner := [value[k] for k in WRAPPERS if isinstance(value.get(k), Mapping)]):
        value = inner[0]
    if not isinstance(value, Mapping):
        return {}
    state = {k: v for k, v in value.items() if isinstance(k, str) and isinstance(v, torch.Tensor)}
    if state and all(k.startswith("module.") for k in state):
        state = {k.removeprefix("module."): v for k, v in state.items()}
    return state


def _names(names: list[str]) -> str:
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _unpickling_error(path: Path, error: pickle.UnpicklingError) -> ModelError:
    """Which code a file would have run, where that is why torch refused it."""
    code = re.search(r"GLOBAL (\S+)|Unsupported operand (149)\b", str(error))  # 149: STACK_GLOBAL, of newer pickles
    if code is None:
        return ModelError("the checkpoint is cut off or not one of torch", path=path, hint=AGAIN)
    named = code[1].rstrip(".") if code[1] else "a plain pickle"
    return ModelError(
        f"the checkpoint would run code when it is opened ({named}), which is never done",
        path=path,
        hint="If you trust it, save its state_dict alone with torch.save where it was made, and import that.",
    )
