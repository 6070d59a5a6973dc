"""`maskwright import`: annotations of a dataset into a project, one undo step a scan."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.cli_stage import Stage
from maskwright.cli_verb import Verb, add_json, note, print_json
from maskwright.core.errors import AnnotationError, MaskwrightError, ModelError

if TYPE_CHECKING:
    from maskwright.inference import Segmenter
    from maskwright.io.datasets import ImportedItem
    from maskwright.session.session import Session

EXAMPLES = """\
  maskwright import work/ dataset/                    # a project, and a COCO, PNG or NIfTI dataset
  maskwright import scan.nii.gz scan_label.nii.gz     # one scan, and a label map on its grid
  maskwright import photos/ annotations.json --format coco --json

Scans and annotations are matched by name; with one of each the names do not matter. Labels are matched by name, and
what is missing is added. Each scan's import is one step that can be undone in the window.
"""
FORMATS = ("coco", "png", "nifti")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", type=Path, metavar="PROJECT", help="project folder, or a scan or folder of scans")
    parser.add_argument("dataset", type=Path, metavar="DATASET", help="file or folder to import")
    parser.add_argument("--format", choices=FORMATS, help="what it is (found out if not given)")
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    from maskwright.session.import_job import read_dataset
    from maskwright.session.project import Project, default_store_root
    from maskwright.session.session import Session

    form, items = read_dataset(arguments.dataset, format=arguments.format)
    stage = Stage()
    target: Path = arguments.project
    project = Project.open(target) if Project.is_project(target) else None
    session = Session(
        project=project,
        segmenter=_no_model,
        store_root=default_store_root(),
        post=stage.post,
        on_changes=stage.on_changes,
        encode_ahead=False,
    )
    try:
        if project is None:
            session.open(target)
        done, left, failed = _import(session, items, arguments.dataset)
    finally:
        session.close()
    if arguments.json:
        print_json({"format": form, "imported": done, "unmatched": left, "failed": failed})
    else:
        for name, count in done.items():
            print(f"{name}: {count} object{'' if count == 1 else 's'} imported")
        if left:
            print(f"no scan of this name in the project: {', '.join(left)}")
    return 1 if failed or not done else 0


def _import(
    session: Session, items: Sequence[ImportedItem], dataset: Path
) -> tuple[dict[str, int], list[str], list[str]]:
    """Objects imported for each scan, names of items without a scan, and names of scans that did not work out."""
    from maskwright.session.import_job import match

    names = [entry.name for entry in session.scans]
    matched = match(items, names)
    if not matched:
        known = ", ".join(names[:3]) or "none"
        raise AnnotationError(
            f"nothing in this dataset belongs to a scan of the project ({known})",
            path=dataset,
            hint="Compare the names.",
        )
    done: dict[str, int] = {}
    failed: list[str] = []
    for position, item in matched.items():
        name = names[position]
        try:
            if session.worklist.shown != position:
                session.show_scan(position)
            assert session.volume is not None
            loaded = item.load(session.volume.geometry)
            session.import_objects(loaded.objects, labels=loaded.labels)
        except MaskwrightError as error:
            failed.append(name)
            note(f"maskwright: error: {error}")
            continue
        for text in loaded.notes:
            note(f"{name}: {text}")
        done[name] = len(loaded.objects)
    used = {id(item) for item in matched.values()}
    return done, [item.name for item in items if id(item) not in used], failed


def _no_model() -> Segmenter:
    raise ModelError("no model is loaded for an import")


VERB = Verb("import", "bring annotations of a dataset into a project", EXAMPLES, _arguments, _run)
