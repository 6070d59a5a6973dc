"""`maskwright-models finetune`: the loss falls, a run that was stopped goes on, its checkpoint is an official one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from maskwright.assets import sample_photo
from maskwright.core.errors import ModelError, ScanError
from maskwright_models.__main__ import main
from maskwright_models.checkpoint import load, read_state
from maskwright_models.finetune.pictures import Pictures
from maskwright_models.finetune.recipe import Recipe
from maskwright_models.finetune.run import Run
from maskwright_models.registry import family
from tests.models.finetune_cases import SMALL, checkpoint, run_of, tiny_set

FAMILIES = ("interformer", "imis")
STEPS = 4


def rows_of(run: Run) -> list[dict[str, float]]:
    return [json.loads(row) for row in (run.folder / "log.jsonl").read_text().splitlines()]


def data_of(run: Run) -> Path:
    return run.folder.parent / "data" / ("btcv" if run.name == "imis" else "")


@pytest.fixture(scope="module", params=FAMILIES)
def whole(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was never stopped."""
    folder = tmp_path_factory.mktemp(request.param)
    start, data = checkpoint(request.param, folder / "start.pth"), tiny_set(request.param, folder / "data")
    run = run_of(request.param, data, folder / "run", start, steps=STEPS)
    run.run()
    return run


def test_a_run_that_was_stopped_gives_what_one_that_never_stopped_gives(
    whole: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, data, out = whole.folder.parent / "start.pth", data_of(whole), tmp_path / "run"
    stopped = run_of(whole.name, data, out, start, steps=STEPS)
    one_step = stopped.tuning.step

    def until_the_second(*arguments: Any) -> dict[str, float]:
        if stopped.step == 2:
            raise KeyboardInterrupt
        return one_step(*arguments)

    monkeypatch.setattr(stopped.tuning, "step", until_the_second)
    with pytest.raises(KeyboardInterrupt):
        stopped.run()
    assert not (out / "finetuned.pth").exists() and not list(out.glob(".*"))
    with open(out / "log.jsonl", "a") as log:
        log.write('{"step": 3, "hours": 0.0}\n{"step": ')  # a step that was not saved, and half a row
    start.rename(tmp_path / "away.pth")  # a run that has saved no longer reads the checkpoint it began with
    try:
        again = run_of(whole.name, data, out, start, steps=STEPS)
    finally:
        (tmp_path / "away.pth").rename(start)
    assert again.step == 2
    faster = run_of(whole.name, data, out, start, steps=STEPS, rate=5e-3)
    assert max(g["top"] for g in faster.optimiser.param_groups) == 5e-3 and faster.optimiser.state
    again.run()
    ours, theirs = read_state(out / "finetuned.pth"), read_state(whole.folder / "finetuned.pth")
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[k], theirs[k]) for k in ours)
    assert [r["step"] for r in rows_of(again)] == [1, 2, 3, 4]
    assert [r["loss"] for r in rows_of(again)] == [r["loss"] for r in rows_of(whole)]


def test_the_checkpoint_has_the_official_names_and_is_loaded_strictly(whole: Run) -> None:
    path = whole.folder / "finetuned.pth"
    loaded = load(path)
    assert loaded.name == whole.name
    state, begun = read_state(path), read_state(whole.folder.parent / "start.pth")
    assert begun.keys() <= state.keys()
    assert any(not torch.equal(state[k], v) for k, v in begun.items())


