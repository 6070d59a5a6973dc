"""`maskwright demo`: the whole job on two bundled samples, without a window: open, click, commit, export, read back."""

from __future__ import annotations

import argparse
import shutil
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskwright.cli_stage import Stage
from maskwright.cli_verb import Verb, add_json, add_model, in_bytes, load_model, note, print_json, window_request
from maskwright.core.errors import ExportError
from maskwright.core.labels import LabelSet

if TYPE_CHECKING:
    from maskwright.cli_picture import Panel
    from maskwright.core.labels import Label
    from maskwright.core.prompts import Prompt, Prompts
    from maskwright.io.datasets import Item
    from maskwright.session.session import Session

EXAMPLES = """\
  maskwright demo                        # writes into ./maskwright-demo
  maskwright demo --out build/demo --json
  maskwright demo --window               # open the result in the window afterwards, where there is a display
"""


@dataclass(frozen=True, slots=True)
class Job:
    """One sample: what to click on it, as a user would, and what the object is called."""

    label: str
    clicks: tuple[tuple[float, float, bool], ...]
    index: int | None = None

    @property
    def prompts(self) -> tuple[Prompt, ...]:
        """The clicks in order."""
        from maskwright.core.prompts import Point

        return tuple(Point(x, y, positive=positive) for x, y, positive in self.clicks)


def jobs() -> dict[Path, Job]:
    """The bundled samples and the job on each."""
    from maskwright.assets import sample_photo, sample_volume

    return {
        sample_photo(): Job(
            "cup and saucer",
            ((290.0, 120.0, True), (150.0, 280.0, True), (300.0, 310.0, True), (115.0, 340.0, False)),
        ),
        sample_volume(): Job(
            "lateral ventricles",
            (
                (88.0, 119.0, True),
                (109.0, 119.0, True),
                (98.0, 119.0, False),
                (88.0, 135.0, True),
                (108.0, 135.0, True),
            ),
            index=94,
        ),
    }


def _arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=Path, default=Path("maskwright-demo"), metavar="DIR", help="folder for the results"
    )
    parser.add_argument("--window", action="store_true", help="open the window afterwards")
    parser.set_defaults(store=None)
    add_model(parser)
    add_json(parser)


def _run(arguments: argparse.Namespace) -> int:
    from maskwright.cli_picture import sheet
    from maskwright.io.png_file import write_png
    from maskwright.system_libraries import has_display

    out: Path = arguments.out
    project_at, store = out / "project", out / "features"
    _clear(out, project_at, store)
    say = note if arguments.json else print
    begun = time.perf_counter()
    segmenter = load_model(arguments)
    loaded = time.perf_counter() - begun
    say(f"model {segmenter.card.id}: {segmenter.card.name} {segmenter.card.version}, loaded in {loaded:.2f} s")
    scans, panels = _annotate(project_at, store, segmenter, say)
    exports = _export(project_at, out, say)
    picture = out / "demo.png"
    write_png(picture, sheet("maskwright demo", panels))
    say(f"picture: {picture}")
    result = {
        "model": segmenter.card.id,
        "load_ms": round(1e3 * loaded, 1),
        "scans": scans,
        "exports": exports,
        "picture": str(picture),
        "project": str(project_at),
    }
    if arguments.json:
        print_json(result)
    if arguments.window:
        if has_display():
            arguments.store = store
            paths = (next(iter(jobs())).parent,)
            arguments.then = window_request(arguments, paths=paths, project=project_at)
        else:
            say("no display here, so no window; with one, `make run` opens it")
    return 0


def _clear(out: Path, project_at: Path, store: Path) -> None:
    """Make room for a fresh run; only what an earlier demo left here goes."""
    from maskwright.session.project import Project

    try:
        out.mkdir(parents=True, exist_ok=True)
        if Project.is_project(project_at):
            shutil.rmtree(project_at)
            shutil.rmtree(store, ignore_errors=True)
    except OSError as error:
        raise ExportError(
            f"the demo cannot write here ({(error.strerror or str(error)).lower()})",
            path=out,
            hint="Choose another folder with --out.",
        ) from error


def _annotate(
    project_at: Path, store: Path, segmenter: Any, say: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[Panel]]:
    """Open, click and commit on every sample, through the session that the window uses."""
    from maskwright.session.project import Project
    from maskwright.session.session import Session

    stage = Stage()
    session = Session(
        project=Project.open(project_at),
        segmenter=segmenter,
        store_root=store,
        post=stage.post,
        on_changes=stage.on_changes,
        encode_ahead=False,
    )
    try:
        done = [_one(session, stage, path, job, say) for path, job in jobs().items()]
    finally:
        session.close()
    return [facts for facts, _ in done], [panel for _, panel in done]


