"""Generalised Procrustes alignment of partly known shapes, rigid: size is a part of identity.

Gower, "Generalized Procrustes Analysis", 1975, without scale. The poses of ``S*`` are measured
against the 3DMM it was registered with, and share its errors; the mean of the faces themselves
takes its place here.
"""

from __future__ import annotations

import numpy as np

from fg3d_builder.facemodel.learning.shapes import Identities
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.records import Array

_TOLERANCE_MM = 1e-5
_ITERATIONS = 100


def procrustes_aligned(identities: Identities, reference_mm: Array, weights: Array) -> Identities:
    """Move faces rigidly onto their common mean.

    Parameters
    ----------
    identities : Identities
        Shapes in mm.
    reference_mm : (n, 3) float64
        The first mean; the final one lies on it, so that the object frame stays what it is.
    weights : (n,) float64
        Of vertices in the alignment, times their confidence; 0 where they do not take part.

    Raises
    ------
    ValueError
        A subject has fewer than three known vertices that take part; names it.
    """
    used = np.flatnonzero(weights > 0)
    confidence = identities.confidence[:, used].astype(np.float64)
    counts = confidence * weights[used]
    for name, own in zip(identities.subjects, counts, strict=True):
        if np.count_nonzero(own) < 3:
            raise ValueError(f"subject {name}: nothing of the face that aligns it was seen")
    original = identities.values[:, used].astype(np.float64)
    reference = reference_mm[used].astype(np.float64)
    total = confidence.sum(axis=0)
    mean = reference
    for _ in range(_ITERATIONS):
        poses = [
            align_similarity(shape, mean, own, fix_scale=True)
            for shape, own in zip(original, counts, strict=True)
        ]
        moved = np.array([p.cam_from_obj(s) for p, s in zip(poses, original, strict=True)])
        sums = np.einsum("sn,snd->nd", confidence, moved)
        known = total > 0
        new = np.where(known[:, None], sums / np.where(known, total, 1.0)[:, None], reference)
        back = align_similarity(new, reference, weights[used] * total, fix_scale=True)
        new = back.cam_from_obj(new)
        step = float(np.abs(new - mean).max())
        mean = new
        if step < _TOLERANCE_MM:
            break
    kind = identities.values.dtype
    values = [
        pose.cam_from_obj(shape.astype(np.float64)).astype(kind)
        for pose, shape in zip(poses, identities.values, strict=True)
    ]
    return identities._replace(values=np.array(values))
