"""The window (PySide6): shows what the session says and tells it what the user does."""

from __future__ import annotations
