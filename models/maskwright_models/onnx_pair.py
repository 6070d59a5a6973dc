"""Makes a model folder of an encoder and a decoder in ONNX as samexporter writes them. Needs onnx, but no torch.

Their graphs stay as they are inside; round them go what the contract wants: the padding point, features as float16,
and which of the four masks is offered. Sources: segment-anything `scripts/export_onnx_model.py`, samexporter.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from maskwright.assets import sample_photo
from maskwright.core.errors import ModelError
from maskwright.core.model_card import CONTRACT_VERSION, FeatureSpec, ModelCard
from maskwright.core.preprocess import LETTERBOX, STRETCH, intensity_for
from maskwright.inference.external_data import external_files
from maskwright.inference.model_folder import sha256_of
from maskwright.inference.ort import make_session, run_session
from maskwright.io.scans import open_scan
from maskwright_models.export.install import write_card
from maskwright_models.export.onnx_wrap import inputs_of, wrap_decoder, wrap_encoder
from maskwright_models.export.pair_parity import Pair, compare_pair
from maskwright_models.export.quantize import LARGEST_FILE, store

if TYPE_CHECKING:
    from onnx import ModelProto

STRIDE = 16
HINT = "Export the model again with samexporter, or import its checkpoint."


@dataclass(frozen=True, slots=True)
class Layout:
    """Names of a decoder's inputs and outputs, and how its model sees a slice.

    ``pads`` says that the caller is to add the padding point.
    """

    title: str
    features: tuple[str, ...]
    logits: str
    fit: str
    pads: bool


PROMPTS = ("point_coords", "point_labels", "mask_input", "has_mask_input")
SCORES = "iou_predictions"
LAYOUTS = (
    Layout("SAM", ("image_embeddings",), "low_res_masks", LETTERBOX, pads=True),
    Layout("SAM 2", ("image_embed", "high_res_feats_0", "high_res_feats_1"), "masks", STRETCH, pads=False),
)


def import_pair(paths: Sequence[Path], folder: Path, *, precision: str = "fp32") -> ModelCard:
    """Write encoder, head and card into ``folder`` from two ONNX files in any order.

    Raises ModelError where they are not such a pair, take weights from elsewhere, do not run, or do not give the same
    masks afterwards.
    """
    graphs = {path: load_whole(path) for path in paths}
    decoders = [p for p, m in graphs.items() if {"point_coords", "point_labels"} <= set(inputs_of(m))]
    if len(set(paths)) != 2 or len(paths) != 2 or len(decoders) != 1:
        raise ModelError(
            "these are not an encoder and a decoder of SAM", path=paths[0], hint="Name the two files of one model."
        )
    decoder_path = decoders[0]
    (encoder_path,) = (p for p in paths if p != decoder_path)
    layout = layout_of(graphs[decoder_path], decoder_path)
    size, outputs = input_of(graphs[encoder_path], layout, encoder_path)
    try:
        save(wrap_encoder(graphs[encoder_path], outputs, size=size), folder / "encoder.onnx")
        names = [f"feat_{i}" for i in range(len(outputs))]
        image = np.zeros((1, 3, size, size), np.float32)
        features = run_session(make_session(folder / "encoder.onnx"), names, {"image": image})
        feed = dict(zip(names, features, strict=True)) | _click(4 * features[0].shape[-1])
        for chooses in (False, True):
            head = wrap_decoder(
                graphs[decoder_path],
                layout.features,
                logits=layout.logits,
                scores=SCORES,
                shapes=[f.shape for f in features],
                pads=layout.pads,
                chooses=chooses,
            )
            save(head, folder / "head.onnx")
            logits, scores = run_session(make_session(folder / "head.onnx"), ["logits", "scores"], feed)
            if scores.shape[-1] != 4:
                break
    except ModelError as error:
        raise ModelError(f"the pair does not run ({error.what})", path=encoder_path, hint=HINT) from error
    side = 4 * features[0].shape[-1]
    if logits.shape != (1, scores.shape[-1], side, side) or size != STRIDE * features[0].shape[-1]:
        raise ModelError(
            f"for {size} pixels the pair gives features of {features[0].shape} and masks of {logits.shape}",
            path=encoder_path,
            hint=HINT,
        )
    files = {"encoder": "encoder.onnx", "head": "head.onnx"}
    for role in ("encoder", "head"):
        files |= store(folder / files[role], precision=precision, quantised=role == "encoder")
    card = ModelCard(
        id=folder.name,
        name=f"{layout.title} ({encoder_path.stem})",
        family="onnx_pair",
        version=sha256_of(encoder_path)[:12],
        licence="not stated in the ONNX files",
        citation="That of the model the files were exported from.",
        contract=CONTRACT_VERSION,
        input_size=size,
        logits_shape=(side, side),
        candidates=logits.shape[1],
        features=tuple(FeatureSpec(n, f.shape, "float16") for n, f in zip(names, features, strict=True)),
        files=files,
        sha256={name: sha256_of(folder / name) for name in files.values()},
        preprocessing=layout.fit,
        extra={
            "precision": precision,
            "encoder_sha256": sha256_of(encoder_path),
            "decoder_sha256": sha256_of(decoder_path),
        },
    )
    write_card(card, folder)
    pair = Pair(encoder_path, decoder_path, tuple(outputs), layout.features, layout.logits, SCORES, pads=layout.pads)
    photo = open_scan(sample_photo())
    picture = photo.slice_at(0, 0)
    least = compare_pair(pair, folder, picture, intensity_for(photo.voxels, photo.modality), precision=precision)
    card = replace(card, extra={**card.extra, "parity": {"mask_iou": round(least, 6)}})
    write_card(card, folder)
    return card


def load_whole(path: Path) -> ModelProto:
    """An ONNX file with its weights. Raises ModelError where some lie outside its folder, before any is read."""
    import onnx

    if not path.is_file():
        raise ModelError("there is no such file", path=path, hint="Name an .onnx file.")
    home = path.resolve().parent
    for location in external_files(path):
        if not (home / location).resolve().is_relative_to(home):
            raise ModelError(
                f"the file takes weights from outside its folder ({location}), which is never read",
                path=path,
                hint="Export the model again.",
            )
    try:
        return onnx.load(str(path))
    except Exception as error:  # protobuf and onnx raise classes of their own
        raise ModelError(f"the file cannot be read ({str(error).splitlines()[0]})", path=path, hint=HINT) from error


def layout_of(decoder: ModelProto, path: Path) -> Layout:
    """Which layout a decoder has. Raises ModelError that says what is missing."""
    inputs, outputs = set(inputs_of(decoder)), {o.name for o in decoder.graph.output}
    for layout in LAYOUTS:
        if {*layout.features, *PROMPTS} <= inputs and {layout.logits, SCORES} <= outputs:
            return layout
    raise ModelError(
        f"this decoder is not laid out as samexporter does: it takes {', '.join(sorted(inputs))} and gives "
        f"{', '.join(sorted(outputs))}",
        path=path,
        hint=HINT,
    )


def input_of(encoder: ModelProto, layout: Layout, path: Path) -> tuple[int, list[str]]:
    """Side of the encoder's input in pixels, and its outputs in the order of the decoder's features.

    Raises ModelError where it has other inputs or outputs, or does not run.
    """
    graph = encoder.graph
    outputs = [o.name for o in graph.output]
    if len(layout.features) > 1:
        outputs = [name for name in layout.features if name in outputs]
    given = inputs_of(encoder)
    if len(given) != 1 or len(outputs) != len(layout.features):
        raise ModelError(
            f"this encoder takes {', '.join(given) or 'nothing'} and gives {', '.join(o.name for o in graph.output)}, "
            f"where the decoder wants {', '.join(layout.features)}",
            path=path,
            hint=HINT,
        )
    (shape,) = ([d.dim_value for d in i.type.tensor_type.shape.dim] for i in graph.input if i.name == given[0])
    if len(shape) == 4 and shape[2] and shape[2] == shape[3]:
        return shape[2], outputs
    if len(shape) != 3:
        raise ModelError(f"this encoder takes {given[0]} of {shape}", path=path, hint=HINT)
    # it pads whatever it gets to its own size, which its features tell
    (features,) = run_session(make_session(path), outputs[:1], {given[0]: np.zeros((STRIDE, STRIDE, 3), np.float32)})
    return STRIDE * features.shape[-1], outputs


def save(model: ModelProto, path: Path) -> None:
    """Write a graph; weights that do not fit into one file lie beside it."""
    import onnx

    if model.ByteSize() > LARGEST_FILE:
        onnx.save_model(
            model, str(path), save_as_external_data=True, location=path.name + ".weights", size_threshold=1024
        )
    else:
        onnx.save(model, str(path))


def _click(side: int) -> dict[str, np.ndarray]:
    return {
        "point_coords": np.full((1, 1, 2), 2.0 * side, np.float32),
        "point_labels": np.ones((1, 1), np.float32),
        "mask_input": np.zeros((1, 1, side, side), np.float32),
        "has_mask_input": np.zeros(1, np.float32),
    }
