"""The head of the default family in torch: its budget, padding, words, windows, and calibrated scores."""

from __future__ import annotations

from typing import cast

import numpy as np
import pytest
import torch
from torch import Tensor

from maskwright_models.evaluate.calibration import Calibration
from maskwright_models.export.calibration import fold_calibration
from maskwright_models.nn.prompt_maps import prompt_maps
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LOGITS, TEXT_WIDTH, TOKENS, Head, HeadConfig, Neck
from tests.models.training_cases import SMALL
from tests.models.weights import fill


@pytest.fixture(scope="module")
def head() -> Head:
    """A small head with made-up weights."""
    return cast(Head, fill(Head(SMALL)))


def asked(
    config: HeadConfig = SMALL, *, points: int = 3, batch: int = 1, cells: int = TOKENS, text: float = 1.0
) -> tuple[Tensor, ...]:
    """Inputs of a head: random features, points and words."""
    generator = torch.Generator().manual_seed(points)
    size = cells * (INPUT_SIZE // TOKENS)
    stored = torch.randn(batch, config.stored, cells, cells, generator=generator)
    work, *compared = stored.split([config.width, config.match, config.named], 1)
    return (
        torch.cat([work, *(torch.nn.functional.normalize(part) for part in compared)], 1),
        torch.randn(batch, config.fine, size // 4, size // 4, generator=generator),
        torch.rand(batch, points, 2, generator=generator) * size,
        (torch.arange(points) % 2 == 0).float()[None].repeat(batch, 1),
        torch.zeros(batch, 1, size // 2, size // 2),
        torch.zeros(batch),
        torch.randn(batch, TEXT_WIDTH, generator=generator),
        torch.full((batch,), text),
    )


def test_the_head_is_light() -> None:
    from torch.nn.attention import SDPBackend, sdpa_kernel
    from torch.utils.flop_counter import FlopCounterMode

    head = Head(HeadConfig()).eval()
    assert sum(p.numel() for p in head.parameters()) <= 3_000_000
    # the plain backend is the one whose attention is counted on every platform
    with FlopCounterMode(display=False) as counter, torch.inference_mode(), sdpa_kernel(SDPBackend.MATH):
        head(*asked(HeadConfig(), points=5))
    whole = counter.get_total_flops()
    attention = (
        3 * 2 * 2 * 1024 * (64 + 16 + 5 + 1) * 96
    )  # blocks, products, tokens, keys (pooled, clicks, text), width
    assert 0.1e9 < whole - attention <= 0.8e9  # what the counter sees on a processor
    assert whole <= 0.8e9  # with attention


def test_what_the_neck_stores_can_be_compared_by_a_dot_product() -> None:
    neck = fill(Neck(SMALL))
    generator = torch.Generator().manual_seed(0)
    sizes = ((1536, 32), (24, 128), (40, 64))
    tokens, *stem = (torch.randn(2, c, n, n, generator=generator) for c, n in sizes)
    with torch.inference_mode():
        feat_0, feat_1 = neck(tokens, tuple(stem))
    assert feat_0.shape == (2, SMALL.stored, TOKENS, TOKENS) and feat_1.shape == (2, SMALL.fine, 128, 128)
    work, match, named = feat_0.split([SMALL.width, SMALL.match, SMALL.named], 1)
    for part in (match, named):
        assert torch.allclose(part.norm(dim=1), torch.ones(2, TOKENS, TOKENS), atol=1e-5)
    assert float(work.norm(dim=1).std()) > 0.01


def test_padding_of_a_training_batch_changes_nothing(head: Head) -> None:
    plain = asked()
    coords = torch.cat([plain[2], torch.tensor([[[0.0, 0.0], [300.0, 200.0]]])], 1)
    labels = torch.cat([plain[3], torch.full((1, 2), -1.0)], 1)
    moved = labels.clone()
    moved[0, 3] = 1
    with torch.inference_mode():
        logits, scores = head(*plain)
        padded, padded_scores = head(*plain[:2], coords, labels, *plain[4:])
        other, _ = head(*plain[:2], coords, moved, *plain[4:])
    assert torch.allclose(padded, logits, atol=1e-3 * float(logits.abs().max()))
    assert torch.allclose(padded_scores, scores, atol=1e-3)
    assert float((other - logits).abs().max()) > 0.02 * float(logits.abs().max())


def test_objects_of_a_batch_do_not_see_each_other(head: Head) -> None:
    batch = asked(batch=3)
    with torch.inference_mode():
        together = head.answer(*batch)
        alone = head.answer(*(x[1:2] for x in batch))
    assert torch.allclose(together.logits[1:2], alone.logits, atol=1e-4)
    assert torch.allclose(together.scores[1:2], alone.scores, atol=1e-5)


def test_words_change_the_answer_only_where_text_asks(head: Head) -> None:
    said, silent = asked(), asked(text=0.0)
    other = (*silent[:6], -silent[6], silent[7])
    with torch.inference_mode():
        heard, unheard, ignored = (head.answer(*x) for x in (said, silent, other))
    assert torch.equal(unheard.logits, ignored.logits) and torch.equal(unheard.scores, ignored.scores)
    assert float((heard.logits - unheard.logits).abs().max()) > 0.02 * float(unheard.logits.abs().max())


def test_words_begin_with_the_mask_of_what_they_name(head: Head) -> None:
    feat_0, *_, text, _ = said = asked()
    named = 2 * head.word_logits(feat_0, text, torch.tensor([0]))[:, None]
    start = torch.nn.functional.interpolate(named, scale_factor=4, mode="bilinear").repeat_interleave(2, 2)
    start = start.repeat_interleave(2, 3)  # what the head makes half as large again
    shown = (*said[:4], start, torch.ones(1), *said[6:])
    with torch.inference_mode():
        words, mask, other = (head(*x)[0] for x in (said, shown, (*shown[:4], -start, *shown[5:])))
    assert torch.allclose(words, mask, atol=1e-4 * float(mask.abs().max()))
    assert float((words - other).abs().max()) > 0.01 * float(words.abs().max())


def test_words_are_learned_without_a_pass_through_the_head(head: Head) -> None:
    feat_0, _, *_, text, _ = asked(batch=2)
    view_of = torch.tensor([1, 0, 1])
    vectors = torch.cat([text, -text[:1]])
    logits = head.word_logits(feat_0, vectors, view_of)
    assert logits.shape == (3, TOKENS, TOKENS)
    for k in range(3):
        alone = head.word_logits(feat_0[view_of[k]][None], vectors[k : k + 1], torch.tensor([0]))
        assert torch.allclose(logits[k : k + 1], alone, atol=1e-5)
    head.zero_grad()
    logits.square().sum().backward()
    for name in ("text_match.1.weight", "text_match.3.bias", "named"):
        grad = head.get_parameter(name).grad
        assert grad is not None and grad.abs().max() > 0, name
    head.zero_grad(set_to_none=True)


def test_words_alone_are_a_prompt(head: Head) -> None:
    plain = asked(points=1)
    alone = (*plain[:3], torch.full((1, 1), -1.0), *plain[4:])
    with torch.inference_mode():
        logits, scores = head(*alone)
        moved, _ = head(*alone[:2], (alone[2] + 200) % INPUT_SIZE, *alone[3:])
    assert torch.isfinite(logits).all() and ((scores > 0) & (scores < 1)).all()
    assert torch.allclose(logits, moved, atol=1e-5 * float(logits.abs().max()))  # a padded point lies nowhere


def test_with_a_mask_to_go_on_from_the_first_candidate_is_the_answer(head: Head) -> None:
    plain = asked(text=0.0)
    mask = 4 * torch.randn(
        1, 1, LOGITS // 2, LOGITS // 2, generator=torch.Generator().manual_seed(3)
    ).repeat_interleave(2, 2).repeat_interleave(2, 3)
    given = (*plain[:4], mask, torch.ones(1), *plain[6:])
    with torch.inference_mode():
        for inputs, all_of_them in ((plain, True), (given, False)):
            predicted, (logits, scores) = head.answer(*inputs), head(*inputs)
            assert torch.equal(logits, predicted.logits) and torch.equal(scores[:, 0], predicted.scores[:, 0])
            assert torch.equal(
                scores[:, 1:], predicted.scores[:, 1:] if all_of_them else -torch.ones(1, SMALL.candidates - 1)
            )
        assert float(predicted.scores.min()) > 0


# Windows of a quarter of the maps, as training cuts them.


def test_a_window_gives_maps_of_its_size(head: Head) -> None:
    with torch.inference_mode():
        whole, part = head.answer(*asked(batch=2)), head.answer(*asked(batch=2, cells=16))
    assert (whole.logits.shape, part.logits.shape) == ((2, 4, LOGITS, LOGITS), (2, 4, 128, 128))
    assert whole.scores.shape == part.scores.shape == (2, 4)
    assert (whole.rough.shape, part.rough.shape) == ((2, 1, 64, 64), (2, 1, 32, 32))


def test_prompts_of_a_window_are_drawn_where_they_are_in_the_whole() -> None:
    generator = torch.Generator().manual_seed(1)
    coords = 100 + torch.rand(1, 6, 2, generator=generator) * 150
    labels = torch.tensor([[1.0, 0.0, 1.0, -1.0, 2.0, 3.0]])
    mask = torch.randn(1, 1, LOGITS, LOGITS, generator=generator)
    corner = 5, 3  # row and column, in tokens
    y, x = (8 * c for c in corner)
    shifted = coords - torch.tensor([16.0 * corner[1], 16.0 * corner[0]])
    whole = prompt_maps(coords, labels, mask, torch.ones(1), size=INPUT_SIZE)
    part = prompt_maps(shifted, labels, mask[..., y : y + 128, x : x + 128], torch.ones(1), size=256)
    assert torch.allclose(part, whole[..., y : y + 128, x : x + 128], atol=1e-4)


# Calibration.


@pytest.mark.parametrize(("scale", "shift"), [(1.0, 0.0), (0.6, -0.4), (2.5, 1.0)])
def test_a_calibration_can_be_folded_into_the_head(head: Head, scale: float, shift: float) -> None:
    before = {k: v.clone() for k, v in head.state_dict().items()}
    folded = fold_calibration(head, scale, shift)
    with torch.inference_mode():
        (logits, scores), (same, calibrated) = head(*asked(batch=2)), folded(*asked(batch=2))
    assert torch.equal(logits, same)
    want = Calibration(scale, shift, 0.0, 0.0).apply(scores.numpy())
    assert np.abs(calibrated.numpy() - want).max() < 1e-6
    assert torch.equal(scores.argsort(1), calibrated.argsort(1))
    assert all(torch.equal(v, before[k]) for k, v in head.state_dict().items())


def test_a_calibration_that_turns_the_order_is_refused(head: Head) -> None:
    for scale in (0.0, -1.0, float("nan")):
        with pytest.raises(ValueError, match="scale is positive"):
            fold_calibration(head, scale, 0.0)
