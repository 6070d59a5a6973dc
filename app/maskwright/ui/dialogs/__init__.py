"""Windows that ask or tell something."""

from __future__ import annotations
