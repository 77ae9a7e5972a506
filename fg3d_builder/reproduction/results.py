"""The errors that runs have left behind, one array per row and seed, on the same samples."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.records import Array
from fg3d_builder.reproduction.tables import DACE, NME

_KEYS = {NME: ("fit", "predicted"), DACE: ("fit_dace", "predicted_dace")}


@dataclass(frozen=True)
class Assessed:
    """What one run's assessment says; errors are fractions of the interocular distance.

    Attributes
    ----------
    sample_ids, subject_ids : (s,) str
    yaw_deg : (s,) float64
    fit, predicted : dict of measure to (s,) float64
        Of the 3DMM fit and of the network.
    """

    sample_ids: Array
    subject_ids: Array
    yaw_deg: Array
    fit: dict[str, Array]
    predicted: dict[str, Array]


def read_assessment(file: Path) -> Assessed:
    """Read an ``assessment.json``.

    Raises
    ------
    ValueError
        It lacks a figure; names it.
    """
    table = json.loads(file.read_text(encoding="utf-8"))
    try:
        rows = table["samples"]
        return Assessed(
            np.array([row["sample_id"] for row in rows]),
            np.array([row["subject_id"] for row in rows]),
            _floats(rows, "yaw_deg"),
            {measure: _floats(rows, fit) for measure, (fit, _) in _KEYS.items()},
            {measure: _floats(rows, predicted) for measure, (_, predicted) in _KEYS.items()},
        )
    except KeyError as error:
        raise ValueError(
            f"{file} has no {error}: an older version wrote it; remove it, so that it is made anew"
        ) from None


def read_training_samples(file: Path) -> int:
    """Return how many samples a network was trained on, from the assessment of its training."""
    return int(json.loads(file.read_text(encoding="utf-8"))["about"]["training_samples"])


def check_same_samples(results: dict[str, Assessed]) -> None:
    """Refuse results that cannot be compared sample by sample.

    Raises
    ------
    ValueError
        Two results are about different samples; names both.
    """
    names = list(results)
    for name in names[1:]:
        if not np.array_equal(results[name].sample_ids, results[names[0]].sample_ids):
            raise ValueError(f"{name} and {names[0]} were tested on different samples")


def _floats(rows: list[dict[str, Any]], key: str) -> Array:
    return np.array([row[key] for row in rows], dtype=np.float64)
