"""What a trained default model leans on: its IoU on views held back, with one part at a time made useless. JSON.

The part is not left out of training (that would need a run for each): its values are replaced by what says nothing, in
the trained weights. A large fall says that the answers stand on the part, a small one that others can stand in for it.
A layer of the trunk, and the maps of the stem, become their mean over the view.

usage: python -m benchmarks.knockouts DATA --run work/runs/first/last.pt [--store work/features] [--volumes FOLDER]
       [--rounds 1] [--views 60] [--threads 1] [--markdown] [--out FILE]
"""

from __future__ import annotations

import argparse
import copy
import json
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor

    from maskwright_models.train.trainer import Trainable

CLICKS = 5


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--run", type=Path, required=True, help="checkpoint of a training run")
    parser.add_argument("--store", type=Path, default=Path("work/features"))
    parser.add_argument("--volumes", type=Path)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--views", type=int, default=60)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--markdown", action="store_true")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()

    import torch

    from maskwright_models.data.samples import Mix
    from maskwright_models.data.sources import open_sources
    from maskwright_models.devices import prepare_cpu
    from maskwright_models.train.held import held_answers
    from maskwright_models.train.trainer import load_trained

    prepare_cpu(args.threads)
    mix = Mix(absent=0.0, windows=0.0)  # a text that names nothing has no IoU
    _, held = open_sources(args.data, args.store, volumes=args.volumes, rounds=args.rounds, mix=mix)
    rng = np.random.default_rng(0)
    samples = [held.draw(rng) for _ in range(args.views)]
    net, objects = load_trained(args.run), 0
    found: dict[str, list[float]] = {}
    for name, without in KNOCKOUTS.items():
        neck, head = without(copy.deepcopy(net))
        _, iou = held_answers(neck, head, samples, device=torch.device("cpu"), clicks=CLICKS)
        objects = len(iou)
        found[name] = [round(float(v), 4) for v in iou.mean(0)]
        sys.stderr.write(f"{name}: {found[name]}\n")
    report = {"run": str(args.run), "views": args.views, "objects": objects, "iou": found}
    if args.out is not None:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        args.out.write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    print(table(found) if args.markdown else json.dumps(report, indent=1))
    return 0


def table(found: Mapping[str, list[float]]) -> str:
    """IoU after 1, 3 and 5 prompts, and how far each lies from that of the whole model."""
    rows = ["| without | IoU@1 | IoU@3 | IoU@5 |", "|---|---:|---:|---:|"]
    whole = next(iter(found.values()))
    for name, values in found.items():
        cells = [
            f"{values[k]:.3f}" + (f" ({values[k] - whole[k]:+.3f})" if values is not whole else "") for k in (0, 2, 4)
        ]
        rows.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(rows)


Parts = tuple[Any, Any]
"""Neck and head as :func:`held_answers` calls them."""


def _whole(net: Trainable) -> Parts:
    return net.neck, net.head


def _neck(
    change: Callable[[Tensor, tuple[Tensor, Tensor]], tuple[Tensor, tuple[Tensor, Tensor]]],
) -> Callable[..., Parts]:
    def without(net: Trainable) -> Parts:
        return (lambda tokens, stem: net.neck(*change(tokens, stem))), net.head

    return without


def _head(change: Callable[[list[Tensor]], None]) -> Callable[..., Parts]:
    def without(net: Trainable) -> Parts:
        def asked(*given: Tensor) -> Any:  # noqa: ANN401  (as the head)
            inputs = list(given)
            change(inputs)
            return net.head(*inputs)

        return net.neck, asked

    return without


def _layer(k: int) -> Callable[..., Parts]:
    def change(tokens: Tensor, stem: tuple[Tensor, Tensor]) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        parts = list(tokens.chunk(4, 1))
        parts[k] = flat(parts[k])
        import torch

        return torch.cat(parts, 1), stem

    return _neck(change)


def flat(x: Tensor) -> Tensor:
    """A map that says nothing of places: its mean."""
    return x.mean((-2, -1), keepdim=True).expand_as(x)


def no_mask(inputs: list[Tensor]) -> None:
    """Takes the mask to go on from out of the head's inputs."""
    inputs[4], inputs[5] = inputs[4] * 0, inputs[5] * 0


def no_detail(inputs: list[Tensor]) -> None:
    """Makes the fine map of the head's inputs flat."""
    inputs[1] = flat(inputs[1])


def _no_match(net: Trainable) -> Parts:
    net.head.match_out.weight.data[:, :2] = 0
    return net.neck, net.head


def _attention(net: Trainable) -> list[Any]:
    """The attention of every block."""
    blocks: list[Any] = list(net.head.blocks)
    return [block.attn for block in blocks]


def _no_attention(net: Trainable) -> Parts:
    for attention in _attention(net):
        attention.proj.weight.data.zero_()
        attention.proj.bias.data.zero_()
    return net.neck, net.head


def _one_ratio(k: int) -> Callable[..., Parts]:
    def without(net: Trainable) -> Parts:
        for pool in (attention.pool for attention in _attention(net)):
            pool.ratios, pool.mix = (pool.ratios[k],), pool.mix[k : k + 1]
        return net.neck, net.head

    return without


KNOCKOUTS: Mapping[str, Callable[..., Parts]] = {
    "nothing": _whole,
    "trunk layer 3": _layer(0),
    "trunk layer 6": _layer(1),
    "trunk layer 9": _layer(2),
    "trunk layer 12": _layer(3),
    "the stem (edges before the neck)": _neck(lambda tokens, stem: (tokens, (flat(stem[0]), flat(stem[1])))),
    "the detail branch (feat_1)": _head(no_detail),
    "the earlier mask": _head(no_mask),
    "likeness to the clicks": _no_match,
    "attention": _no_attention,
    "pooling by 4 (8 alone)": _one_ratio(1),
    "pooling by 8 (4 alone)": _one_ratio(0),
}


if __name__ == "__main__":
    sys.exit(main())
