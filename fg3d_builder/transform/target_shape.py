"""Target shapes: eyes, nose, mouth and cheeks of different subjects in one face (Sec. 6.3).

Faces are fused without their expressions, and the host's expression is put on the result: so a
donor's open mouth does not tear the host's closed one. What does not pass for a face is drawn
towards the host's own until it does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from fg3d_builder.facemodel.model import PARTS, FaceModel
from fg3d_builder.facemodel.once_per_model import once_per_model
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.meshes import turned_triangles, vertex_areas
from fg3d_builder.records import Array, Registration
from fg3d_builder.transform.blending import PartBlender
from fg3d_builder.transform.donors import DonorFace
from fg3d_builder.transform.intersection import intersecting_pairs
from fg3d_builder.transform.plausibility import IdentityPrior

SHARES = (1.0, 0.75, 0.5, 0.25)
"""How much of the donors' difference to the host is tried, one after the other."""

REPAIRS = 12
"""Rounds of drawing places back where the mesh would turn over or pass through itself."""

INTERSECTION_PARTS = ("eyes", "mouth")
"""Where a mesh touches itself: lids and lips."""


@dataclass(frozen=True)
class TargetShape:
    """A fused face.

    Attributes
    ----------
    shape_obj_mm : (n, 3) float64
        With the host's expression, in the host's object frame.
    alpha_id, alpha_exp : (k,), (e,) float64
        3DMM fitted to it; the expression is the host's.
    confidence : (n,) float64
        Confidence of the faces that it was fused from, by part.
    share : float
        Share of the donors' difference to the host that was kept.
    deviation_sd : float
        Largest coefficient of any part, in standard deviations of the model.
    """

    shape_obj_mm: Array
    alpha_id: Array
    alpha_exp: Array
    confidence: Array
    share: float
    deviation_sd: float


class _Host(NamedTuple):
    """A face that gets new shapes: without its expression, (n, 3) each, and what it brings along.

    coefficients : (p, k), by part; intersections : (j, 2), pairs of triangles of lips and lids.
    """

    registration: Registration
    neutral_mm: Array
    expression_mm: Array
    coefficients: Array
    intersections: Array


class FaceParts(NamedTuple):
    """What target shapes of a model need of it, whatever the host.

    Attributes
    ----------
    blender : PartBlender
    face : (n,) float64
        In [0, 1]: how far a place may be a donor's.
    donated : (d,) int
        Reliable vertices that may be, at least in part.
    donated_share : (d,) float64
        How far they may.
    part_priors : tuple of IdentityPrior
        Of each part of `DONATED_PARTS`.
    face_prior : IdentityPrior
        Of the reliable face.
    lips_and_lids, face_triangles : (j, 3), (k, 3) int
        Triangles of `INTERSECTION_PARTS`, and of the reliable face.
    outside : (j,) bool
        Which of `lips_and_lids` can be seen from outside.
    """

    blender: PartBlender
    face: Array
    donated: Array
    donated_share: Array
    part_priors: tuple[IdentityPrior, ...]
    face_prior: IdentityPrior
    lips_and_lids: Array
    face_triangles: Array
    outside: Array


@once_per_model
def face_parts(model: FaceModel, solver: str) -> FaceParts:
    """Prepare the parts of a model's face; `solver` is the sparse backend, see `PartBlender`."""
    blender = PartBlender(model, solver)
    face = np.clip(sum(blender.masks.values()), 0.0, 1.0)
    share = face * model.reliable
    donated = np.flatnonzero(share > 0)
    area = vertex_areas(model.mean, model.triangles)
    touching = np.isin(model.parts, [PARTS.index(p) for p in INTERSECTION_PARTS])
    lips_and_lids = model.triangles[touching[model.triangles].all(axis=1)]
    return FaceParts(
        blender=blender,
        face=face,
        donated=donated,
        donated_share=share[donated],
        part_priors=tuple(IdentityPrior(model, area * m) for m in blender.masks.values()),
        face_prior=IdentityPrior(model, area * model.reliable),
        lips_and_lids=lips_and_lids,
        face_triangles=model.triangles[model.reliable[model.triangles].all(axis=1)],
        outside=np.asarray(model.reliable[lips_and_lids].any(axis=1)),
    )


