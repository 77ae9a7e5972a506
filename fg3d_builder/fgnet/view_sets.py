"""The constant poses from which the virtual cameras look (Sec. 4.1 and Table 2)."""

from __future__ import annotations

_FRONTAL, _UP, _DOWN = (0.0, 0.0), (15.0, 0.0), (-25.0, 0.0)
_LEFT, _RIGHT = ((0.0, 25.0), (0.0, 50.0)), ((0.0, -25.0), (0.0, -50.0))

VIEW_SETS: dict[str, tuple[tuple[float, float], ...]] = {
    "source": (),
    "1": (_FRONTAL,),
    "3": (_FRONTAL, *_LEFT),
    "5": (_FRONTAL, *_LEFT, _UP, _DOWN),
    "7": (_FRONTAL, *_LEFT, _UP, _DOWN, *_RIGHT),
}
"""(pitch, yaw) in degrees by name; ``"source"`` is the input image itself as the only view."""


def view_count(view_set: str) -> int:
    """How many images a network of that view set is shown."""
    return max(1, len(VIEW_SETS[view_set]))
