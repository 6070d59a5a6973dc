"""Training what only words go through: it learns, and every answer without words stays as it is, to the bit."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright.core.errors import ModelError
from maskwright_models.__main__ import main
from maskwright_models.data.index import read_index
from maskwright_models.data.samples import Mix, SampleSource
from maskwright_models.train.checkpoints import read_checkpoint
from maskwright_models.train.trainer import Trainable, load_trained
from maskwright_models.train.word_views import WordView, drawn, read_views
from maskwright_models.train.words import WordRecipe, WordTrainer, net_for_words
from maskwright_models.zoo.dinov2_imsa import INPUT_SIZE, LOGITS, TEXT_WIDTH, TOKENS
from tests.models.training_cases import SMALL, compute_all, frozen_parts, make_set, words

WORDS = words(**{"left kidney": ("left nephros",), "right kidney": (), "spleen": ()})


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> SampleSource:
    """Two slices with two organs each, whole and as crops, of which some are mirrored."""
    root = tmp_path_factory.mktemp("organs")
    make_set(root / "medical" / "ct_organs", modality="ct", labels=("left kidney", "spleen"))
    sets = read_index(root)
    for round_ in range(4):
        compute_all(sets, root / "f", round_=round_)
    return SampleSource(sets, root / "f", frozen_parts(), words=WORDS, rounds=4, mix=Mix(medical=0.7))


def fresh() -> Trainable:
    torch.manual_seed(0)
    return Trainable(SMALL).eval()


@pytest.fixture(scope="module")
def views(source: SampleSource) -> list[WordView]:
    return read_views(source, fresh().neck)


def test_every_view_with_words_is_read_as_the_neck_sees_it(source: SampleSource, views: list[WordView]) -> None:
    told: list[tuple[int, int]] = []
    again = read_views(source, fresh().neck, on_view=lambda done, total: told.append((done, total)))
    assert len(again) == len(views) == len(source.views[0]) == 8 and told[-1] == (8, 8)
    kidneys = {name for view in views for name in view.names if "kidney" in name}
    assert kidneys == {"left kidney", "right kidney"}  # a mirrored view shows the other one
    for view, (number, round_) in zip(views, source.views[0], strict=True):
        sample = source.load(0, int(number), int(round_), np.random.default_rng(0))
        assert sample is not None
        with torch.inference_mode():
            want = fresh().neck.joined(torch.from_numpy(sample.tokens)[None].float())[0].flatten(1).T
        assert view.tokens.shape == (TOKENS**2, SMALL.coarse)
        assert torch.allclose(view.tokens.float(), want, atol=0.05 * float(want.abs().max()))
        assert view.shares.shape == (len(view.names), TOKENS, TOKENS) and view.shares.any((1, 2)).all()


def test_labels_are_taught_where_they_are_and_others_nowhere(source: SampleSource, views: list[WordView]) -> None:
    vectors, shares = drawn(source, views[0], np.random.default_rng(0))
    spleen, absent = WORDS.vectors["spleen"], WORDS.vectors["right kidney"]
    for vector, share in zip(vectors, shares, strict=True):
        if np.array_equal(vector, spleen):
            assert np.array_equal(share, views[0].shares[views[0].names.index("spleen")].astype(np.float32))
        assert not np.array_equal(vector, absent)  # a label that the set does not have
    assert any(np.array_equal(vector, spleen) for vector in vectors)


def run(folder: Path, source: SampleSource, views: list[WordView], steps: int) -> tuple[WordTrainer, list[float]]:
    trainer = WordTrainer(folder, fresh(), source, views, recipe=WordRecipe(views=4, warmup_steps=1))
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    return trainer, [trainer.one_step(rng, 0.0) for _ in range(steps)]


def test_words_are_learned_and_answers_without_words_do_not_change(
    source: SampleSource, views: list[WordView], tmp_path: Path
) -> None:
    trainer, losses = run(tmp_path / "run", source, views, 60)
    assert np.mean(losses[-10:]) < np.mean(losses[:10]) - 0.05
    trainer.save()
    before, after = fresh(), load_trained(tmp_path / "run" / "last.pt")
    changed = {n for n, p in after.state_dict().items() if not torch.equal(p, before.state_dict()[n])}
    assert {"neck.named.2.weight", "head.text_match.1.weight"} <= changed
    assert all(name.startswith(("neck.named.", "head.text_match.", "head.named")) for name in changed)
    generator = torch.Generator().manual_seed(0)
    sizes = ((1536, 32), (24, 128), (40, 64))
    tokens, *stem = (torch.randn(1, c, n, n, generator=generator) for c, n in sizes)
    prompts = (torch.rand(1, 3, 2, generator=generator) * INPUT_SIZE, torch.tensor([[1.0, 0.0, -1.0]]))
    start = (torch.randn(1, 1, LOGITS, LOGITS, generator=generator), torch.ones(1))
    vector = torch.nn.functional.normalize(torch.randn(1, TEXT_WIDTH, generator=generator), dim=-1)
    for has, same in ((torch.zeros(1), True), (torch.ones(1), False)):
        with torch.inference_mode():
            maps = [net.neck(tokens, tuple(stem)) for net in (before, after)]
            old, new = (
                net.head(*m, *prompts, *start, vector, has)[0] for net, m in zip((before, after), maps, strict=True)
            )
        assert torch.equal(old, new) is same


def test_the_averaged_weights_are_saved(source: SampleSource, views: list[WordView], tmp_path: Path) -> None:
    trainer, _ = run(tmp_path / "run", source, views, 5)
    last = copy.deepcopy(dict(trainer.moving))
    trainer.save()
    state = read_checkpoint(tmp_path / "run" / "last.pt")
    assert (state["step"], state["recipe"]["words_only"]) == (5, True)
    name = "neck.named.2.weight"
    assert torch.equal(state["average"][name], trainer.mean[name]) and torch.equal(
        state["net"][name], trainer.mean[name]
    )
    assert not torch.equal(state["average"][name], last[name])


def test_weights_that_lack_more_than_words_are_refused(tmp_path: Path) -> None:
    weights = fresh().state_dict()
    torch.save({"average": {k: v for k, v in weights.items() if "neck.named" not in k}}, tmp_path / "old.pt")
    net, new = net_for_words(tmp_path / "old.pt", SMALL)
    assert set(new) == {k for k in weights if "neck.named" in k} and not net.training
    torch.save({"average": {k: v for k, v in weights.items() if "masks" not in k}}, tmp_path / "other.pt")
    with pytest.raises(ModelError, match=r"lack 2 parts, first head\.masks\.bias"):
        net_for_words(tmp_path / "other.pt", SMALL)


def test_the_command_trains_and_logs(
    data: Path, store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = words(left=("port",))
    monkeypatch.setattr("maskwright_models.data.sources.pretrained_parts", frozen_parts)
    monkeypatch.setattr("maskwright_models.data.sources.vocabulary_table", lambda path, vocabulary: known.vectors)
    monkeypatch.setattr("maskwright_models.data.sources.load_vocabulary", lambda: known.vocabulary)
    monkeypatch.setattr("maskwright_models.zoo.dinov2_imsa.HeadConfig", lambda: SMALL)
    torch.save({"average": fresh().state_dict(), "config": {}}, tmp_path / "begun.pt")
    command = ["words", str(tmp_path / "begun.pt"), str(data), "--store", str(store), "--out", str(tmp_path / "run")]
    assert main([*command, "--minutes", "0.01", "--threads", "1"]) == 0
    assert "reading views: 4/4" in capsys.readouterr().err
    assert read_checkpoint(tmp_path / "run" / "last.pt")["step"] >= 1


def test_a_run_lasts_as_long_as_it_is_told_and_logs(
    source: SampleSource, views: list[WordView], tmp_path: Path
) -> None:
    recipe = WordRecipe(minutes=0.02, views=2, log_steps=1)
    trainer = WordTrainer(tmp_path / "run", fresh(), source, views, recipe=recipe)
    trainer.run()
    rows = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text("utf-8").splitlines()]
    assert [row["step"] for row in rows] == list(range(1, trainer.step + 1)) and trainer.seconds >= 1.2
    assert all(row["words"] > 0 for row in rows)
