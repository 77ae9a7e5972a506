"""How far off a registration is, from what can be observed without the truth.

`QualityFigures` are what can be observed. Each of them says by how many millimetres the mesh may
be beside the face, and what several say adds up, a little less than in full: they have causes in
common, but not only (see `TOGETHER`). That gives a predicted mean error of the visible face, of
its vertices and across its surface, and from the two the probability that the registration is
good. How much of the face was measured is another question and takes no part:
`Registration.coverage`.

``quality.json`` holds what ``python -m benchmarks.quality --calibrate`` found on registrations
whose truth is known.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fg3d_builder.records import Array, QualityFigures

SURFACE_LIMIT_MM, VERTEX_LIMIT_MM = 1.0, 3.5
"""Mean error over the visible reliable face above either of which a registration is bad. A
surface that is a millimetre off shows another person; vertices of good registrations, whose
landmarks come from a detector, are 1 to 2.5 mm off their place along smooth skin."""

MAX_DOUBTS = 3
DOUBT_SHARE = 0.4
"""A figure that by itself predicts this part of an error limit is worth mentioning."""

TOGETHER = 1.25
"""Exponent of the norm in which the errors that figures say add up: 2 for independent ones, 1 where
all say the same. Chosen within the training set, by failures of kinds and subjects left out: with 2
several small signs of one fault count for too little, with 1 many that say next to nothing for too
much."""

CALIBRATION_FILE = Path(__file__).with_name("quality.json")

SENTENCES = {
    "surface_mm": "The mesh does not lie on the depth it was registered to.",
    "landmark_motion": "Eyes, brows, nose and lips of the mesh are not where they were detected.",
    "landmark_gap_mm": "At the detected landmarks the depth differs from the mesh.",
    "deformation_mm": "The shape is far from any face that the face model can make.",
    "moved_mm": "The registration had to move far from the fitted face model.",
    "refit_mm": "Fitting the face model to the depth gives another face, or another place.",
    "turned_deg": "The surface is tilted differently from that of the fitted face model.",
    "pull_mm": "Depth and landmarks disagree about where the face is.",
    "expression_norm": "The expression is implausibly strong.",
    "identity_norm": "The face is unlike the faces that the face model was built from.",
    "size": "The face is larger or smaller than adults' faces: is the unit of the depth, or the "
    "focal length, the right one?",
    "distortion": "The face is stretched or flattened: is the focal length the right one, and "
    "does the depth belong to the colour image?",
    "flipped": "The mesh is folded over.",
    "stretch": "The mesh is stretched or crumpled.",
    "unconverged": "The solver did not converge.",
    "image_shift_mm": "Eyes, brows and lips are not where the mesh has them in the image.",
    "image_mismatch": "Where the mesh has eyes, brows and lips, the image shows none.",
    "odd_hue": "Part of the measured surface has another colour than skin: a mask, glasses, hair?",
    "pierced_mm": "The depth lies behind the mesh: the camera looks through it.",
}
"""By figure that counts: what it means when it is large. In the docs as well."""


SHORT_NAMES = {
    "surface_mm": "distance to the depth",
    "landmark_motion": "features beside where they were detected",
    "landmark_gap_mm": "depth at the landmarks",
    "deformation_mm": "distance from the face model's faces",
    "moved_mm": "way from the fit",
    "refit_mm": "change of the fit by the depth",
    "turned_deg": "tilt against the fit",
    "pull_mm": "depth against landmarks",
    "expression_norm": "strength of the expression",
    "identity_norm": "unlikeness to the face model's people",
    "size": "size of the face",
    "distortion": "stretched proportions",
    "flipped": "folds of the mesh",
    "stretch": "stretched edges of the mesh",
    "unconverged": "solver not at rest",
    "image_shift_mm": "features beside those of the image",
    "image_mismatch": "features unlike those of the image",
    "odd_hue": "colours unlike skin",
    "pierced_mm": "depth behind the mesh",
}
"""The same figures in a few words."""

AS_LIKELY_BAD = 0.5
"""Quality below which a registration is rather bad than good: what is it, if no doubt says so?"""

_NAMED_SHARE = 0.05
"""A figure that by itself predicts less of an error limit explains nothing."""


class ErrorModel(NamedTuple):
    """Predicted mean error of one kind.

    What the figures say together is ``t = (floor^p + sum_i (weight_i excess_i)^p)^(1/p)`` with
    ``p`` of `TOGETHER`, the error is ``level t^power``: the weights are close to what the figures
    mean by themselves, and many of them say a little of any face.

    Attributes
    ----------
    floor_mm : float
        Of registrations without any fault to be seen.
    weights : dict of str to float
        Millimetres per unit of each figure; not negative, so that none gets better by being
        larger.
    level, power : float
        Positive.
    """

    floor_mm: float
    weights: dict[str, float]
    level: float = 1.0
    power: float = 1.0

    def parts_mm(self, excess: Mapping[str, float]) -> dict[str, float]:
        """Return the error that each figure predicts by itself."""
        return {
            name: self._error_mm(weight * excess[name]) for name, weight in self.weights.items()
        }

    def error_mm(self, excess: Mapping[str, float]) -> float:
        """Return the predicted error; NaN where a figure that counts is no number."""
        parts = np.array([weight * excess[name] for name, weight in self.weights.items()])
        together = self.floor_mm**TOGETHER + (parts**TOGETHER).sum()
        return self._error_mm(float(together ** (1.0 / TOGETHER)))

    def _error_mm(self, together: float) -> float:
        return float(self.level * together**self.power)


class Judgement(NamedTuple):
    """What the figures of a registration say.

    Attributes
    ----------
    quality : float
        Probability in [0, 1] that it is good, were good and bad ones equally frequent.
    vertex_mm, surface_mm : float
        Predicted mean distances to the true places and to the true surface.
    """

    quality: float
    vertex_mm: float
    surface_mm: float


class Doubt(NamedTuple):
    """One reason against a registration.

    Attributes
    ----------
    figure : str
        Its name in `QualityFigures`.
    error_mm : float
        Mean vertex error that it predicts by itself.
    sentence : str
    """

    figure: str
    error_mm: float
    sentence: str


class QualityModel(NamedTuple):
    """Predicts errors, and from them the quality.

    The log odds of a good registration are ``offset - slope log(severity)``; the severity is the
    predicted error over its limit, of vertices or of the surface, whichever is worse.

    Attributes
    ----------
    ordinary : dict of str to float
        Size by figure up to which it says little, see `excess`.
    vertex, surface : ErrorModel
    offset, slope : float
        The slope is not negative.
    """

    ordinary: dict[str, float]
    vertex: ErrorModel
    surface: ErrorModel
    offset: float
    slope: float

    def excess(self, figures: QualityFigures) -> dict[str, float]:
        """Return by how much each figure is beyond what is ordinary."""
        values = fault_values(figures)
        return {n: float(excess(values[n], o)) for n, o in self.ordinary.items()}

    def judge(self, figures: QualityFigures) -> Judgement:
        """Return quality and predicted errors; a figure that is no number leaves a quality of 0."""
        beyond = self.excess(figures)
        vertex, surface = self.vertex.error_mm(beyond), self.surface.error_mm(beyond)
        logit = self.offset - self.slope * np.log(severity(vertex, surface))
        quality = 1.0 / (1.0 + np.exp(-np.clip(logit, -60.0, 60.0)))
        return Judgement(0.0 if np.isnan(quality) else float(quality), vertex, surface)

    def doubts(self, figures: QualityFigures) -> list[Doubt]:
        """Return the reasons against a registration, at most `MAX_DOUBTS`, the worst first."""
        vertex = self.vertex.parts_mm(self.excess(figures))
        share = self.shares(figures)
        worst = list(share)[:MAX_DOUBTS]
        return [Doubt(n, vertex.get(n, 0.0), SENTENCES[n]) for n in worst if share[n] > DOUBT_SHARE]

    def shares(self, figures: QualityFigures) -> dict[str, float]:
        """Return which part of an error limit each figure predicts by itself, the largest first."""
        beyond = self.excess(figures)
        vertex, surface = self.vertex.parts_mm(beyond), self.surface.parts_mm(beyond)
        share = {n: severity(vertex.get(n, 0.0), surface.get(n, 0.0)) for n in self.ordinary}
        # What is no number is the gravest doubt.
        share = {n: np.inf if np.isnan(s) else s for n, s in share.items()}
        return dict(sorted(share.items(), key=lambda item: -item[1]))


def quality_doubts(figures: QualityFigures) -> list[Doubt]:
    """Return the reasons against a registration by the calibrated model."""
    return calibrated_model().doubts(figures)


def weightiest(figures: QualityFigures) -> str:
    """Name the figures that the predicted error owes most to, where none is a doubt by itself.

    Returns
    -------
    str
        At most `MAX_DOUBTS` of `SHORT_NAMES`, each with the part of the error limit that it
        predicts by itself; empty where that is next to nothing.
    """
    shares = calibrated_model().shares(figures)
    named = [(name, share) for name, share in shares.items() if share >= _NAMED_SHARE]
    return ", ".join(f"{SHORT_NAMES[n]} {100 * share:.0f} %" for n, share in named[:MAX_DOUBTS])


def severity(vertex_mm: float, surface_mm: float) -> float:
    """Return errors over their limits, whichever is worse; above 1 is bad."""
    return float(np.maximum(vertex_mm / VERTEX_LIMIT_MM, surface_mm / SURFACE_LIMIT_MM))


def excess(values: Array | float, ordinary: Array | float) -> Array:
    """Return how far values are beyond what is ordinary: quadratic below it, linear above."""
    return np.asarray(np.sqrt(np.square(values) + np.square(ordinary)) - ordinary)


def fault_values(figures: QualityFigures) -> dict[str, float]:
    """Return the figures that can be faults, each 0 at best.

    Residuals of the size of the depth's noise are none: distances to single depth pixels are
    taken relative to a millimetre more than the noise.
    """
    values = asdict(figures)
    allowed = 1.0 + values.pop("noise_mm")
    for name in ("surface_mm", "landmark_gap_mm"):
        values[name] /= allowed
    return values


@lru_cache(maxsize=1)
def calibrated_model() -> QualityModel:
    """Return the model in the package's calibration file."""
    return model_from(json.loads(CALIBRATION_FILE.read_text(encoding="utf-8"))["model"])


def model_from(table: Mapping[str, Any]) -> QualityModel:
    """Make a model from JSON values, the fields of `QualityModel` by name."""
    vertex, surface = (
        ErrorModel(
            table[kind]["floor_mm"],
            dict(table[kind]["weights"]),
            table[kind]["level"],
            table[kind]["power"],
        )
        for kind in ("vertex", "surface")
    )
    return QualityModel(dict(table["ordinary"]), vertex, surface, table["offset"], table["slope"])
