"""How well a linear model explains a face: its best reconstruction with few modes, pose free."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.records import Array, Pose

_STEPS = 12
_TURN, _SHIFT_MM = 3e-6, 1e-3


class LinearShapes(NamedTuple):
    """mean (n, 3) mm and basis (n, 3, k) of a model of shapes, columns of one deviation each."""

    mean: Array
    basis: Array


class Reconstruction(NamedTuple):
    """Least-squares reconstruction of a face.

    Attributes
    ----------
    distance_mm : (n,) float64
        From each vertex to its own place.
    shape_mm : (n, 3) float64
        The reconstruction, in the frame of the face.
    """

    distance_mm: Array
    shape_mm: Array


class Reconstructor:
    """Reconstructs one face with the first k modes of a model, for several k.

    Minimises ``sum_i w_i |R v_i + t - mean_i - B_i z|^2`` over pose and all of z by Gauss-Newton;
    there is no prior on z: what a model spans is asked, not what it expects.

    Parameters
    ----------
    model : LinearShapes
    shape_mm : (n, 3) float
    weights : (n,) float
        Vertices without weight may be anything.
    """

    def __init__(self, model: LinearShapes, shape_mm: Array, weights: Array) -> None:
        self._used = np.flatnonzero(weights > 0)
        self._model, self._shape = model, shape_mm
        self._root = np.sqrt(np.repeat(weights[self._used], 3).astype(np.float64))
        self._mean = model.mean[self._used].astype(np.float64)
        basis = model.basis[self._used].reshape(-1, model.basis.shape[2])
        self._basis = basis * self._root[:, None]
        self._gram = self._basis.T @ self._basis

    def __call__(self, modes: int) -> Reconstruction:
        """Reconstruct with the first `modes` modes; 0 is the mean alone."""
        basis = self._basis[:, :modes]
        points = self._shape[self._used].astype(np.float64)
        start = align_similarity(points, self._mean, self._root[::3] ** 2, fix_scale=True)
        rotation, shift = start.rotation, start.translation_mm
        z = np.zeros(modes)
        for _ in range(_STEPS):
            moved = points @ rotation.T + shift
            middle = moved.mean(axis=0)
            tangents = np.zeros((len(points), 3, 6))
            tangents[:, :, :3] = np.moveaxis(np.cross(np.eye(3)[:, None], moved - middle), 0, 2)
            tangents[:, :, 3:] = np.eye(3)
            rigid = tangents.reshape(-1, 6) * self._root[:, None]
            residual = (moved - self._mean).ravel() * self._root
            cross = rigid.T @ basis
            normal = np.block([[rigid.T @ rigid, -cross], [-cross.T, self._gram[:modes, :modes]]])
            right = np.concatenate([-(rigid.T @ residual), basis.T @ residual])
            scale = np.sqrt(np.maximum(np.diag(normal), 1e-300))
            found = np.linalg.lstsq(normal / np.outer(scale, scale), right / scale, rcond=1e-12)[0]
            found /= scale
            step, z = found[:6], found[6:]
            turn = Rotation.from_rotvec(step[:3]).as_matrix()
            rotation = turn @ rotation
            shift = turn @ (shift - middle) + middle + step[3:]
            if np.abs(step[:3]).max() < _TURN and np.abs(step[3:]).max() < _SHIFT_MM:
                break
        full = self._model.mean + self._model.basis[:, :, :modes] @ z
        pose = Pose(1.0, rotation, shift)
        shape = pose.obj_from_cam(full)
        return Reconstruction(np.linalg.norm(shape - self._shape, axis=1), shape)


def errors_mm(
    model: LinearShapes, shape_mm: Array, fit: Array, measure: Array, counts: Sequence[int]
) -> Array:
    """Return the (m,) mean distances of a face's best reconstructions with `counts` modes.

    Parameters
    ----------
    model : LinearShapes
    shape_mm : (n, 3) float
    fit, measure : (n,) float
        Weights of the vertices in the fit, and in the mean.
    counts : sequence of int
    """
    reconstruct = Reconstructor(model, shape_mm, fit)
    used = measure > 0
    share = measure[used] / measure[used].sum()
    return np.array([share @ reconstruct(count).distance_mm[used] for count in counts])
