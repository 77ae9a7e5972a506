"""Which subjects give their features to a target shape.

Draws use rendezvous hashing: every candidate gets a hash of the draw and its own name, and the
smallest wins. So a draw needs no generator state, does not depend on the order of candidates,
and when a subject joins or leaves, only the draws that it wins or won change.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass

from fg3d_builder.errors import ConfigError
from fg3d_builder.records import Array

DONATED_PARTS = ("eyes", "nose", "mouth", "cheeks")
"""Parts of `fg3d_builder.facemodel.model.PARTS` that come from other subjects; the rest of the
face stays the capture's own."""


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


def draw_donors(
    subject_id: str, draw: str, candidates: Collection[str], attempt: int = 0
) -> dict[str, str]:
    """Return one subject per part, all different and none the capture's own.

    Parameters
    ----------
    subject_id : str
        The capture's own subject.
    draw : str
        Name of the draw: salt, capture and number of the shape.
    candidates : collection of str
        Subjects of the capture's own split.
    attempt : int
        Number of the draw, higher where earlier ones gave no plausible face.

    Raises
    ------
    ConfigError
        Fewer other subjects than parts.
    """
    others = sorted(set(candidates) - {subject_id})
    if len(others) < len(DONATED_PARTS):
        raise ConfigError(
            f"shape transformation of {subject_id} needs {len(DONATED_PARTS)} other subjects in "
            f"its split, there are {len(others)}; set transform.shapes_per_capture = 0, or add "
            "subjects"
        )
    donors: dict[str, str] = {}
    for part in DONATED_PARTS:
        free = [name for name in others if name not in donors.values()]
        donors[part] = min(free, key=lambda name: _score(draw, attempt, part, name))
    return donors


def _score(draw: str, attempt: int, part: str, name: str) -> bytes:
    return hashlib.sha256(f"{draw}|{attempt}|{part}|{name}".encode()).digest()
