"""Tiny sets in the layouts of others, as their own tools write them, and what is expected of them."""

from __future__ import annotations

import itertools
import json
import pickle
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from maskwright_models.data.index import Dataset, read_map

SHAPE = (40, 60)


def box(y0: int, x0: int, y1: int, x1: int) -> np.ndarray:
    mask = np.zeros(SHAPE, bool)
    mask[y0:y1, x0:x1] = True
    return mask


LIVER, TUMOR, KIDNEY = box(5, 5, 25, 30), box(10, 10, 20, 20), box(28, 35, 38, 55)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(len(path.name)).integers(0, 255, (*SHAPE, 3), np.uint8)
    assert cv2.imwrite(str(path), pixels)
    return path


def objects(dataset: Dataset) -> dict[tuple[str, str, str], np.ndarray]:
    """(image, map, text) -> mask, of every object in the index."""
    found = {}
    for entry in dataset.images:
        for one in entry.maps:
            index = read_map(one)
            for (name, number), text in entry.labels.items():
                if name == one.name:
                    found[entry.image.name, name, text] = index == number
    return found


def by_text(dataset: Dataset) -> dict[str, np.ndarray]:
    return {text: mask for (_, _, text), mask in objects(dataset).items()}


def same(found: np.ndarray, wanted: np.ndarray) -> bool:
    return found.shape == wanted.shape and bool(np.array_equal(found, wanted))


def imed(folder: Path, **about: Any) -> Path:
    """As its authors write it: scipy's CSR of one row a class, regions that go on after the automatic ones."""
    from scipy import sparse

    picture(folder / "image" / "a.png")
    (folder / "label").mkdir()
    (folder / "imask").mkdir()
    stack = np.stack([LIVER, np.zeros(SHAPE, bool), TUMOR, KIDNEY])
    label = f"label/x___a.({len(stack)}, {SHAPE[0]}, {SHAPE[1]}, 1).npz"
    sparse.save_npz(folder / label, sparse.csr_matrix(stack.reshape(len(stack), -1).astype(np.int32)))
    regions = np.full((*SHAPE, 1), -1, np.int64)
    regions[:20], regions[0, 0] = 1, 0
    regions[LIVER] = 31
    np.save(folder / "imask" / "x___a.npy", regions)
    item = {"image": "image/a.png", "label": label, "imask": "imask/x___a.npy"}
    names = ["background", "liver", "spleen", "liver_tumor", "kidney_left"]
    data = {"modality": {"0": "MRI"}, "labels": {str(i): n for i, n in enumerate(names)}, "training": [item], **about}
    (folder / "dataset.json").write_text(json.dumps(data), "utf-8")
    return folder


def polygon(mask: np.ndarray) -> list[list[float]]:
    ys, xs = np.nonzero(mask)
    x0, y0, x1, y1 = (float(v) for v in (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1))
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def runs(mask: np.ndarray, *, compressed: bool) -> dict[str, Any]:
    from pycocotools import mask as coco_mask

    if compressed:
        rle: Any = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))
        return {"size": list(SHAPE), "counts": rle["counts"].decode()}
    flat = mask.T.reshape(-1).astype(int)
    edges = (np.flatnonzero(np.diff(flat)) + 1).tolist()
    counts = [b - a for a, b in itertools.pairwise([0, *edges, flat.size])]
    return {"size": list(SHAPE), "counts": [0, *counts] if flat[0] else counts}


def coco(file: Path, image: dict[str, Any], **more: Any) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    shapes = [polygon(LIVER), runs(TUMOR, compressed=True), runs(KIDNEY, compressed=False), polygon(box(0, 0, 3, 3))]
    boxes = [[5, 5, 25, 20], [10, 10, 10, 10], [35, 28, 20, 10], [0, 0, 3, 3]]
    annotations = [
        {"id": k, "image_id": 7, "category_id": 10 * k, "segmentation": s, "bbox": b, "iscrowd": int(k == 4)}
        for k, (s, b) in enumerate(zip(shapes, boxes, strict=True), start=1)
    ]
    size = {"height": SHAPE[0], "width": SHAPE[1]}
    data = {
        "images": [{"id": 7, **size, **image}, {"id": 8, "file_name": "gone.jpg", **size}],
        "categories": [{"id": 10, "name": "Traffic_light"}, {"id": 20, "name": "dog"}, {"id": 30, "name": "cat"}],
        "annotations": annotations,
        **more,
    }
    file.write_text(json.dumps(data), "utf-8")
    return file


