"""Chooses and prepares the torch device."""

from __future__ import annotations

from typing import TYPE_CHECKING

from maskwright.core.errors import ModelError

if TYPE_CHECKING:
    import torch

CHOICES = ("auto", "cuda", "cpu")


def devices(choice: str) -> list[torch.device]:
    """Torch devices for ``auto``, ``cuda`` (all there are) or ``cpu``. Raises ModelError where CUDA is missing."""
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if choice == "cuda" and count == 0:
        raise ModelError("torch sees no CUDA device", hint="Use --device cpu, or install a CUDA build of torch.")
    if choice == "cpu" or count == 0:
        return [torch.device("cpu")]
    return [torch.device("cuda", n) for n in range(count)]


def prepare_cpu(threads: int | None = None) -> None:
    """Threads, and denormals flushed to zero: saturated masks give many, and each costs a hundred normal operations."""
    import torch

    torch.set_flush_denormal(True)
    if threads:
        torch.set_num_threads(threads)