def _one(
    session: Session, stage: Stage, path: Path, job: Job, say: Callable[[str], None]
) -> tuple[dict[str, Any], Panel]:
    from maskwright.core.volume import View

    begun = time.perf_counter()
    session.open(path)
    stage.until(lambda: session.opening is None and session.volume is not None)
    opened = time.perf_counter() - begun
    volume = session.volume
    assert volume is not None
    view = View(0, job.index) if job.index is not None else volume.middle()
    session.set_view(view)
    first, *rest = job.prompts
    begun = time.perf_counter()
    session.add_prompt(first)
    stage.until(lambda: session.preview_is_current)
    first_mask = time.perf_counter() - begun
    clicks = []
    for prompt in rest:
        session.add_prompt(prompt)
        stage.until(lambda: session.preview_is_current)
        clicks.append(session.last_click_ms or 0.0)
    prompts, answer = session.prompts, session.preview
    assert answer is not None
    label = _label(session, job.label)
    session.commit(label.id)
    click = statistics.median(clicks)
    size = " x ".join(str(n) for n in volume.geometry.shape_zyx[::-1])
    where = f"{path.name}, slice {view.index}" if volume.n_slices() > 1 else path.name
    area = int(answer.mask.sum())
    say(
        f"{where}: {size}, opened in {opened:.2f} s; first mask {first_mask:.2f} s after the first click "
        f"(encoding included), later clicks {click:.0f} ms; {label.name}: {area} pixels"
    )
    facts = {
        "scan": path.name,
        "slice": view.index,
        "open_ms": round(1e3 * opened, 1),
        "first_mask_ms": round(1e3 * first_mask, 1),
        "click_ms": [round(value, 1) for value in clicks],
        "label": label.name,
        "area_px": area,
        "score": round(float(answer.score), 4),
    }
    caption = f"first mask {1e3 * first_mask:.0f} ms after the first click, later clicks {click:.0f} ms"
    return facts, _panel(session, view.index, where, caption, prompts, answer.mask, label.color)


def _label(session: Session, name: str) -> Label:
    """The label of this name; the one that a new project begins with gets it first."""
    begun_with = LabelSet.default()
    if session.labels == begun_with:
        session.rename_label(begun_with.labels[0].id, name)
    elif session.labels.by_name(name) is None:
        session.add_label(name)
    label = session.labels.by_name(name)
    assert label is not None
    return label


def _panel(
    session: Session, index: int, title: str, caption: str, prompts: Prompts, mask: Any, color: tuple[int, int, int]
) -> Panel:
    import numpy as np

    from maskwright.cli_picture import Panel, as_seen
    from maskwright.core.orientation import slice_orientation
    from maskwright.core.window import default_window, to_uint8

    volume = session.volume
    assert volume is not None
    pixels = volume.slice_at(0, index)
    if pixels.ndim == 2:
        pixels = np.repeat(to_uint8(pixels, default_window(volume))[..., None], 3, axis=2)
    _, y_mm, x_mm = volume.geometry.spacing_zyx_mm
    panel = Panel(title, caption, np.ascontiguousarray(pixels), mask, prompts, color, aspect=y_mm / x_mm)
    return as_seen(panel, slice_orientation(volume.geometry, 0))


def _export(project_at: Path, out: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Every format that can hold the annotation of a sample, read back through the importer and compared."""
    from maskwright.cli_export import project_items
    from maskwright.io.datasets import FORMATS
    from maskwright.session.export_job import export
    from maskwright.session.project import Project

    project = Project.open(project_at)
    try:
        items = project_items(project)
    finally:
        project.close()
    done = []
    for name, form in FORMATS.items():
        fitting = [item for item in items if not form.accepts(item)]
        if not fitting:
            continue
        folder = out / name
        begun = time.perf_counter()
        export(fitting, format=name, out=folder, overwrite=True)
        seconds = time.perf_counter() - begun
        _compare(fitting, name, folder)
        size = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
        scans = [item.name for item in fitting]
        how = f"written, read back and equal in {seconds:.2f} s, {in_bytes(size)}"
        say(f"{form.title}: {', '.join(scans)}; {how}: {folder}")
        done.append(
            {"format": name, "scans": scans, "ms": round(1e3 * seconds, 1), "bytes": size, "folder": str(folder)}
        )
    return done


def _compare(items: list[Item], name: str, folder: Path) -> None:
    """Read a dataset as anyone would import it, and compare every voxel with what was committed."""
    import numpy as np

    from maskwright.io.datasets import FORMATS
    from maskwright.io.datasets.items import object_voxels, stem

    found = {stem(one.name): one for one in FORMATS[name].read(folder)}
    for item in items:
        if stem(item.name) not in found:
            raise ExportError(f"{item.name} is not in the dataset", path=folder, hint="Please report this.")
        loaded = found[stem(item.name)].load(item.geometry)
        want = sum(object_voxels(one, item.geometry).astype(np.uint8) for one in item.annotation.objects)
        got = sum(object_voxels(one, item.geometry).astype(np.uint8) for one in loaded.objects)
        if not np.array_equal(want, got):
            raise ExportError(f"{item.name} reads back differently", path=folder, hint="Please report this.")


VERB = Verb("demo", "do the whole job on two bundled samples", EXAMPLES, _arguments, _run)
