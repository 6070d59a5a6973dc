"""maskwright: interactive annotation and segmentation of scans and photos."""

from __future__ import annotations

__version__ = "0.1.0"
