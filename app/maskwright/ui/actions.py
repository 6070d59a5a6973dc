"""Every command of the window as data: name, place, icon, shortcut, when it can be used, and what it does."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from maskwright.ui.situation import Situation, When, always, with_scan, with_several, with_slices, with_volume

if TYPE_CHECKING:
    from maskwright.ui.main_window import MainWindow


Run = Callable[["MainWindow"], object]


@dataclass(frozen=True, slots=True)
class Action:
    """One command. `checkable` ones are switches; `group` makes them a choice of one."""

    id: str
    title: str
    menu: str
    run: Run
    shortcuts: tuple[str, ...] = ()
    icon: str = ""
    tip: str = ""
    when: When = always
    checkable: bool = False
    group: str = ""
    separator: bool = False  # a line before it in the menu


MENUS: Mapping[str, str] = {"file": "&File", "edit": "&Edit", "view": "&View", "tools": "&Tools", "help": "&Help"}


def _label_actions() -> tuple[Action, ...]:
    return tuple(
        Action(
            f"label.{n}",
            f"Choose label {n}",
            "",
            partial(_choose_label, n=n),
            (str(n),),
            when=partial(_has_label, n=n),
        )
        for n in range(1, 10)
    )


def _choose_label(window: MainWindow, *, n: int) -> None:
    window.commands.choose_label_number(n)


def _has_label(now: Situation, *, n: int) -> bool:
    return now.n_labels >= n


def _choose_theme(window: MainWindow, *, name: str) -> None:
    window.flows.choose_theme(name)


ACTIONS: tuple[Action, ...] = (
    Action("file.open", "Open file…", "file", lambda w: w.flows.open_file(), ("Ctrl+O",), "file-image"),
    Action(
        "file.open_folder", "Open folder…", "file", lambda w: w.flows.open_folder(), ("Ctrl+Shift+O",), "folder-open"
    ),
    Action(
        "file.import",
        "Import annotations…",
        "file",
        lambda w: w.flows.import_annotations(),
        ("Ctrl+I",),
        "folder-input",
        when=with_scan,
        separator=True,
    ),
    Action("file.export", "Export…", "file", lambda w: w.flows.export(), ("Ctrl+E",), "folder-output", when=with_scan),
    Action("file.quit", "Quit", "file", lambda w: w.close(), ("Ctrl+Q",), separator=True),
    Action(
        "edit.undo",
        "Undo",
        "edit",
        lambda w: w.bridge.act(lambda s: s.undo()),
        ("Ctrl+Z",),
        "undo-2",
        when=lambda now: now.can_undo,
    ),
    Action(
        "edit.redo",
        "Redo",
        "edit",
        lambda w: w.bridge.act(lambda s: s.redo()),
        ("Ctrl+Shift+Z", "Ctrl+Y"),
        "redo-2",
        when=lambda now: now.can_redo,
    ),
    Action(
        "edit.commit",
        "Commit the mask",
        "edit",
        lambda w: w.commands.commit(),
        ("Return", "Enter"),
        "check",
        when=lambda now: now.has_preview,
        separator=True,
    ),
    Action(
        "edit.commit_continue",
        "Commit and go on with this object",
        "edit",
        lambda w: w.commands.commit(go_on=True),
        ("Shift+Return", "Shift+Enter"),
        tip="The next commit, on this slice or another, is added to the same object.",
        when=lambda now: now.has_preview,
    ),
    Action(
        "edit.clear",
        "Clear the prompts",
        "edit",
        lambda w: w.commands.clear(),
        ("Escape",),
        "x",
        when=with_scan,
    ),
    Action(
        "edit.remove_last",
        "Remove the last prompt",
        "edit",
        lambda w: w.bridge.act(lambda s: s.remove_last_prompt()),
        ("Backspace",),
        when=lambda now: now.has_prompts,
    ),
    Action(
        "edit.new_object",
        "Begin a new object",
        "edit",
        lambda w: w.bridge.act(lambda s: s.set_active_object(None)),
        ("N",),
        "shapes",
        when=lambda now: now.has_active_object,
        separator=True,
    ),
    Action(
        "edit.delete_object",
        "Delete the active object",
        "edit",
        lambda w: w.commands.delete_active_object(),
        ("Delete",),
        "trash-2",
        when=lambda now: now.has_active_object,
    ),
    Action(
        "edit.use_label",
        "Use the suggested label",
        "edit",
        lambda w: w.commands.use_suggested_label(),
        ("Y",),
        tip="The new object gets the label that its words, or the model, name.",
        when=lambda now: now.has_prompts,
    ),
    Action("edit.add_label", "Add a label…", "edit", lambda w: w.flows.add_label(), ("L",), "tag", when=with_scan),
    Action(
        "view.fit", "Fit to window", "view", lambda w: w.slice_view.fit(), ("F", "Ctrl+0"), "maximize", when=with_scan
    ),
    Action(
        "view.zoom_in",
        "Zoom in",
        "view",
        lambda w: w.slice_view.zoom(1.25),
        ("Ctrl++", "Ctrl+=", "+"),
        "zoom-in",
        when=with_scan,
    ),
    Action(
        "view.zoom_out",
        "Zoom out",
        "view",
        lambda w: w.slice_view.zoom(0.8),
        ("Ctrl+-", "-"),
        "zoom-out",
        when=with_scan,
    ),
    Action(
        "view.masks",
        "Show objects",
        "view",
        lambda w: w.commands.toggle_masks(),
        ("V",),
        "eye",
        when=lambda now: now.has_objects,
        checkable=True,
    ),
    Action(
        "view.uncertainty",
        "Show where the model is unsure",
        "view",
        lambda w: w.commands.toggle_uncertainty(),
        ("U",),
        tip="Tints what the model is unsure of, and marks where a click would help most.",
        when=with_scan,
        checkable=True,
    ),
    Action(
        "view.next_slice",
        "Next slice",
        "view",
        lambda w: w.commands.scroll_slices(1),
        ("PgDown", "Down", "Right"),
        when=with_slices,
        separator=True,
    ),
    Action(
        "view.previous_slice",
        "Previous slice",
        "view",
        lambda w: w.commands.scroll_slices(-1),
        ("PgUp", "Up", "Left"),
        when=with_slices,
    ),
    Action("view.first_slice", "First slice", "view", lambda w: w.commands.show_slice(0), ("Home",), when=with_slices),
    Action("view.last_slice", "Last slice", "view", lambda w: w.commands.show_slice(-1), ("End",), when=with_slices),
    Action(
        "view.next_scan",
        "Next image",
        "view",
        lambda w: w.bridge.step_scan(1),
        ("D",),
        "chevron-right",
        when=with_several,
        separator=True,
    ),
    Action(
        "view.previous_scan",
        "Previous image",
        "view",
        lambda w: w.bridge.step_scan(-1),
        ("A",),
        "chevron-left",
        when=with_several,
    ),
    Action(
        "view.scan_done",
        "Mark the image as done",
        "view",
        lambda w: w.commands.toggle_done(),
        ("M",),
        "circle-check",
        when=with_several,
        checkable=True,
    ),
    Action(
        "view.reset_window",
        "Reset window and level",
        "view",
        lambda w: w.display.reset_window(),
        ("Ctrl+R",),
        "contrast",
        when=with_volume,
        separator=True,
    ),
    *(
        Action(
            f"theme.{name}",
            title,
            "view",
            partial(_choose_theme, name=name),
            checkable=True,
            group="theme",
            separator=name == "system",
        )
        for name, title in (("system", "Theme of the system"), ("light", "Light theme"), ("dark", "Dark theme"))
    ),
    Action(
        "tool.smart",
        "Click or box",
        "tools",
        lambda w: w.commands.choose_tool("smart"),
        ("P",),
        "mouse-pointer-click",
        "Left click: part of the object. Right click or Shift + click: not part of it. Drag: a box.",
        checkable=True,
        group="tool",
    ),
    Action(
        "tool.box",
        "Box",
        "tools",
        lambda w: w.commands.choose_tool("box"),
        ("B",),
        "square-dashed",
        "Drag a box round the object, in any direction.",
        checkable=True,
        group="tool",
    ),
    Action(
        "tool.window",
        "Window and level",
        "tools",
        lambda w: w.commands.choose_tool("window"),
        ("W",),
        "contrast",
        "Drag right and left for contrast, up and down for brightness. Masks do not depend on it.",
        when=with_volume,
        checkable=True,
        group="tool",
    ),
    Action(
        "tool.pan",
        "Move the picture",
        "tools",
        lambda w: w.commands.choose_tool("pan"),
        ("H",),
        "hand",
        "Drag to move. With any tool: the middle button, or Space and drag.",
        checkable=True,
        group="tool",
    ),
    Action(
        "tool.sign",
        "Negative clicks",
        "tools",
        lambda w: w.commands.toggle_sign(),
        ("T",),
        "circle-minus",
        "A plain left click says “not this”.",
        when=with_scan,
        checkable=True,
        separator=True,
    ),
    Action(
        "tool.text",
        "Find by words…",
        "tools",
        lambda w: w.commands.begin_text(),
        ("Ctrl+T", "/"),
        "type",
        "Type what to find, such as “left kidney”. Clicks correct what is found.",
        when=lambda now: now.takes_text,
    ),
    Action(
        "tool.models",
        "Models…",
        "tools",
        lambda w: w.models.show(),
        ("Ctrl+Shift+M",),
        "layers",
        "Which models are installed, what each takes, and which of them answers the clicks.",
        separator=True,
    ),
    Action("help.shortcuts", "Keyboard shortcuts…", "help", lambda w: w.flows.change_shortcuts(), ("F1",), "keyboard"),
    Action("help.about", "About maskwright", "help", lambda w: w.flows.about(), (), "info"),
    *_label_actions(),
)


def action_by_id(action_id: str) -> Action:
    """Command with this id; KeyError if there is none."""
    for action in ACTIONS:
        if action.id == action_id:
            return action
    raise KeyError(action_id)
