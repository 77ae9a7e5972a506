"""From registered captures to a new face model, in one call."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from fg3d_builder.facemodel.learning.choice import Choice, chosen, most_modes
from fg3d_builder.facemodel.learning.components import OldModel, learnt_components
from fg3d_builder.facemodel.learning.model import ExtraExpressions
from fg3d_builder.facemodel.learning.neutral import NEUTRAL, ExpressionRemoval
from fg3d_builder.facemodel.learning.shapes import CapturedShape, Identities, measurements
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.numerics.weighted_ppca import Components, weighted_ppca
from fg3d_builder.records import Array

LEAST_SUBJECTS = 3

LEARNT_EXPRESSIONS_REACH = 3.0
"""Standard deviations that a learnt expression may go either way."""


@dataclass(frozen=True)
class LearningOptions:
    """How a model is learnt.

    Attributes
    ----------
    modes : int or None
        None: by faces that were left out, see `fg3d_builder.facemodel.learning.choice`.
    prior_subjects : float or None
        Subjects that the old model's covariance counts as; None as for `modes`.
    mirror : bool
        Mirror images take part where the topology is symmetric.
    expression_modes : int
        Expression directions that are learnt beside the old ones.
    """

    modes: int | None = None
    prior_subjects: float | None = None
    mirror: bool = True
    expression_modes: int = 0


class Subjects:
    """Collects captures, subject by subject, into neutral faces and what expressions leave.

    Attributes
    ----------
    residuals : list of (n, 3) float32
        Of captures with an expression: what neither the neutral face nor the old expressions
        explain. Beside them `residual_confidence`.
    """

    def __init__(self, model: FaceModel) -> None:
        self._model = model
        self._remove = ExpressionRemoval(model)
        self._names: list[str] = []
        self._shapes: list[Array] = []
        self._confidence: list[Array] = []
        self.residuals: list[Array] = []
        self.residual_confidence: list[Array] = []

    def add(self, captures: Sequence[CapturedShape]) -> None:
        """Take all captures of one subject."""
        face = self._remove(captures)
        self._names.append(captures[0].subject_id)
        self._shapes.append(face.shape_obj_mm.astype(np.float32))
        self._confidence.append(face.confidence.astype(np.float32))
        for capture, moved, alpha in zip(captures, face.moved_mm, face.alpha_exp, strict=True):
            if capture.expression != NEUTRAL and len(captures) > 1:
                expected = face.shape_obj_mm + self._model.exp_basis @ alpha
                self.residuals.append((moved - expected).astype(np.float32))
                seen = np.minimum(capture.confidence, face.confidence)
                self.residual_confidence.append(seen.astype(np.float32))

    def identities(self) -> Identities:
        """Return the neutral faces.

        Raises
        ------
        ValueError
            Too few subjects to learn from.
        """
        if len(self._names) < LEAST_SUBJECTS:
            who = ", ".join(self._names) or "none"
            raise ValueError(
                f"a face model is learnt from {LEAST_SUBJECTS} subjects at least, wanted are "
                f"dozens; there are {len(self._names)}: {who}"
            )
        return Identities(tuple(self._names), np.array(self._shapes), np.array(self._confidence))


def by_subject(captures: Iterable[CapturedShape]) -> list[list[CapturedShape]]:
    """Return captures in groups of one subject, by name."""
    ordered = sorted(captures, key=lambda capture: capture.subject_id)
    return [list(group) for _, group in groupby(ordered, key=lambda c: c.subject_id)]


def learn_components(
    old: OldModel,
    identities: Identities,
    options: LearningOptions,
    tried: Callable[[], None] | None = None,
    progress: Callable[[int], None] | None = None,
) -> tuple[Components, Choice]:
    """Choose what is not given and learn mean and modes.

    Parameters
    ----------
    old : OldModel
        Of shapes or of albedos.
    identities : Identities
    options : LearningOptions
    tried, progress : callable, optional
        Called after each of `choice.trials`, and after every iteration.

    Raises
    ------
    ValueError
        More modes than subjects and old model determine, a subject of whom nothing is known.
    """
    most = most_modes(old, len(identities.subjects))
    if options.modes is not None and options.modes > most:
        raise ValueError(
            f"{options.modes} modes cannot be learnt: {len(identities.subjects)} subjects"
            f"{' and their mirror images' if old.partners is not None else ''} with the "
            f"{old.linear.basis.shape[2]} modes before them allow {most} at most"
        )
    choice = chosen(old, identities, options.modes, options.prior_subjects, tried)
    found = learnt_components(old, identities, choice.modes, choice.prior_subjects, progress)
    return found, choice


def learn_expressions(model: FaceModel, subjects: Subjects, modes: int) -> ExtraExpressions:
    """Learn expression directions from what the old ones leave.

    Raises
    ------
    ValueError
        Not more captures with expression than directions.
    """
    count = len(subjects.residuals)
    if count <= modes:
        raise ValueError(
            f"{modes} expression directions cannot be learnt from {count} captures that show an "
            "expression and have a capture without beside them"
        )
    residuals, confidence = np.array(subjects.residuals), np.array(subjects.residual_confidence)
    # A small weight everywhere: where no expression was seen, nothing moves.
    known = np.maximum(confidence, 1e-3)
    values = np.where(confidence[:, :, None] > 0, residuals, 0.0).astype(residuals.dtype)
    # What all of them have in common is an expression, too: about 0, not about their mean.
    values, known = np.concatenate([values, -values]), np.concatenate([known, known])
    found = weighted_ppca(values, known * measurements(model), modes, tolerance=2e-3)
    return ExtraExpressions(found.basis, found.sd, LEARNT_EXPRESSIONS_REACH * found.sd)
