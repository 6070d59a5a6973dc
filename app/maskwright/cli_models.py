"""`maskwright models`: which models are installed, and whether their files are whole."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from maskwright.cli_verb import Verb, add_json, in_bytes, print_json, user_models
from maskwright.core.errors import ModelError

EXAMPLES = """\
  maskwright models                 # list them, with licence, citation and size
  maskwright models --check         # also compare every file with its hash; exit code 1 when one differs
  maskwright models --json
"""


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--check", action="store_true", help="compare every file with its hash")
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    from maskwright.assets import models_folder
    from maskwright.inference import installed_folders

    found = [describe(name, folder, check=arguments.check) for name, folder in installed_folders(user_models()).items()]
    if arguments.json:
        print_json(found)
    elif not found:
        print(f"no models in {models_folder()} or {user_models()}")
    else:
        for one in found:
            print("\n".join(_lines(one)))
    return 1 if not found or any(one["trouble"] for one in found) else 0


def describe(name: str, folder: Path, *, check: bool) -> dict[str, Any]:
    """What a model is, as plain values; `trouble` says in one line why it can't be used, empty where it can."""
    from maskwright.inference.model_folder import checked_file, read_card

    out: dict[str, Any] = {"id": name, "folder": str(folder), "trouble": ""}
    try:
        card = read_card(folder)
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
        missing = [file for file in card.files.values() if not (folder / file).is_file()]
        if missing:
            raise ModelError(f"{missing[0]} of model {name} is missing", path=folder, hint="Install the model again.")
        out["bytes"] = sum((folder / file).stat().st_size for file in card.files.values())
        if check:
            for role in card.files:
                checked_file(folder, card, role)
            out["checked"] = True
    except ModelError as error:
        out["trouble"] = str(error)
    return out


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
