"""Figures that papers print of other systems, to stand beside ours where a folder holds the same set."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

RITM_SETS = ("grabcut", "berkeley", "sbd", "davis", "mvtec", "cod10k")
"""The sets of the papers, as words of a folder's name."""


@dataclass(frozen=True, slots=True)
class Published:
    """One system: seconds per click (empty where not given), and for each set NoC@85 (None where not given), NoC@90."""

    name: str
    seconds: str
    clicks: Mapping[str, tuple[float | None, float]]


def _row(name: str, seconds: str, at90: str, at85: str = "") -> Published:
    firsts = at85.split() or ["-"] * len(at90.split())
    pairs = zip(RITM_SETS, firsts, at90.split(), strict=False)
    return Published(name, seconds, {s: (None if a == "-" else float(a), float(b)) for s, a, b in pairs})


PUBLISHED = (
    _row("InterFormer-Light (ViT-B)", "0.13", "1.50 3.14 6.34 6.19 12.03 11.27"),
    _row("InterFormer-Tiny (ViT-L)", "0.23", "1.36 2.53 5.51 5.21 10.84 9.42"),
    _row("SimpleClick ViT-B", "1.26", "1.48 1.97 5.62 5.06 11.15 9.93"),
    _row("SimpleClick ViT-L", "3.12", "1.40 1.89 4.89 4.81 10.65 9.07"),
    _row("SimpleClick ViT-H", "6.99", "1.50 1.75 4.70 4.78 10.56 9.13"),
    _row("FocalClick SegF-B0-S2", "0.02", "1.66 2.27 6.86 5.49 12.31 11.77", "1.40 1.59 4.56 4.04 - -"),
    _row("FocalClick HR32-S2", "0.14", "1.80 2.36 6.51 5.39 12.40 11.59", "1.64 1.70 4.24 4.01 - -"),
    _row("RITM HR18s-IT", "", "1.68 2.60 6.48 5.98", "1.54 - 4.04 4.70"),
    _row("RITM HR32-IT", "", "1.56 2.10 5.71 5.34", "1.46 - 3.59 4.11"),
    _row("SAM ViT-H", "0.35", "1.88 2.09 7.62 5.19 13.97 10.36"),
    _row("FocSAM ViT-H", "0.39", "1.32 1.47 4.69 4.77 11.14 8.91"),
)
"""NoC@90 and seconds per click (decoder and a twentieth of the encoder, on two Xeon Silver): Table 1 of FocSAM (CVPR
2024); NoC@85 and all of RITM: the tables of the RITM and ClickSEG repositories. All trained on COCO and LVIS."""

IMIS_PUBLISHED = {
    "IMIS-Net": {"point": 88.48, "box": 90.60, "text": 76.30, "text+point": 88.25},
}
"""Dice in percent after the first round on the test split of IMed-361M, 1024 pixels: ablations of the IMIS-Net paper
(CVPR 2025) as a digest of it gives them. Other data than any folder here: for orientation alone."""


def paper_set(folder: str) -> str | None:
    """The paper's set that a folder of this name holds, if it is one."""
    words = folder.lower().replace("-", "_").split("_")
    return next((name for name in RITM_SETS if name in words), None)
