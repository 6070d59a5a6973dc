"""The tools a user can choose, in the order the tool bar shows them."""

from __future__ import annotations

from dataclasses import dataclass

from PySide6.QtCore import Qt

from maskwright.ui.tools.box import box
from maskwright.ui.tools.gesture import Start
from maskwright.ui.tools.pan import pan
from maskwright.ui.tools.smart import smart
from maskwright.ui.tools.window_level import window_level


@dataclass(frozen=True, slots=True)
class Tool:
    """A gesture with its name, icon and cursor."""

    id: str
    title: str
    icon: str
    cursor: Qt.CursorShape
    start: Start


TOOLS: tuple[Tool, ...] = (
    Tool("smart", "Click or box", "mouse-pointer-click", Qt.CursorShape.CrossCursor, smart),
    Tool("box", "Box", "square-dashed", Qt.CursorShape.CrossCursor, box),
    Tool("window", "Window and level", "contrast", Qt.CursorShape.SizeAllCursor, window_level),
    Tool("pan", "Move the picture", "hand", Qt.CursorShape.OpenHandCursor, pan),
)


def tool_by_id(tool_id: str) -> Tool:
    """Tool with this id; KeyError if there is none."""
    for tool in TOOLS:
        if tool.id == tool_id:
            return tool
    raise KeyError(tool_id)
