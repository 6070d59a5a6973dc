"""Published checkpoints are read without running anything, and with every tensor accounted for."""

from __future__ import annotations

import collections
import os
import pickle
from pathlib import Path

import pytest
import torch

from maskwright.core.errors import ModelError
from maskwright_models.checkpoint import load, read_state
from maskwright_models.zoo import sam
from tests.models.sam_cases import SMALL, add_small


@pytest.fixture(autouse=True)
def small_variants(monkeypatch: pytest.MonkeyPatch) -> None:
    add_small(monkeypatch)


@pytest.fixture
def state() -> dict[str, torch.Tensor]:
    config = SMALL["sam"]
    assert isinstance(config, sam.SamConfig)
    return sam.Sam(config).state_dict()


def saved(path: Path, value: object) -> Path:
    torch.save(value, path)
    return path


@pytest.mark.parametrize("wrap", ["bare", "state_dict", "model", "module."])
def test_a_state_dict_is_found_wherever_it_lies(tmp_path: Path, state: dict[str, torch.Tensor], wrap: str) -> None:
    value: object = state
    if wrap == "module.":
        value = {wrap + k: v for k, v in state.items()}
    elif wrap != "bare":
        value = {wrap: state, "epoch": 3}
    loaded = load(saved(tmp_path / "sam.pth", value))
    assert (loaded.name, loaded.variant) == ("sam", "small")
    own = loaded.model.state_dict()
    assert own.keys() == state.keys() and all(torch.equal(own[k], v) for k, v in state.items())
    assert not loaded.model.training


def test_half_precision_is_read_as_single(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    loaded = load(saved(tmp_path / "sam.pth", {k: v.half() for k, v in state.items()}))
    assert {v.dtype for v in loaded.model.state_dict().values()} == {torch.float32}


def test_the_same_tensors_are_another_model_where_they_are_said_to_be(
    tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    path = saved(tmp_path / "medsam.pth", state)
    assert load(path).name == "sam"
    assert load(path, name="medsam").name == "medsam"


class Bomb:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple:
        return os.system, (f"touch '{self.target}'",)


@pytest.mark.parametrize("protocol", [None, 2, 3, 4, 5])
def test_a_file_that_would_run_code_is_refused_and_runs_nothing(tmp_path: Path, protocol: int | None) -> None:
    path, target = tmp_path / "bomb.pth", tmp_path / "it ran"
    if protocol is None:
        torch.save({"model": Bomb(target)}, path)
    else:
        path.write_bytes(pickle.dumps({"model": Bomb(target)}, protocol))
    named = "a plain pickle" if (protocol or 0) > 3 else f"{os.system.__module__}.system"
    with pytest.raises(ModelError, match=rf"would run code when it is opened \({named}\)") as caught:
        load(path)
    assert caught.value.path == path
    assert not target.exists()


def test_an_optimizer_saved_whole_is_passed_over(tmp_path: Path) -> None:
    config = SMALL["sam_med2d"]
    assert isinstance(config, sam.SamConfig)
    model = sam.Sam(config)
    optimizer = torch.optim.Adam(model.parameters())
    next(model.parameters()).grad = torch.zeros_like(next(model.parameters()))
    optimizer.step()
    assert isinstance(optimizer.state, collections.defaultdict)
    path = saved(tmp_path / "sam-med2d.pth", {"model": model.state_dict(), "optimizer": optimizer})
    assert load(path).name == "sam_med2d"


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_said_to_be_cut_off(tmp_path: Path, state: dict[str, torch.Tensor], share: float) -> None:
    path = saved(tmp_path / "sam.pth", state)
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelError, match="cut off or not one of torch"):
        load(path)


@pytest.mark.parametrize("value", [[1, 2], {"epoch": 3}, torch.zeros(3), "text"])
def test_a_file_without_a_state_dict_says_so(tmp_path: Path, value: object) -> None:
    with pytest.raises(ModelError, match="holds no state dict"):
        read_state(saved(tmp_path / "x.pth", value))


def test_a_missing_file_and_a_folder_are_no_checkpoints(tmp_path: Path) -> None:
    for path in (tmp_path / "none.pth", tmp_path):
        with pytest.raises(ModelError, match="there is no such checkpoint"):
            load(path)


def test_the_wrong_family_is_told_which_one_it_looks_like(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    path = saved(tmp_path / "sam.pth", state)
    with pytest.raises(ModelError, match="not a checkpoint of MobileSAM: it looks like sam small") as caught:
        load(path, name="mobile_sam")
    assert caught.value.hint == "Use --family sam."
    with pytest.raises(ModelError, match="there is no model family 'sma'") as caught:
        load(path, name="sma")
    assert "mobile_sam" in caught.value.hint
    other = saved(tmp_path / "other.pth", {"layer.weight": torch.zeros(3)})
    with pytest.raises(ModelError, match="of no family that is known"):
        load(other)


def test_tensors_that_do_not_fit_are_listed_with_their_number(tmp_path: Path, state: dict[str, torch.Tensor]) -> None:
    lost = [k for k in state if k.startswith("mask_decoder.transformer.")]
    path = saved(tmp_path / "sam.pth", {k: v for k, v in state.items() if k not in lost})
    with pytest.raises(ModelError, match=f"{len(lost)} missing: .* and {len(lost) - 12} more"):
        load(path)
    path = saved(path, state | {"extra": torch.zeros(1), "image_encoder.neck.0.weight": torch.zeros(1, 2)})
    with pytest.raises(ModelError, match=r"1 unknown: extra; 1 of another shape: .*neck.0.weight is \(1, 2\), not"):
        load(path)
    broken = state["mask_decoder.iou_token.weight"].clone()
    broken[0, 0] = float("nan")
    path = saved(path, state | {"mask_decoder.iou_token.weight": broken})
    with pytest.raises(ModelError, match="1 not finite: mask_decoder.iou_token.weight"):
        load(path)
