"""`maskwright models`: which models are installed, whether their files are whole, and installing one more."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.cli_verb import Verb, add_json, in_bytes, print_json

if TYPE_CHECKING:
    from maskwright.session.models import InstalledModel

EXAMPLES = """\
  maskwright models                 # list them, with licence, citation and size
  maskwright models --check         # also compare every file with its hash; exit code 1 when one differs
  maskwright models --add FOLDER    # copy a model folder to the installed ones, after comparing it with its hashes
  maskwright models --json
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="compare every file with its hash")
    parser.add_argument("--add", type=Path, metavar="FOLDER", help="install the model in this folder, then list them")
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    from maskwright.assets import models_folder
    from maskwright.session.models import describe, install, model_folders, user_models

    if arguments.add is not None:
        install(arguments.add)
    found = [as_values(describe(name, folder, check=arguments.check)) for name, folder in model_folders().items()]
    if arguments.json:
        print_json(found)
    elif not found:
        print(f"no models in {models_folder()} or {user_models()}")
    else:
        for one in found:
            print("\n".join(_lines(one)))
    return 1 if not found or any(one["trouble"] for one in found) else 0


def as_values(model: InstalledModel) -> dict[str, Any]:
    """What a model is, as plain values; `trouble` says in one line why it can't be used, empty where it can."""
    out: dict[str, Any] = {"id": model.id, "folder": str(model.folder)}
    out["trouble"] = "" if model.trouble is None else str(model.trouble)
    card = model.card
    if card is not None:
        out |= {
            "name": card.name,
            "version": card.version,
            "family": card.family,
            "licence": card.licence,
            "citation": card.citation,
            "notice": card.notice,
            "prompts": list(card.prompts),
            "input_size": card.input_size,
            "sha256": dict(card.sha256),
        }
    if model.nbytes is not None:
        out["bytes"] = model.nbytes
    return out | ({"checked": True} if model.checked else {})


def _lines(one: dict[str, Any]) -> list[str]:
    if "name" not in one:
        return [one["id"], f"  {one['trouble']}"]
    lines = [
        f"{one['id']}: {one['name']} {one['version']}",
        f"  takes     {', '.join(one['prompts'])}; {one['input_size']} pixels",
        f"  licence   {one['licence']}",
        f"  folder    {one['folder']}" + (f" ({in_bytes(one['bytes'])})" if "bytes" in one else ""),
    ]
    if one["notice"]:
        lines.append(f"  notice    {one['notice']}")
    if one["citation"]:
        lines.append(f"  cite      {one['citation']}")
    if one.get("checked"):
        lines.append("  files     match their hashes")
    return [*lines, f"  trouble   {one['trouble']}"] if one["trouble"] else lines


VERB = Verb("models", "list the installed models", EXAMPLES, _arguments, _run)
