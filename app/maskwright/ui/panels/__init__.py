"""Parts of the window round the picture."""

from __future__ import annotations
