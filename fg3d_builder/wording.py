"""Numbers and names in sentences for people."""

from __future__ import annotations

from collections.abc import Sequence


def counted(count: int, what: str) -> str:
    """Return a number with what it counts, ``"1 scan"``, ``"2 scans"`` or ``"2 meshes"``."""
    many = "es" if what.endswith("sh") else "s"
    return f"{count:,} {what}{'' if count == 1 else many}"


def some_of(names: Sequence[str], most: int) -> str:
    """Name the first of several things, ``"a, b and 3 others"``, or all where they are few."""
    left = len(names) - most
    if left <= 0:
        return ", ".join(names)
    return f"{', '.join(names[:most])} and {counted(left, 'other')}"


def duration(seconds: float) -> str:
    """Return a time in words: ``80 s``, ``12 min``, ``3.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h"
