"""What the pointer does on a slice: one gesture a file, each a generator that lives from press to release."""

from __future__ import annotations
