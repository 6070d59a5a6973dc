"""What the app does, without a window: projects, verbs, undo, workers."""

from __future__ import annotations

from maskwright.session.changes import Changes
from maskwright.session.project import Project
from maskwright.session.session import Session

__all__ = ["Changes", "Project", "Session"]
