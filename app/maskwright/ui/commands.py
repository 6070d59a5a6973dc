"""What the commands do that need no dialog: prompts, objects, labels, tools, slices."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from maskwright.core.prompts import Prompt
from maskwright.core.volume import View
from maskwright.session.session import Session
from maskwright.ui.tools.table import tool_by_id

if TYPE_CHECKING:
    from maskwright.ui.main_window import MainWindow


class Commands:
    """Commands of one window."""

    def __init__(self, window: MainWindow) -> None:
        self._window = window
        self._bridge = window.bridge
        self._view = window.slice_view

    @property
    def _session(self) -> Session:
        return self._bridge.session

    def commit(self, *, go_on: bool = False) -> None:
        """Keep the preview; with `go_on` what is committed next is added to the same object."""
        before = self._session.active_object
        if not self._bridge.act(lambda s: s.commit()) or not go_on or before is not None:
            return
        objects = self._session.annotation.objects
        if objects and not self._session.prompts:
            self._bridge.act(lambda s: s.set_active_object(max(one.id for one in objects)))

    def clear(self) -> None:
        """Drop the gesture under the finger, or the prompts, or the choice of an object."""
        if self._view.in_gesture:
            self._view.cancel_gesture()
        elif self._session.prompts:
            self._bridge.act(lambda s: s.clear_prompts())
        elif self._session.active_object is not None:
            self._bridge.act(lambda s: s.set_active_object(None))

    def begin_text(self) -> None:
        """Let the user type what to find; the words that the model knows are offered."""
        card = self._session.model_card
        words = () if card is None else card.labels or card.categories
        self._window.prompt_bar.begin_text(words, self._session.prompts.text)

    def say(self, text: str) -> None:
        """Find what the words name, or forget the words where there are none."""
        self._view.setFocus()
        self._bridge.act(lambda s: s.say(text))

    def use_suggested_label(self) -> None:
        """Give the object being made the label that its prompts suggest."""
        name = self._session.suggested_label
        if name:
            self._bridge.act(lambda s: s.use_label(name))
        self._view.setFocus()

    def delete_active_object(self) -> None:
        """Delete the object that is chosen."""
        active = self._session.active_object
        if active is not None:
            self._bridge.act(lambda s: s.delete_object(active))

    def choose_object(self, object_id: int) -> None:
        """Make an object the active one, or none when it is already; show a slice on which it is."""
        session = self._session
        if session.active_object == object_id:
            self._bridge.act(lambda s: s.set_active_object(None))
            return
        self._bridge.act(lambda s: s.set_active_object(object_id))
        views, here = list(session.annotation.get(object_id).masks), session.view
        if views and here is not None and here not in views:
            nearest = min(views, key=lambda view: (view.axis != here.axis, abs(view.index - here.index)))
            self._bridge.act(lambda s: s.set_view(nearest))

    def choose_label_number(self, n: int) -> None:
        """Choose the n-th label of the list, counted from 1."""
        labels = self._session.labels.labels
        if n <= len(labels):
            self._bridge.act(lambda s: s.set_active_label(labels[n - 1].id))

    def choose_tool(self, tool_id: str) -> None:
        """Use another tool."""
        self._view.set_tool(tool_by_id(tool_id))
        self._window.actions_[f"tool.{tool_id}"].setChecked(True)

    def toggle_sign(self) -> None:
        """Let a plain click mean the other thing."""
        self._view.sign = not self._view.sign
        self._window.show_commands()

    def toggle_masks(self) -> None:
        """Show or hide all objects."""
        self._view.set_show_masks(not self._view.scene.show_masks)
        self._window.show_commands()

    def toggle_uncertainty(self) -> None:
        """Show where the model is unsure, or no longer."""
        self._bridge.act(lambda s: s.show_uncertainty(on=not s.shows_uncertainty))
        self._window.show_commands()

    def toggle_done(self) -> None:
        """Mark the image as done, or not done."""
        entry = self._session.scan
        if entry is not None:
            self._bridge.act(lambda s: s.set_scan_done(done=entry.status != "done"))

    def scroll_slices(self, step: int) -> None:
        """Go on by slices."""
        view = self._session.view
        if view is not None:
            self._bridge.act(lambda s: s.set_view(View(view.axis, view.index + step)))

    def show_slice(self, index: int) -> None:
        """Show a slice; a negative index counts from the end."""
        session = self._session
        view, volume = session.view, session.volume
        if view is not None and volume is not None:
            index = index if index >= 0 else volume.n_slices(view.axis) + index
            self._bridge.act(lambda s: s.set_view(View(view.axis, index)))

    def take_back(self, prompt: Prompt) -> None:
        """Undo a prompt that turned out to be the start of another gesture, if it is still the last thing said."""
        items = self._session.prompts.items
        if items and items[-1] == prompt:
            self._bridge.act(lambda s: replace(s.undo(), message=""))

    def pick_object(self, x: float, y: float) -> None:
        """Make the topmost visible object under an image point the active one, or none."""
        session = self._session
        if session.view is None:
            return
        found = [one.id for one, mask in session.annotation.at(session.view) if one.visible and mask.contains(x, y)]
        self._bridge.act(lambda s: s.set_active_object(found[-1] if found else None))
