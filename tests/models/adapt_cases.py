"""A model small enough to be trained in a test, and a project of photos with accepted masks, made without a window."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.core.fingerprint import fingerprint
from maskwright.core.labels import Label, LabelSet
from maskwright.core.mask import Mask
from maskwright.inference.model_folder import sha256_of
from maskwright.io.journal import PROJECT, Journal
from maskwright.io.places import JOURNAL
from maskwright.io.scans import open_scan
from maskwright_models.export.onnx_files import export_default
from maskwright_models.export.text_files import export_text_files
from maskwright_models.zoo.dinov2_imsa import Head
from tests.models.exported_case import small_tower, small_trunk
from tests.models.test_minilm import tiny_tokenizer
from tests.models.training_cases import SMALL

SHAPE = (48, 64)
LABELS = LabelSet((Label(1, "Object", (1, 2, 3)), Label(2, "Coin", (4, 5, 6))))


class Bright(nn.Module):
    """Stands for the encoder: both maps show how bright the picture is."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = small_trunk()  # its sizes are written into the card

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        coarse, fine = F.avg_pool2d(image, 16), F.avg_pool2d(image, 4)
        return coarse.repeat(1, 11, 1, 1)[:, : SMALL.stored], fine.repeat(1, 3, 1, 1)[:, : SMALL.fine]


def small_head() -> Head:
    """An untrained head, exact in float16; no two of its weights are equal, since a graph holds equal ones once."""
    torch.manual_seed(3)
    head = Head(SMALL).eval()
    with torch.no_grad():
        for value in head.state_dict().values():
            if value.is_floating_point():
                value.copy_((value + 0.02 * torch.rand_like(value)).half().float())
    return head


def make_base(folder: Path) -> Path:
    """A model of the default family with that head, and texts beside it; it could take words, but does not say so."""
    folder.mkdir(parents=True)
    text = export_text_files(folder, tower=small_tower(), tokenizer=tiny_tokenizer(), labels=["coin"])
    about = {"id": folder.name, "name": "Base", "version": "7", "licence": "Apache-2.0", "citation": "Nobody"}
    export_default(Bright(), small_head(), folder, about=about | {"notice": "Made of dust."}, text=text)  # type: ignore
    (folder / "LICENSE").write_text("do as you like\n", "utf-8")
    (folder / "README.md").write_text("about the base\n", "utf-8")
    return with_entries(folder, prompts=["point", "box"], text_floor=None)


def with_entries(folder: Path, **entries: object) -> Path:
    """The same model with other entries in its card."""
    card = json.loads((folder / "model.json").read_text("utf-8"))
    card["sha256"] = {name: sha256_of(folder / name) for name in card["sha256"]}
    (folder / "model.json").write_text(json.dumps(card | entries), "utf-8")
    return folder


def disk(n: int) -> np.ndarray:
    """(Y, X) bool, another one for each ``n``."""
    rng = np.random.default_rng(n)
    x, y, radius = rng.integers(16, 48), rng.integers(14, 34), rng.integers(7, 13)
    yy, xx = np.mgrid[: SHAPE[0], : SHAPE[1]]
    return (xx - x) ** 2 + (yy - y) ** 2 <= radius**2


def picture(n: int) -> np.ndarray:
    """(Y, X, 3) uint8: a bright disk."""
    grey = np.random.default_rng(100 + n).integers(0, 50, SHAPE) + disk(n) * 170
    return np.repeat(grey[..., None], 3, 2).astype(np.uint8)


def make_folder(folder: Path, count: int) -> Path:
    """Pictures and masks in the layout of an evaluation set."""
    for part in ("images", "masks"):
        (folder / part).mkdir(parents=True)
    for n in range(count):
        cv2.imwrite(str(folder / "images" / f"{n:02}.png"), picture(n))
        cv2.imwrite(str(folder / "masks" / f"{n:02}.png"), disk(n).astype(np.uint8) * 255)
    rows = [f"{n:02}.png,coin" for n in range(count)]
    (folder / "labels.csv").write_text("\n".join(rows) + "\n", "utf-8")
    return folder


def make_project(folder: Path, photos: Path, count: int, *, labels: Sequence[int] = (1, 2)) -> Path:
    """A project of ``count`` photos with one accepted mask each, labels in turn."""
    photos.mkdir(parents=True)
    state: dict[tuple[int, str], bytes | None] = {
        (PROJECT, "labels"): json.dumps({"labels": LABELS.to_json(), "retired": []}).encode()
    }
    for n in range(count):
        path = photos / f"{n}.png"
        cv2.imwrite(str(path), picture(n))
        entry = {"path": str(path), "name": path.name, "fingerprint": fingerprint(open_scan(path))}
        state[n + 1, "scan"] = json.dumps(entry).encode()
        state[n + 1, "object/1"] = json.dumps([1, labels[n % len(labels)], True, None]).encode()
        state[n + 1, "mask/1/0/0"] = Mask.from_array(disk(n)).to_bytes()
    journal = Journal.open(folder / JOURNAL)
    journal.put(state)
    journal.close()
    return folder
