"""What each part of the default model and of its recipe is worth when a model is trained without it. JSON lines.

Each row trains as many steps as the others, from the same start: with ``--start`` on from weights that had the part,
which shows whether the rest can make up for it; without, from nothing. IoU is that of the averaged weights after 1, 3
and 5 prompts on images held back, photos and scans apart. The same command again goes on with runs that were stopped.

usage: python -m benchmarks.ablations DATA --volumes FOLDER [--start assets/models/default] [--steps 300] [--rate 1e-3]
       [--only "detail branch" ...] [--store work/features] [--runs work/ablations] [--views 60] [--threads 1]
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks.knockouts import flat, no_detail, no_mask

if TYPE_CHECKING:
    from torch import Tensor

    from maskwright_models.data.samples import Sample
    from maskwright_models.train.trainer import Trainable

CLICKS = 5
SHOWN = (1, 3, 5)


@dataclass(frozen=True, slots=True)
class Without:
    """A variant: other sizes, another mix of what is drawn, or a change of what goes into neck or head."""

    sizes: Mapping[str, Any] = field(default_factory=dict)
    mix: Mapping[str, float] = field(default_factory=dict)
    change: Callable[[Trainable], None] = lambda net: None


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--volumes", type=Path)
    parser.add_argument("--store", type=Path, default=Path("work/features"))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--start", type=Path)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--medical-share", type=float, default=0.55)
    parser.add_argument("--only", nargs="+", default=list(VARIANTS), choices=list(VARIANTS), metavar="PART")
    parser.add_argument("--runs", type=Path, default=Path("work/ablations"))
    parser.add_argument("--views", type=int, default=60, help="views held back, of photos and of scans each")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    from maskwright_models.devices import prepare_cpu

    prepare_cpu(args.threads)
    for name in args.only:
        print(json.dumps({"without": name, **measure(name, VARIANTS[name], args)}), flush=True)
    return 0


def measure(name: str, variant: Without, args: argparse.Namespace) -> dict[str, Any]:
    """Train one variant to its last step, and measure it."""
    import torch

    from maskwright_models.data.samples import Mix
    from maskwright_models.data.sources import open_sources
    from maskwright_models.train.held import held_answers
    from maskwright_models.train.trainer import TrainConfig, Trainer
    from maskwright_models.zoo.dinov2_imsa import HeadConfig

    def opened(**mix: float) -> Any:  # noqa: ANN401  (a pair of sources)
        return open_sources(args.data, args.store, volumes=args.volumes, rounds=args.rounds, mix=Mix(**mix))

    source, _ = opened(**{"medical": args.medical_share, **variant.mix})
    recipe = TrainConfig(
        steps=args.steps, warmup_steps=args.steps // 6, rate=args.rate, seed=args.seed, save_minutes=3.0
    )
    folder = args.runs / name.replace(" ", "-")
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(
        folder,
        source,
        model=HeadConfig(**variant.sizes),
        recipe=recipe,
        device=torch.device("cpu"),
        start=args.start,
    )
    for net in (trainer.net, trainer.average):
        variant.change(net)
    trainer.run()
    net = trainer.average
    out: dict[str, Any] = {"steps": trainer.step, "hours": round(trainer.seconds / 3600, 3)}
    for kind, medical in (("photos", 0.0), ("scans", 1.0)):
        _, held = opened(medical=medical, absent=0.0, windows=0.0)  # a text that names nothing has no IoU
        rng = np.random.default_rng(0)
        samples: list[Sample] = [held.draw(rng) for _ in range(args.views)]
        _, iou = held_answers(net.neck, net.head, samples, device=torch.device("cpu"), clicks=CLICKS)
        out[kind] = {"objects": len(iou), **{f"iou@{k}": round(float(iou[:, k - 1].mean()), 4) for k in SHOWN}}
    sys.stderr.write(f"{name}: {out}\n")
    return out


def _answers(change: Callable[[list[Tensor]], None]) -> Callable[[Trainable], None]:
    """The head gets inputs that ``change`` has been at; click tensors and maps as in the contract."""

    def without(net: Trainable) -> None:
        whole = type(net.head)

        class Changed(whole):  # type: ignore[valid-type,misc]
            def answer(self, *given: Tensor) -> Any:  # type: ignore[override]  # noqa: ANN401  (as the head)
                inputs = list(given)
                change(inputs)
                return super().answer(*inputs)

        net.head.__class__ = Changed

    return without


def _layers(kept: tuple[int, ...]) -> Callable[[Trainable], None]:
    """The neck reads these layers of the trunk, the others' tokens are their mean."""

    def without(net: Trainable) -> None:
        whole = type(net.neck)

        class Fewer(whole):  # type: ignore[valid-type,misc]
            def joined(self, tokens: Tensor) -> Tensor:
                import torch

                parts = tokens.chunk(4, 1)
                return super().joined(torch.cat([p if k in kept else flat(p) for k, p in enumerate(parts)], 1))

        net.neck.__class__ = Fewer

    return without


VARIANTS: Mapping[str, Without] = {
    "nothing": Without(),
    "detail branch": Without(change=_answers(no_detail)),
    "earlier mask": Without(change=_answers(no_mask)),
    "pooling by 8": Without(sizes={"ratios": (4,)}),
    "pooling by 4": Without(sizes={"ratios": (8,)}),
    "layers 3 6 9": Without(change=_layers((3,))),
    "layers 3 9": Without(change=_layers((1, 3))),
    "windows round small objects": Without(mix={"windows": 0.0}),
    "scans": Without(mix={"medical": 0.0}),
    "half of the scans": Without(mix={"medical": 0.275}),
    "photos": Without(mix={"medical": 1.0}),
}


if __name__ == "__main__":
    sys.exit(main())
