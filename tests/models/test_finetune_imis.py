"""IMIS-Net's recipe: views, prompts, rounds, what is frozen, and the names that come out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from maskwright_models.data.index import ImageEntry, read_index
from maskwright_models.finetune.imis import TRAINED, ImisTuning
from maskwright_models.finetune.imis_prompts import Sent, answer, error_points, first_boxes, first_points
from maskwright_models.finetune.imis_views import changed, cleaned_regions, masks_view
from maskwright_models.finetune.imis_words import Words
from maskwright_models.finetune.pictures import Pictures
from maskwright_models.finetune.recipe import Recipe
from maskwright_models.finetune.start import Start, from_checkpoint
from maskwright_models.registry import family
from maskwright_models.zoo.imis_files import CATEGORIES_FILE, TOKENIZER_FOLDER, ImisFiles, find_files
from maskwright_models.zoo.imis_model import ImisNet
from tests.models.finetune_cases import CPU, checkpoint
from tests.models.imis_cases import save_categories, save_vocabulary
from tests.models.layout_cases import imed
from tests.models.training_cases import make_set


@pytest.fixture(scope="module")
def entry(tmp_path_factory: pytest.TempPathFactory) -> ImageEntry:
    return read_index(imed(tmp_path_factory.mktemp("imed") / "btcv"))[0].images[0]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Pictures:
    root = imed(tmp_path_factory.mktemp("imed") / "btcv")
    return Pictures(read_index(root), root)


@pytest.fixture
def model() -> ImisNet:
    torch.manual_seed(0)
    built = family("imis").build("mini_128")
    assert isinstance(built, ImisNet)
    return built


@pytest.fixture
def files(tmp_path: Path) -> ImisFiles:
    save_vocabulary(tmp_path / TOKENIZER_FOLDER)
    save_categories(tmp_path / CATEGORIES_FILE)
    return find_files(tmp_path)


def square(low: int, high: int, size: int = 64) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[low:high, low:high] = True
    return mask


def test_a_view_has_several_objects_with_their_labels_and_regions(entry: ImageEntry) -> None:
    view = masks_view(entry, np.random.default_rng(0), size=64, masks=3)
    assert view is not None
    assert view.image.shape == (3, 64, 64) and view.truths.shape == (3, 64, 64) == view.regions.shape
    assert sorted(view.texts) == ["left kidney", "liver", "liver tumor"]  # each once, for there are enough
    area = {text: int(mask.sum()) for text, mask in zip(view.texts, view.truths, strict=True)}
    assert area["liver"] > area["left kidney"] > area["liver tumor"] > 0
    assert (view.truths[view.texts.index("liver")] >= view.truths[view.texts.index("liver tumor")]).all()
    assert all(mask.any() for mask in view.regions)
    more = masks_view(entry, np.random.default_rng(0), size=64, masks=5)
    assert more is not None and len(more.texts) == 5 and set(more.texts) == set(view.texts)


def test_our_own_layout_has_objects_without_regions(tmp_path: Path) -> None:
    make_set(tmp_path / "medical" / "ct_disks", modality="ct")
    found = read_index(tmp_path)[0].images[0]
    view = masks_view(found, np.random.default_rng(0), size=64, masks=2)
    assert view is not None and set(view.texts) == {"left", ""} and view.regions.shape == (0, 64, 64)


def test_regions_are_cleaned() -> None:
    index = np.zeros((100, 100), np.int32)
    index[10:40, 10:40], index[60:62, 60:62], index[80:90, 80:90] = 1, 2, 3
    index[20, 20] = 0  # a hole of one pixel
    index[5, 45] = 1  # a speck
    index[50:53, 5:8] = 4  # 9 pixels, of which opening leaves a cross
    (first, third, fourth) = cleaned_regions(index)
    assert not first[5, 45] and int(first.sum()) >= 890
    assert int(third.sum()) > 80 and int(fourth.sum()) == 5
    assert cleaned_regions(np.zeros((50, 50), np.int32)) == []


def test_intensities_change_by_a_fifth_at_most() -> None:
    image = np.ones((3, 8, 8), np.float32)
    values = np.array([changed(image, np.random.default_rng(seed))[0, 0, 0] for seed in range(200)])
    assert 0.55 < (values == 1).mean() < 0.73 and values.min() >= 0.6 - 1e-6 and values.max() <= 1.4 + 1e-6


def test_first_prompts_lie_on_the_object() -> None:
    truths = np.stack([square(0, 20), square(30, 60)])
    rng = np.random.default_rng(0)
    points = first_points(truths, rng, CPU)
    assert points.coords is not None and points.labels is not None and points.labels.tolist() == [[1.0], [1.0]]
    for truth, (xy,) in zip(truths, points.coords.int().tolist(), strict=True):
        assert truth[xy[1], xy[0]]
    exact = torch.tensor([[0.0, 0, 19, 19], [30, 30, 59, 59]])
    off = [first_boxes(truths, rng, CPU).box for _ in range(20)]
    assert all(box is not None and float((box - exact).abs().max()) <= 5 and float(box.min()) >= 0 for box in off)
    assert len({str(box) for box in off}) > 1


def test_corrections_say_what_is_wrong_with_a_pixel() -> None:
    truths, predictions = np.stack([square(10, 30)] * 3), np.stack([square(10, 20), square(10, 40), square(10, 30)])
    counts = set()
    for seed in range(12):
        coords, labels = error_points(predictions, truths, np.random.default_rng(seed), CPU)
        counts.add(labels.shape[1])
        assert (labels[0] == 1).all() and (labels[1] == 0).all() and (labels[2] == -1).all()
        for i in (0, 1):
            at = coords[i].int().numpy()
            assert (predictions[i] ^ truths[i])[at[:, 1], at[:, 0]].all()
    assert counts == {1, 3, 4, 7}


def test_the_answer_is_that_of_the_model_and_a_mask_alone_leaves_no_token(model: ImisNet) -> None:
    model.eval()
    features = torch.randn(2, model.config.vit.width, 8, 8)
    coords, labels, mask = torch.rand(2, 3, 2) * 100, torch.tensor([[1.0, 0, -1]] * 2), torch.randn(2, 1, 32, 32)
    text = torch.randn(2, model.config.vit.width)
    with torch.no_grad():
        for sent in (Sent(coords, labels), Sent(coords, labels, mask=mask), Sent(text=text, mask=mask)):
            logits, iou = answer(model, features, sent)
            every, scores, _ = model(
                features, coords=sent.coords, labels=sent.labels, box=sent.box, mask=sent.mask, text=sent.text
            )
            best = scores[:, 1:].argmax(1) + 1
            assert torch.equal(logits[:, 0], every[torch.arange(2), best])
            assert torch.equal(iou[:, 0], scores[torch.arange(2), best])
        alone, _ = answer(model, features, Sent(mask=mask))
        assert alone.shape == (2, 1, 32, 32) and not torch.equal(alone, logits)


def test_words_are_put_into_the_published_sentence(files: ImisFiles) -> None:
    words = Words(files)
    assert words.sentence("kidney_left") == words.sentence("Kidney-left") == "A segmentation area of a left kidney."
    assert words.sentence("left kidney") == words.sentence("kidney_left")
    assert words.sentence("spleen") == "A segmentation area of a spleen."
    ids = words.ids(["liver", "left kidney"])
    assert ids is not None and ids.shape == (2, 11)
    assert ids[1].tolist() == [49406, 320, 10551, 9512, 2445, 539, 320, 1823, 14610, 269, 49407]
    assert ids[0].tolist()[-3:] == [269, 49407, 49407]  # padded
    assert words.ids(["liver", ""]) is None
    assert Words(ImisFiles()).ids(["liver"]) is None


def test_one_round_and_the_last_send_the_mask_alone(model: ImisNet, pictures: Pictures) -> None:
    for rounds in (1, 2, 4, 8):
        tuning = ImisTuning(Start("imis", "mini_128", model), pictures, Recipe(steps=1, rounds=rounds), CPU)
        rows = [tuning._mask_alone(np.random.default_rng(seed)) for seed in range(30)]
        assert all(len(row) == rounds and row[-1] and sum(row) == min(2, rounds) for row in rows)
        assert len({tuple(row) for row in rows}) == max(1, rounds - 1)


def test_only_prompts_decoder_and_the_projection_of_words_learn(
    model: ImisNet, pictures: Pictures, files: ImisFiles
) -> None:
    model.files = files
    recipe = Recipe(steps=4, batch=1, rounds=2, masks=2, rate=1e-2)
    tuning = ImisTuning(Start("imis", "mini_128", model), pictures, recipe, CPU)
    optimiser, updates = tuning.optimiser(), 0

    def update() -> None:
        nonlocal updates
        updates += 1
        optimiser.step()
        optimiser.zero_grad(set_to_none=True)

    before = {k: v.clone() for k, v in model.state_dict().items()}
    rows = []
    for seed in range(6):  # among them one that begins with words
        rng = np.random.default_rng(seed)
        rows.append(tuning.step(tuning.draw(rng), rng, update))
    assert updates == 2 * len(rows)
    changed_names = {k for k, v in model.state_dict().items() if not torch.equal(v, before[k])}
    assert {name.split(".")[0] for name in changed_names} == {"prompt_encoder", "mask_decoder", "text_out_dim"}
    assert not any(name.startswith("mask_decoder.semantic_prediction_head") for name in changed_names)
    assert all({"loss", "first", "iou", "region_dice"} <= row.keys() for row in rows)


def test_what_is_trained_is_what_the_paper_counts() -> None:
    with torch.device("meta"):
        full = family("imis").build("vit_b")
    assert isinstance(full, ImisNet)
    counted = [p.numel() for name in TRAINED for p in full.get_submodule(name).parameters()]
    neck = [p.numel() for p in full.image_encoder.neck.parameters()]  # asks for gradients there, and gets none
    assert sum(counted) + sum(neck) == 29_679_696


def test_the_rate_rises_to_what_was_asked_for(model: ImisNet, pictures: Pictures) -> None:
    tuning = ImisTuning(Start("imis", "mini_128", model), pictures, Recipe(steps=1), CPU)
    assert [tuning.rate_factor(0, p) for p in (0.0, 0.125, 0.25, 1.0)] == pytest.approx([0.1, 0.55, 1.0, 1.0])
    (group,) = tuning.optimiser().param_groups
    assert (group["top"], group["weight_decay"], tuning.batch) == (1e-4, 1e-5, 10)


def test_position_tables_of_another_input_size_come_out_as_they_went_in(pictures: Pictures, tmp_path: Path) -> None:
    path = checkpoint("imis", tmp_path / "a.pth", "mini")  # of 256 pixels
    start = from_checkpoint(path, name="imis", variant="mini_128")
    tuning = ImisTuning(start, pictures, Recipe(steps=1, batch=1), CPU)
    written, begun = tuning.official(), torch.load(path)
    assert written.keys() == begun.keys()
    assert all(torch.equal(written[k], v) for k, v in begun.items())
    assert "image_encoder.sam_encoder.pos_embed" in tuning.kept and len(tuning.kept) == 5