def panoptic(folder: Path) -> Path:
    picture(folder / "train2017" / "000000000009.jpg")
    numbers = np.zeros(SHAPE, int)
    numbers[LIVER], numbers[TUMOR], numbers[KIDNEY] = 3 + 256 * 200 + 65536 * 9, 70000, 255
    pictures = folder / "annotations" / "panoptic_train2017"
    pictures.mkdir(parents=True)
    colours = np.stack([numbers % 256, numbers // 256 % 256, numbers // 65536], axis=2).astype(np.uint8)
    Image.fromarray(colours).save(pictures / "000000000009.png")
    ids = [int(numbers[5, 5]), 70000, 255]
    shown = [{"id": n, "category_id": k, "iscrowd": int(k == 3)} for k, n in enumerate(ids, start=1)]
    names = ["person", "wall-other-merged", "cat"]
    data = {
        "categories": [{"id": k, "name": n, "isthing": 1} for k, n in enumerate(names, start=1)],
        "annotations": [
            {"file_name": "000000000009.png", "image_id": 9, "segments_info": shown},
            {"file_name": "000000000010.png", "image_id": 10, "segments_info": []},
        ],
    }
    (folder / "annotations" / "panoptic_train2017.json").write_text(json.dumps(data))
    return folder


def coco_lvis(folder: Path) -> Path:
    """As RITM's script writes it: the liver with the tumor in it, the kidney alone, stuff around them."""
    picture(folder / "train" / "images" / "a.jpg")
    (folder / "train" / "masks").mkdir()
    first, second = np.zeros(SHAPE, np.uint8), np.zeros(SHAPE, np.uint8)
    first[30:, :10], first[LIVER], first[KIDNEY], second[TUMOR] = 4, 1, 3, 1
    encoded = [cv2.imencode(".png", p)[1] for p in (first, second)]
    with open(folder / "train" / "masks" / "a.pickle", "wb") as file:
        pickle.dump((encoded, [(0, 1), (1, 1), (0, 3), (0, 4)]), file)
    hierarchy = {
        0: {"children": [1], "parent": None, "node_level": 0, "area": np.int64(500)},
        1: {"children": [], "parent": 0, "node_level": 1},
        2: None,
    }
    with open(folder / "train" / "hannotation.pickle", "wb") as file:
        pickle.dump({"a": {"num_instance_masks": 3, "hierarchy": hierarchy}}, file, protocol=pickle.HIGHEST_PROTOCOL)
    return folder


def sbd(folder: Path) -> Path:
    from scipy.io import savemat

    place = folder / "benchmark_RELEASE" / "dataset"
    picture(place / "img" / "2008_000051.jpg")
    (place / "inst").mkdir()
    index = np.zeros(SHAPE, np.uint8)
    index[LIVER], index[KIDNEY] = 1, 2
    index[0, 0] = index[39, 0] = index[39, 59] = 3  # an outline by mistake: 3 pixels of 2400
    held = {"Segmentation": index, "Boundaries": np.zeros(2), "Categories": np.array([[15], [20], [7]], np.uint8)}
    savemat(place / "inst" / "2008_000051.mat", {"GTinst": held})
    for split in ("train", "val"):
        (place / f"{split}.txt").write_text("2008_000051\n\n")
    return folder


def numbered(path: Path, values: np.ndarray) -> None:
    """A picture with a palette, as the masks named NAME#001.png are."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shown = Image.fromarray(values.astype(np.uint8)).convert("P")
    shown.putpalette([0, 0, 0, 128, 0, 0] + [7, 7, 7] * 254)
    shown.save(path)
