"""What happens when a text names nothing in the picture: no mask, a plain sentence, and clicks that start afresh."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maskwright.core.prompts import Prompts, Text
from maskwright.inference.segmentation import Segmentation


def is_text_alone(prompts: Prompts) -> bool:
    """Whether nothing but words says what is meant."""
    return bool(prompts.text.strip()) and all(isinstance(p, Text) for p in prompts)


def asked(prompts: Prompts, previous: Segmentation | None) -> tuple[Prompts, Segmentation | None, str]:
    """Prompts and previous answer as the head gets them, and the words that are left out.

    Words that were not found stay out of every answer that goes on from there, until other words are said; and what
    the head drew for them, which nobody has seen, is not gone on from.
    """
    if previous is None:
        return prompts, None, ""
    start = None if previous.not_found else previous
    if not previous.missing or previous.missing != prompts.text.strip() or is_text_alone(prompts):
        return prompts, start, ""
    return Prompts(tuple(p for p in prompts if not isinstance(p, Text))), start, previous.missing


def judged(answer: Segmentation, prompts: Prompts, *, floor: float | None, left_out: str = "") -> Segmentation:
    """``answer``, or one without a mask where text alone gave a score below ``floor`` or no pixel at all."""
    if left_out:
        return replace(answer, missing=left_out)
    if not is_text_alone(prompts) or ((floor is None or answer.score >= floor) and answer.mask.any()):
        return answer
    return replace(answer, mask=np.zeros_like(answer.mask), label="", missing=prompts.text.strip())