def test_the_command_ends_a_run_whose_checkpoint_is_imported(
    whole: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = ["--data", str(data_of(whole)), "--out", str(whole.folder), "--device", "cpu", "--steps", str(STEPS)]
    again = [*places, "--family", whole.name, str(whole.folder.parent / "start.pth"), "--batch", "2"]
    assert main(["finetune", *again]) == 0  # the budget is used up: only the checkpoint is written again
    said = capsys.readouterr()
    report = json.loads(said.out)
    assert (report["family"], report["variant"], report["steps"]) == (whole.name, SMALL[whole.name], STEPS)
    assert "going on at step 4" in said.err
    more = ["--variant", SMALL[whole.name], "--images", str(sample_photo())]
    assert main(["import", report["checkpoint"], "--out", str(tmp_path / "tuned"), *more]) == 0
    card = json.loads((tmp_path / "tuned" / "model.json").read_text())
    assert card["family"] == whole.name


@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_falls_on_one_image(name: str, tmp_path: Path) -> None:
    data = tiny_set(name, tmp_path / "data")
    run = run_of(name, data, tmp_path / "run", checkpoint(name, tmp_path / "a.pth"), steps=16, save_minutes=9.0)
    run.run()
    losses = [row["loss"] for row in rows_of(run)]
    assert sum(losses[-4:]) < 0.9 * sum(losses[:4])


def test_fresh_weights_are_trained_by_the_command(tmp_path: Path) -> None:
    data, out = tiny_set("imis", tmp_path / "data"), tmp_path / "run"
    sizes = ["--batch", "1", "--masks", "1", "--rounds", "1", "--steps", "1", "--layout", "imed", "--split", "train"]
    start = ["--random", "--family", "imis", "--variant", "mini_128"]
    assert main(["finetune", *start, "--data", str(data), "--out", str(out), "--device", "cpu", *sizes]) == 0
    assert load(out / "finetuned.pth", name="imis", variant="mini_128").variant == "mini_128"


def refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, *arguments: str) -> str:
    """What the command says where it refuses; nothing is left behind."""
    out = tmp_path / "refused"
    assert main(["finetune", *arguments, "--out", str(out), "--device", "cpu", "--steps", "1"]) == 1
    assert not out.exists()
    return capsys.readouterr().err


def test_bad_input_is_refused_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = ["--data", str(tiny_set("imis", tmp_path / "data"))]
    good, other = checkpoint("imis", tmp_path / "imis.pth"), checkpoint("interformer", tmp_path / "inter.pth")
    cut = tmp_path / "cut.pth"
    cut.write_bytes(good.read_bytes()[:5000])
    empty = tmp_path / "empty"
    empty.mkdir()
    imis = ["--family", "imis", *data]
    assert "this is not a checkpoint of IMIS-Net: it looks like interformer mini" in refused(
        capsys, tmp_path, str(other), *imis
    )
    assert "cut off or not one of torch" in refused(capsys, tmp_path, str(cut), *imis)
    assert "has no variant 'vit_x'" in refused(capsys, tmp_path, str(good), *imis, "--variant", "vit_x")
    assert "fresh weights need a variant" in refused(capsys, tmp_path, "--random", *imis)
    assert "a checkpoint or with --random" in refused(capsys, tmp_path, *imis)
    assert "there are no training sets here" in refused(
        capsys, tmp_path, str(good), "--family", "imis", "--data", str(empty)
    )
    assert "two images a step" in refused(
        capsys, tmp_path, str(other), "--family", "interformer", *data, "--batch", "1"
    )


def test_sets_without_an_object_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskwright_models.finetune.pictures.MOST_TRIES", 3)
    with pytest.raises(ScanError, match="hold no image"):
        Pictures([], tmp_path)
    data = tiny_set("imis", tmp_path / "data")
    run = run_of("imis", data, tmp_path / "run", checkpoint("imis", tmp_path / "a.pth"), steps=1)
    for entry in run.tuning.pictures.entries:  # type: ignore[attr-defined]
        entry.labels.clear()  # regions alone are nothing that IMIS-Net is asked for
    with pytest.raises(ScanError, match="shows an object"):
        run.run()
    assert not run.folder.exists()


def test_a_run_folder_is_not_shared_and_its_damage_is_said(whole: Run, tmp_path: Path) -> None:
    from maskwright_models.finetune.run import resumed

    other = next(name for name in FAMILIES if name != whole.name)
    with pytest.raises(ModelError, match=f"holds a run of {whole.name}"):
        resumed(whole.folder, name=other, variant="auto")
    with pytest.raises(ModelError, match="holds a run"):
        resumed(whole.folder, name=whole.name, variant=family(whole.name).variants[-1])
    (tmp_path / "last.pt").write_bytes((whole.folder / "last.pt").read_bytes()[:4000])
    with pytest.raises(ModelError, match="cannot be read"):
        resumed(tmp_path, name=whole.name, variant="auto")
    torch.save({"step": 1}, tmp_path / "last.pt")
    with pytest.raises(ModelError, match="something else"):
        resumed(tmp_path, name=whole.name, variant="auto")


def test_the_budget_is_the_first_that_is_used_up() -> None:
    both = Recipe(steps=10, hours=1.0)
    assert both.progress(5, 0.0) == 0.5
    assert both.progress(1, 1800.0) == 0.5
    assert both.progress(30, 0.0) == 1.0
    with pytest.raises(ValueError, match="steps or hours"):
        Recipe()
