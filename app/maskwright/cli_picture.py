"""Draws what a job did: each picture with its clicks and its mask, side by side on one dark sheet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from maskwright.core.orientation import SliceOrientation
from maskwright.core.prompts import Box, Point, Prompts

Color = tuple[int, int, int]

PAPER: Color = (24, 26, 31)
INK: Color = (233, 236, 241)
FAINT: Color = (150, 158, 171)
POSITIVE: Color = (52, 199, 120)
NEGATIVE: Color = (239, 83, 80)
WHITE: Color = (255, 255, 255)

HEIGHT = 480
MARGIN = 28
HEAD = 76
FOOT = 64


@dataclass(frozen=True, slots=True, eq=False)
class Panel:
    """One picture of the sheet.

    `rgb` is (Y, X, 3) uint8, `mask` (Y, X) bool of the same size, `color` the RGB of the mask, `aspect` the height of a
    pixel over its width. `title` stands above, `caption` below.
    """

    title: str
    caption: str
    rgb: np.ndarray
    mask: np.ndarray
    prompts: Prompts
    color: Color
    aspect: float = 1.0


def as_seen(panel: Panel, orientation: SliceOrientation) -> Panel:
    """The panel mirrored as the window shows the slice; clicks and boxes move along."""
    flip_x, flip_y = orientation.flip_x, orientation.flip_y
    rows, columns = panel.mask.shape
    moved = Prompts()
    for prompt in panel.prompts:
        if isinstance(prompt, Point):
            x, y = (columns - 1 - prompt.x if flip_x else prompt.x), (rows - 1 - prompt.y if flip_y else prompt.y)
            moved = moved.add(Point(x, y, positive=prompt.positive))
        elif isinstance(prompt, Box):
            x0, x1 = (columns - prompt.x1, columns - prompt.x0) if flip_x else (prompt.x0, prompt.x1)
            y0, y1 = (rows - prompt.y1, rows - prompt.y0) if flip_y else (prompt.y0, prompt.y1)
            moved = moved.add(Box(x0, y0, x1, y1))
    step = (slice(None, None, -1 if flip_y else 1), slice(None, None, -1 if flip_x else 1))
    return replace(panel, rgb=np.ascontiguousarray(panel.rgb[step]), mask=panel.mask[step].copy(), prompts=moved)


def sheet(title: str, panels: Sequence[Panel]) -> np.ndarray:
    """All panels at one height, (Y, X, 3) uint8 RGB."""
    pictures = [_picture(panel) for panel in panels]
    width = MARGIN + sum(picture.shape[1] + MARGIN for picture in pictures)
    out = np.empty((HEAD + 40 + HEIGHT + FOOT, width, 3), np.uint8)
    out[:] = PAPER
    _text(out, title, (MARGIN, 48), INK, 26, weight=600)
    x = MARGIN
    for panel, picture in zip(panels, pictures, strict=True):
        _text(out, panel.title, (x, HEAD + 22), INK, 18, weight=500)
        out[HEAD + 40 : HEAD + 40 + HEIGHT, x : x + picture.shape[1]] = picture
        _text(out, panel.caption, (x, HEAD + 40 + HEIGHT + 32), FAINT, 15)
        x += picture.shape[1] + MARGIN
    return out


def _picture(panel: Panel) -> np.ndarray:
    """The panel at the sheet's height: picture, translucent mask, its outline, then the prompts on top."""
    import cv2

    rows, columns = panel.mask.shape
    scale_y = HEIGHT / rows
    scale_x = scale_y / panel.aspect
    size = (max(1, round(columns * scale_x)), HEIGHT)
    out = cv2.resize(panel.rgb, size, interpolation=cv2.INTER_CUBIC)
    # The mask is enlarged as a smooth field and cut at one half: its outline then has no stairs.
    field = cv2.resize(panel.mask.astype(np.float32), size, interpolation=cv2.INTER_CUBIC)
    inside = field > 0.5
    out[inside] = (0.55 * out[inside] + 0.45 * np.array(panel.color)).astype(np.uint8)
    rings, _ = cv2.findContours(inside.astype(np.uint8), cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(out, rings, -1, panel.color, 2, cv2.LINE_AA)
    for prompt in panel.prompts:
        if isinstance(prompt, Point):
            at = (round((prompt.x + 0.5) * scale_x), round((prompt.y + 0.5) * scale_y))
            cv2.circle(out, at, 9, WHITE, -1, cv2.LINE_AA)
            cv2.circle(out, at, 7, POSITIVE if prompt.positive else NEGATIVE, -1, cv2.LINE_AA)
            cv2.line(out, (at[0] - 3, at[1]), (at[0] + 3, at[1]), WHITE, 2)
            if prompt.positive:
                cv2.line(out, (at[0], at[1] - 3), (at[0], at[1] + 3), WHITE, 2)
        elif isinstance(prompt, Box):
            corners = [
                (round(x * scale_x), round(y * scale_y)) for x, y in ((prompt.x0, prompt.y0), (prompt.x1, prompt.y1))
            ]
            cv2.rectangle(out, corners[0], corners[1], WHITE, 2, cv2.LINE_AA)
    return out


def _text(out: np.ndarray, text: str, at: tuple[int, int], color: Color, size: int, *, weight: int = 400) -> None:
    import cv2

    cv2.putText(out, text, at, color, cv2.FontFace("sans"), size, weight)
