"""``--layout`` and ``--split`` of `maskwright-models features` and `train`: sets in the layouts of others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from maskwright.core.features import Features
from maskwright.core.volume import View
from maskwright_models.__main__ import main
from maskwright_models.data.features import open_store
from maskwright_models.data.index import read_index
from maskwright_models.data.volumes import index_with_volumes
from tests.models.layout_cases import imed, sbd
from tests.models.training_cases import frozen_parts


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("maskwright_models.data.features.pretrained_parts", frozen_parts)
    monkeypatch.setattr("maskwright_models.data.sources.pretrained_parts", frozen_parts)
    monkeypatch.setattr("maskwright_models.data.sources.vocabulary_table", lambda path, vocabulary: {})


@pytest.mark.parametrize(("make", "layout"), [(imed, "imed"), (sbd, "sbd"), (sbd, "auto")])
def test_features_are_computed_of_a_set_in_its_own_layout(
    make: Callable[[Path], Path], layout: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = make(tmp_path / "set")
    store = tmp_path / "store"
    assert main(["features", str(root), "--layout", layout, "--store", str(store), "--device", "cpu"]) == 0
    (dataset,) = read_index(root, layout=layout)
    for part in frozen_parts():
        features = open_store(store, dataset, part).read(View(0, 0))
        assert isinstance(features, Features) and features.arrays[0].shape[0] == 1
    assert "1 views of" in capsys.readouterr().err


def test_the_split_that_is_named_is_read(tmp_path: Path) -> None:
    root = imed(tmp_path / "set")
    about = json.loads((root / "dataset.json").read_text())
    (root / "dataset.json").write_text(json.dumps(about | {"test": about["training"] * 2}))
    assert [len(d.images) for d in index_with_volumes(root, None, layout="imed")] == [1]
    assert [len(d.images) for d in index_with_volumes(root, None, layout="imed", split="val")] == [2]


@pytest.mark.parametrize("command", ["features", "train"])
def test_another_layout_than_the_files_have_is_refused(
    command: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = [command, str(sbd(tmp_path / "set")), "--store", str(tmp_path / "store"), "--device", "cpu"]
    arguments += ["--out", str(tmp_path / "run")] if command == "train" else []
    assert main([*arguments, "--layout", "imed"]) == 1
    assert "nothing here looks like IMed-361M" in capsys.readouterr().err
    assert main([*arguments, "--layout", "voc"]) == 1
    assert "there is no layout named voc" in capsys.readouterr().err


def test_training_reads_the_layout_and_asks_for_its_features(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = sbd(tmp_path / "set")
    places = ["--store", str(tmp_path / "store"), "--device", "cpu", "--layout", "sbd", "--split", "val"]
    assert main(["train", str(root), *places, "--out", str(tmp_path / "run")]) == 1
    assert "no features of these sets are ready" in capsys.readouterr().err
