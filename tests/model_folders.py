"""Model folders of a few bytes, whole as far as a card and hashes go; ONNX Runtime would not open them."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from maskwright.core.model_card import card_to_json
from tests.fakes import FAKE_CARD


def make_folder(folder: Path, **values: Any) -> Path:
    """A model with files of a few bytes and a card with their hashes, in which ``values`` replace some."""
    folder.mkdir(parents=True)
    card = card_to_json(FAKE_CARD)
    for name in ("encoder.onnx", "head.onnx"):
        content = bytes([0x62, len(name) - 2]) + name[2:].encode()  # a protocol buffer of one unknown field
        (folder / name).write_bytes(content)
        card["sha256"][name] = hashlib.sha256(content).hexdigest()
    card["notice"] = "Some training data is for research only."
    card["citation"] = "Author A. Title. 2026."
    (folder / "model.json").write_text(json.dumps(card | values), "utf-8")
    return folder
