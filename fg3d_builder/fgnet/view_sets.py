"""The constant poses from which the virtual cameras look (Sec. 4.1 and Table 2)."""

from __future__ import annotations

VIEW_SETS: dict[str, tuple[tuple[float, float], ...]] = {
    "source": (),
    "1": ((0.0, 0.0),),
    "3": ((0.0, 0.0), (0.0, 25.0), (0.0, 50.0)),
    "5": ((0.0, 0.0), (0.0, 25.0), (0.0, 50.0), (15.0, 0.0), (-25.0, 0.0)),
    "7": (
        *((0.0, 0.0), (0.0, 25.0), (0.0, 50.0), (15.0, 0.0), (-25.0, 0.0)),
        *((0.0, -25.0), (0.0, -50.0)),
    ),
}
"""(pitch, yaw) in degrees by name; ``"source"`` is the input image itself as the only view."""


def view_count(view_set: str) -> int:
    """How many images a network of that view set is shown."""
    return max(1, len(VIEW_SETS[view_set]))
