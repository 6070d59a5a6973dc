"""Adapts a model to the masks of a project or a folder, within a time, and says what it is worth."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from maskwright.core.errors import AnnotationError, ModelError
from maskwright.inference import OnnxSegmenter, read_card
from maskwright_models.adapt.clock import Clock
from maskwright_models.adapt.files import README, REPORT, readme, write_folder
from maskwright_models.adapt.items import FEWEST_HELD, Item, Material, Place, Split, split, spread
from maskwright_models.adapt.judge import MOST, Judged, Verdict, decide, judge, report_labels
from maskwright_models.adapt.shelf import Filler, Seen, Shelf
from maskwright_models.adapt.training import Recipe, between, train_head
from maskwright_models.export.install import new_folder
from maskwright_models.export.read_back import read_head
from maskwright_models.zoo.dinov2_imsa import Head

ADAPTED, KEPT = "adapted", "base kept"
"""Decisions."""
MOST_VIEWS = 150
"""Views that are trained on at most, slices first: each takes over a megabyte, and half a second to encode."""
SHARES = (0.25, 0.5, 1.0)
"""How far from the base towards what was trained the heads lie that are compared with the base."""
FILL_SHARE = 0.35
"""Part of the time after which no more features are computed."""
JUDGE_SHARE = 0.1
"""Part of the time that measuring a head may take."""
LEAST_TRAINING = 0.1
"""Part of the time below which training is not begun."""


@dataclass(frozen=True, slots=True)
class Options:
    """``minutes`` is all of the time; ``extra`` further views of each slice are encoded; ``images`` fixes the split."""

    minutes: float = 8.0
    extra: int = 2
    threads: int | None = None
    images: int | None = None
    overwrite: bool = False
    seed: int = 1


class _BaseStays(Exception):  # noqa: N818  (nothing went wrong)
    """Ends the making of a model folder that nobody wants."""

    def __init__(self, report: dict[str, Any]) -> None:
        super().__init__()
        self.report = report


def adapt(
    material: Material,
    base: Path,
    out: Path,
    *,
    options: Options,
    store_root: Path | None = None,
    clock: Clock | None = None,
    recipe: Recipe | None = None,
    say: Callable[[str], None] = lambda sentence: None,
) -> dict[str, Any]:
    """Adapt the model in ``base``; where that made it better a new model lies in ``out``, otherwise nothing does.

    ``store_root`` holds the feature stores of the app. Returns the report. Raises AnnotationError where there are too
    few masks, ModelError where the base can't be read back, the time doesn't suffice, or ``out`` can't be written.
    """
    clock = clock or Clock(60 * options.minutes)
    material.check()
    work = _Work(material, base, options, store_root, clock, recipe, say)
    try:
        with new_folder(out, overwrite=options.overwrite) as folder:
            report = work.run(folder)
            if report["decision"] == KEPT:
                raise _BaseStays(report)
    except _BaseStays as stays:
        return stays.report
    return report


@dataclass(frozen=True, slots=True, eq=False)
class _Tried:
    """A head at ``share`` of the way from the base, measured."""

    share: float
    judged: Judged
    verdict: Verdict


@dataclass(frozen=True, slots=True, eq=False)
class _Work:
    """One adaptation."""

    material: Material
    base: Path
    options: Options
    store_root: Path | None
    clock: Clock
    recipe: Recipe | None
    say: Callable[[str], None]

    def run(self, folder: Path) -> dict[str, Any]:
        """Train, compare, and write the model into the empty ``folder``; the report says whether it is worth it."""
        options, material, clock = self.options, self.material, self.clock
        parts = split(material.items, seed=options.seed, images=options.images)
        head = read_head(self.base)
        segmenter = OnnxSegmenter(self.base, threads=options.threads)
        filler = Filler(material, segmenter, store_root=self.store_root, seed=options.seed)
        shelf = filler.shelf
        self.say("features of the slices")
        held = filler.fill(spread(parts.held, MOST))
        start = clock.share
        before = self._judged(self.base, held, shelf, is_late=lambda: clock.share - start > JUDGE_SHARE)
        held, judging = held[: len(before.labels)], clock.share - start
        trained = self._filled(filler, parts.trained)
        until = 0.98 - 1.25 * len(SHARES) * judging
        if until - clock.share < LEAST_TRAINING:
            raise self._too_short()
        self.say(f"training on {_count(trained)} views of masks")
        recipe = self.recipe or Recipe(until=until, seed=options.seed)
        end, steps = train_head(head, trained, recipe=recipe, clock=clock, on_step=self._on_step)
        tried = [self._tried(head, end, share, before, held, shelf) for share in SHARES]
        chosen = max(tried, key=lambda one: (one.verdict.adopted, one.judged.figures()["mean_iou"]))
        report = self._report(parts, held, steps, shelf, trained)
        report |= {"decision": ADAPTED if chosen.verdict.adopted else KEPT, "reason": chosen.verdict.reason}
        report |= {"before": before.figures(), "after": chosen.judged.figures(), "share": chosen.share}
        report["tried"] = [{"share": one.share, "reason": one.verdict.reason} for one in tried]
        report |= {"labels": report_labels(before, chosen.judged), "minutes": round(clock.used / 60, 2)}
        if chosen.verdict.adopted:
            best = between(head, end, chosen.share)
            write_folder(best, self.base, folder, name=material.name, about=self._about(report))
            report["model"] = folder.name
            kept = {k: v for k, v in report.items() if k != "notes"}  # they name scans, and a model is passed on
            (folder / REPORT).write_text(json.dumps(kept, indent=1) + "\n", "utf-8")
            (folder / README).write_text(readme(read_card(folder), report), "utf-8")
        return report

    def _tried(self, base: Head, end: Head, share: float, before: Judged, held: Sequence[Item], shelf: Shelf) -> _Tried:
        """What the head at ``share`` of the way is worth, as a model folder that is thrown away."""
        with tempfile.TemporaryDirectory(prefix="maskwright-adapt-") as scratch:
            write_folder(between(base, end, share), self.base, Path(scratch), name=self.material.name, about={})
            judged = self._judged(Path(scratch), held, shelf)
        return _Tried(share, judged, decide(before, judged))

    def _filled(self, filler: Filler, items: Sequence[Item]) -> list[Seen]:
        """Views to train on."""
        items = _of_slices(items, MOST_VIEWS)
        shelf, clock = filler.shelf, self.clock
        order = np.random.default_rng(self.options.seed).permutation(len(items))  # what is late is any of them
        shuffled = [items[int(i)] for i in order]
        extra = min(self.options.extra, MOST_VIEWS // len({item.place for item in shuffled}) - 1)
        trained = filler.fill(shuffled, extra=extra, is_late=lambda: clock.share > FILL_SHARE)
        views = [view for place in _places(trained) for view in shelf.views[place]]
        if not views and shelf.counts.late:
            raise self._too_short()
        if not views:
            raise AnnotationError(
                f"none of the masks of {self.material.name} can be trained on. {' '.join(shelf.notes)}".strip(),
                hint="Put the scans back, or accept masks of larger things.",
            )
        return views

    def _judged(
        self,
        model: Path,
        held: Sequence[Item],
        shelf: Shelf,
        *,
        is_late: Callable[[], bool] = lambda: False,
    ) -> Judged:
        if len(held) < FEWEST_HELD:
            raise AnnotationError(
                f"too few scans of {self.material.name} can be read to compare on. {' '.join(shelf.notes)}",
                hint="Put the scans back, or accept masks on others.",
            )
        self.say(f"comparing on {len(held)} masks")
        return judge(
            model,
            held,
            shelf.features,
            known=self.material.items,
            threads=self.options.threads,
            is_late=is_late,
        )

    def _too_short(self) -> ModelError:
        used = f"{100 * self.clock.share:.0f} %"
        return ModelError(
            f"{self.options.minutes:g} minutes are too few: features and comparing took {used} of them",
            hint="Give more with --minutes, or encode the scans first: maskwright precompute",
        )

    def _on_step(self, step: int, share: float) -> None:
        self.say(f"training: step {step}, {100 * share:.0f} %")

    def _report(
        self,
        parts: Split,
        held: Sequence[Item],
        steps: int,
        shelf: Shelf,
        trained: Sequence[Seen],
    ) -> dict[str, Any]:
        card, counts = read_card(self.base), shelf.counts
        return {
            "project": self.material.name,
            "base": {
                "id": card.id,
                "version": card.version,
                "head_sha256": card.sha256[card.files["head"]],
            },
            "split": parts.by,
            "masks": {
                "accepted": len(self.material.items),
                "trained": _count(trained) - counts.extra_masks,
                "compared": len(held),
                "late": counts.late,
            },
            "slices": {"from_store": counts.stored, "encoded": counts.encoded, "extra_views": counts.extra},
            "steps": steps,
            "notes": [*self.material.notes, *shelf.notes],
        }

    def _about(self, report: Mapping[str, Any]) -> dict[str, Any]:
        """What the card says beside the entries that every card has."""
        base, name = report["base"], self.material.name
        return {
            "adapted": {
                "base": base["id"],
                "base_version": base["version"],
                "base_head_sha256": base["head_sha256"],
                "project": name,
                "masks": report["masks"]["trained"],
                "data": f"The head was adapted to the masks of project {name}; what it knows besides is the base's.",
            }
        }


def _of_slices(items: Sequence[Item], most: int) -> list[Item]:
    """Items of at most ``most`` slices, evenly spread."""
    places = _places(items)
    if len(places) > most:
        places = [places[int(i)] for i in np.linspace(0, len(places) - 1, most).round()]
    chosen = set(places)
    return [item for item in items if item.place in chosen]


def _places(items: Sequence[Item]) -> list[Place]:
    return sorted({item.place for item in items})


def _count(views: Sequence[Seen]) -> int:
    return sum(len(view.labels) for view in views)
