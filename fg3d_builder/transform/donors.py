"""Which subjects give their features to a target shape.

Draws use consistent hashing: every candidate stands at many places of a ring, each draw begins
at a place of its own and takes the next candidate that is free. So a draw needs no generator
state, does not depend on the order of candidates, and costs the same for ten subjects as for ten
thousand; when a subject joins or leaves, only the draws that it wins or won change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator
from dataclasses import dataclass

import numpy as np

from fg3d_builder.errors import ConfigError
from fg3d_builder.records import Array

DONATED_PARTS = ("eyes", "nose", "mouth", "cheeks")
"""Parts of `fg3d_builder.facemodel.model.PARTS` that come from other subjects; the rest of the
face stays the capture's own."""


PLACES = 256
"""Of a subject on the ring: so all are drawn equally often, but for 6 %."""

ATTEMPTS = 4
"""Draws for one shape: donors that fuse into no plausible face are replaced by the next ones."""


@dataclass(frozen=True)
class DonorFace:
    """A subject's face as others may take parts from it: that of its best registration.

    Attributes
    ----------
    capture_id : str
    shape_obj_mm : (n, 3) float64
    alpha_exp : (e,) float64
    confidence : (n,) float64
    """

    capture_id: str
    shape_obj_mm: Array
    alpha_exp: Array
    confidence: Array


class DonorRing:
    """Subjects of a split, from whom donors are drawn.

    Parameters
    ----------
    candidates : collection of str
    """

    def __init__(self, candidates: Collection[str]) -> None:
        self._names = sorted(set(candidates))
        places = [_places(name) for name in self._names]
        at = np.concatenate(places) if places else np.zeros(0, np.uint64)
        owner = np.repeat(np.arange(len(places)), PLACES)
        order = np.argsort(at, kind="stable")
        self._at, self._owner = at[order], owner[order]

    def draw(self, subject_id: str, draw: str, attempt: int = 0) -> dict[str, str]:
        """Return one subject per part, all different and none the capture's own.

        Parameters
        ----------
        subject_id : str
            The capture's own subject.
        draw : str
            Name of the draw: salt, capture and number of the shape.
        attempt : int
            Number of the draw, higher where earlier ones gave no plausible face.

        Raises
        ------
        ConfigError
            Fewer other subjects than parts.
        """
        others = len(self._names) - (subject_id in self._names)
        if others < len(DONATED_PARTS):
            raise ConfigError(
                f"shape transformation of {subject_id} needs {len(DONATED_PARTS)} other subjects "
                f"in its split, there are {others}; set transform.shapes_per_capture = 0, or add "
                "subjects"
            )
        taken, donors = {subject_id}, {}
        for part in DONATED_PARTS:
            name = next(n for n in self._from(f"{draw}|{attempt}|{part}") if n not in taken)
            donors[part] = name
            taken.add(name)
        return donors

    def _from(self, place: str) -> Iterator[str]:
        """Go once around the ring from a place."""
        digest = hashlib.sha256(place.encode()).digest()
        first = int(np.searchsorted(self._at, np.frombuffer(digest[:8], "<u8")[0]))
        for step in range(len(self._owner)):
            yield self._names[self._owner[(first + step) % len(self._owner)]]


def _places(name: str) -> Array:
    """Where a subject stands on the ring, (PLACES,)."""
    data = hashlib.shake_128(name.encode()).digest(8 * PLACES)
    return np.frombuffer(data, "<u8").astype(np.uint64)
