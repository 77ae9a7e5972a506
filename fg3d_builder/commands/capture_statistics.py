"""What there is in captures that were looked at: who, how turned, how far, how noisy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from fg3d_builder.captures.inspection import Inspected
from fg3d_builder.wording import counted

_MOST_TOLD = 8


def statistics(inspected: Sequence[Inspected]) -> Iterator[str]:
    """Yield lines: how many captures are rejected and why, and what the good ones show."""
    good = [one for one in inspected if one.error is None]
    codes = Counter(one.error.code for one in inspected if one.error)
    people = Counter(one.entry.subject_id for one in good)
    why = f" ({_counts(codes)})" if codes else ""
    yield f"{len(good)} good, {sum(codes.values())} rejected{why}"
    if not good:
        return
    each = sorted(people.values())
    spread = f"{each[0]}" if each[0] == each[-1] else f"{each[0]} to {each[-1]}"
    yield f"{counted(len(people), 'subject')}, {spread} of these captures each"
    yield f"expressions: {_counts(Counter(one.expression for one in good))}"
    stated = Counter(one.sex for one in good if one.sex)
    if stated:
        left = len(good) - stated.total()
        yield f"sex: {_counts(stated)}{f'; {left:,} do not say' if left else ''}"
    faces = [one.face for one in good if one.face]
    yield _range("yaw", [face.yaw_deg for face in faces], "degrees")
    yield _range("pitch", [face.pitch_deg for face in faces], "degrees")
    yield _range("distance of the face", [face.distance_mm for face in faces], "mm")
    yield _range("width of the face", [face.width_mm for face in faces], "mm")
    yield _range("extent of the landmarks", [face.extent_px for face in faces], "px")
    yield _range("depth noise on the face", [face.noise_mm for face in faces], "mm", 2)
    yield _range("face with depth", [100 * face.depth_share for face in faces], "%")


def _range(what: str, values: Sequence[float], unit: str, digits: int = 0) -> str:
    known = np.array([value for value in values if np.isfinite(value)])
    if not len(known):
        return f"{what}: not measured"
    low, middle, high = np.quantile(known, [0.0, 0.5, 1.0]) + 0.0
    return f"{what}: {low:.{digits}f} to {high:.{digits}f}, median {middle:.{digits}f} {unit}"


def _counts(found: Counter[str]) -> str:
    """Name the commonest of some words with their numbers."""
    told = [f"{count:,} {word}" for word, count in found.most_common(_MOST_TOLD)]
    left = len(found) - len(told)
    return ", ".join([*told, f"and {left} others"] if left > 0 else told)
