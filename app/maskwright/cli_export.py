"""`maskwright export`: the annotations of a project as a dataset."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from maskwright.cli_verb import Verb, add_json, print_json, project_folder
from maskwright.core.errors import ExportError

if TYPE_CHECKING:
    from maskwright.io.datasets import Item
    from maskwright.session.project import Project

EXAMPLES = """\
  maskwright export work/ --format coco --out dataset/
  maskwright export scan.nii.gz --format nifti --out labels/    # the project that belongs to this scan
  maskwright export work/ --format png --out masks/ --overwrite --json

Every dataset is written beside its place, read back, compared, and only then renamed: after a failure nothing new
is there, and what was there stays.
"""
FORMATS = ("coco", "png", "nifti")


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("project", type=Path, metavar="PROJECT", help="project folder, or the scan or folder it is of")
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write")
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder of the dataset")
    parser.add_argument("--overwrite", action="store_true", help="replace an earlier export")
    parser.add_argument("--polygons", action="store_true", help="coco: polygons instead of run lengths, where exact")
    parser.add_argument("--instances", action="store_true", help="png: one file an object")
    parser.add_argument("--no-pictures", action="store_true", help="coco, png: leave the pictures out")
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    from maskwright.io.datasets import FORMATS, Options
    from maskwright.session.export_job import export
    from maskwright.session.project import Project

    chosen = {"polygons": arguments.polygons, "instances": arguments.instances, "pictures": arguments.no_pictures}
    for name, given in chosen.items():
        if given and name not in FORMATS[arguments.format].options:
            option = "--no-pictures" if name == "pictures" else f"--{name}"
            print(f"maskwright export: error: {option} means nothing for {arguments.format}", file=sys.stderr)
            return 2
    options = Options(polygons=arguments.polygons, instances=arguments.instances, pictures=not arguments.no_pictures)
    project = Project.open(project_folder(arguments.project))
    try:
        items = project_items(project)
    finally:
        project.close()
    if not items:
        raise ExportError(
            "nothing is annotated in this project",
            path=arguments.project,
            hint="Open it, click, and press Enter first.",
        )
    report = export(items, format=arguments.format, out=arguments.out, overwrite=arguments.overwrite, options=options)
    if arguments.json:
        print_json(report.to_json())
    else:
        print(report.sentence)
    return 0


def project_items(project: Project) -> list[Item]:
    """What there is to export: every scan of a project with at least one object."""
    from maskwright.io.datasets import Item

    return [
        Item(entry.name, entry.path, entry.geometry, annotation, modality=entry.modality)
        for entry, annotation in project.annotations()
        if annotation.objects and entry.geometry is not None
    ]


VERB = Verb("export", "write the annotations of a project as a dataset", EXAMPLES, _arguments, _run)