class TargetShapes:
    """Makes target shapes of one model.

    Parameters
    ----------
    model : FaceModel
    solver : str
        Sparse backend, see `PartBlender`.
    max_deviation_sd : float
        No part's identity coefficient may exceed it.
    """

    def __init__(self, model: FaceModel, solver: str, max_deviation_sd: float = 3.5) -> None:
        self.model = model
        self.max_deviation_sd = max_deviation_sd
        self._parts = face_parts(model, solver)
        self._last: _Host | None = None

    def make(
        self, host: Registration, donors: Mapping[str, Registration | DonorFace]
    ) -> TargetShape | None:
        """Fuse the donors' parts into the host's face.

        Parameters
        ----------
        host : Registration
        donors : mapping of part to DonorFace or Registration
            See `fg3d_builder.transform.donors.DONATED_PARTS`.

        Returns
        -------
        TargetShape or None
            None where even the smallest of `SHARES` gives no face: these donors do not fit.
        """
        model, face = self.model, self._prepared(host)
        own, expression = face.neutral_mm, face.expression_mm
        shapes = {
            part: self._normalised(neutral_shape(model, donor), own)
            for part, donor in donors.items()
        }
        moved = self._parts.blender.blend(own, shapes) - own
        # Coefficients are linear in the shape.
        step = self._coefficients(own + moved) - face.coefficients
        allowed = max(self.max_deviation_sd, _largest(face.coefficients))
        fitting = (s for s in SHARES if _largest(face.coefficients + s * step) <= allowed)
        most = next(fitting, None)
        if most is None:
            return None
        share = self.sound_share(own + expression, most * moved, face.intersections)
        if share is None:
            return None
        neutral = own + share[:, None] * (most * moved)
        return TargetShape(
            shape_obj_mm=neutral + expression,
            alpha_id=self._parts.face_prior.coefficients(neutral) * model.id_sd,
            alpha_exp=host.alpha_exp,
            confidence=self._confidence(host, donors),
            share=most * float(self._parts.face @ share / self._parts.face.sum()),
            deviation_sd=self.deviation_sd(neutral),
        )

    def _prepared(self, host: Registration) -> _Host:
        """What all new shapes of a host share; the last one's is kept."""
        if self._last is None or self._last.registration is not host:
            own = neutral_shape(self.model, host)
            self._last = _Host(
                registration=host,
                neutral_mm=own,
                expression_mm=host.shape_obj_mm - own,
                coefficients=self._coefficients(own),
                intersections=self.intersections(host.shape_obj_mm),
            )
        return self._last

    def sound_share(self, before_mm: Array, moved_mm: Array, own_pairs: Array) -> Array | None:
        """Return the share (n,) of a displacement that keeps the mesh sound, or None.

        Around triangles that turn over or pass through each other the displacement is halved,
        fading out over the width of the parts' borders, until none do. None where they still do
        after `REPAIRS` rounds. `own_pairs` are those of `before_mm`, see `intersections`, which may
        stay.
        """
        share = np.ones(len(before_mm))
        known = set(map(tuple, own_pairs))
        for _ in range(REPAIRS):
            after = before_mm + share[:, None] * moved_mm
            pairs = [p for p in map(tuple, self.intersections(after)) if p not in known]
            touched = self._parts.lips_and_lids[np.array(pairs, dtype=int).reshape(-1, 2)].ravel()
            turned = self._parts.face_triangles[
                turned_triangles(before_mm, after, self._parts.face_triangles)
            ]
            faulty = np.union1d(touched, turned.ravel())
            if len(faulty) == 0:
                return share
            mark = np.zeros(len(share))
            mark[faulty] = 1.0
            around = self._parts.blender.faded(mark)
            share *= 1.0 - 0.5 * np.minimum(1.0, around / max(around[faulty].min(), 1e-9))
        return None

    def deviation_sd(self, neutral_obj_mm: Array) -> float:
        """Return the largest identity coefficient that any part of a neutral face needs."""
        return _largest(self._coefficients(neutral_obj_mm))

    def _coefficients(self, neutral_obj_mm: Array) -> Array:
        """Identity coefficients (p, k) of each part, in standard deviations."""
        return np.stack([prior.coefficients(neutral_obj_mm) for prior in self._parts.part_priors])

    def _normalised(self, donor_mm: Array, host_mm: Array) -> Array:
        """Turn, shift and scale a donor onto the host, over the parts that may be donated."""
        used = self._parts.donated
        aligned = align_similarity(donor_mm[used], host_mm[used], self._parts.donated_share)
        return aligned.cam_from_obj(donor_mm)

    def _confidence(
        self, host: Registration, donors: Mapping[str, Registration | DonorFace]
    ) -> Array:
        masks = self._parts.blender.masks
        own = 1.0 - sum(masks[part] for part in donors)
        total = np.clip(own, 0.0, 1.0) * host.confidence
        for part, donor in donors.items():
            total = total + masks[part] * donor.confidence
        return np.clip(total, 0.0, 1.0)

    def intersections(self, shape_mm: Array) -> Array:
        """Return the (k, 2) pairs of triangles of lips and lids that pass through each other.

        Pairs of the mouth's and the eyes' inside are left out: nobody sees them, and in many
        templates they are folded into each other.
        """
        return intersecting_pairs(shape_mm, self._parts.lips_and_lids, self._parts.outside)


def _largest(coefficients: Array) -> float:
    return float(np.abs(coefficients).max())


def neutral_shape(model: FaceModel, registration: Registration | DonorFace) -> Array:
    """Return the (n, 3) registered shape without its 3DMM expression; delta_S stays."""
    # One product of a matrix with a vector: stacked (3, e) ones are slower.
    flat = model.exp_basis.reshape(-1, model.exp_basis.shape[2])
    expression = (flat @ registration.alpha_exp).reshape(-1, 3)
    return np.asarray(registration.shape_obj_mm - expression)
