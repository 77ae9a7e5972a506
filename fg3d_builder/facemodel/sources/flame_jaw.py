"""The jaw of FLAME, a joint there, as directions that a linear face model can take.

A vertex goes around the joint by the share of its skinning weight (linear blend skinning), after
pose correctives were added (Li et al. 2017, Eq. 1 to 4). Each direction here is a secant: how far
the template moves from rest to a moderate angle. In between, a vertex on a lever of length r runs
up to ``r a^2 / 8`` beside its true path, for the angle ``a`` of the secant.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from fg3d_builder.records import Array

OPEN_RAD = 0.2
"""Angle at which ``jaw_open`` is 1: 11 degrees, about 20 mm between the lips."""

SIDE_RAD = 0.1
"""Angle at which ``jaw_left`` is 1: 6 degrees."""

OPEN_LIMITS = 0.0, 2.0
SIDE_LIMITS = -1.0, 1.0
OPEN_SD, SIDE_SD = 0.5, 0.3
"""Of people that talk and laugh; no file says it."""

NAMES = ("jaw_open", "jaw_left")
JAW = 2
"""Joints are root, neck, jaw, left eye, right eye."""


class Skeleton(NamedTuple):
    """What poses a mesh.

    Attributes
    ----------
    joints : (j, 3) float64
    parents : (j,) int
        The first has none, whatever its number says.
    weights : (n, j) float64
    correctives : (n, 3, 9 (j - 1)) float64
        For the rotation matrices of all joints but the first, less the identity, row after row.
    """

    joints: Array
    parents: Array
    weights: Array
    correctives: Array


def jaw_directions(template: Array, skeleton: Skeleton) -> Array:
    """Return the (n, 3, 2) displacements at 1 of `NAMES`, in the template's unit.

    ``jaw_left`` is half the way from the jaw on the right to the jaw on the left, both at
    `SIDE_RAD`, so that its negative is the other side.
    """
    opened = posed(template, skeleton, np.array([OPEN_RAD, 0.0, 0.0])) - template
    left = posed(template, skeleton, np.array([0.0, SIDE_RAD, 0.0]))
    right = posed(template, skeleton, np.array([0.0, -SIDE_RAD, 0.0]))
    return np.stack([opened, (left - right) / 2], axis=2)


def posed(template: Array, skeleton: Skeleton, axis_angle: Array) -> Array:
    """Return the (n, 3) template with the jaw turned; x downwards, y to the subject's left.

    Parameters
    ----------
    template : (n, 3) float64
    skeleton : Skeleton
    axis_angle : (3,) float64
        Axis times angle in radians.
    """
    turn = rotation(axis_angle)
    features = np.zeros((len(skeleton.joints) - 1, 9))
    features[JAW - 1] = (turn - np.eye(3)).ravel()
    shaped = template + skeleton.correctives @ features.ravel()
    share = skeleton.weights[:, _below(skeleton.parents)].sum(axis=1)
    joint = skeleton.joints[JAW]
    return np.asarray(shaped + share[:, None] * ((shaped - joint) @ (turn - np.eye(3)).T))


def rotation(axis_angle: Array) -> Array:
    """Return the (3, 3) matrix of a right-handed turn (Rodrigues' formula)."""
    angle = float(np.linalg.norm(axis_angle))
    x, y, z = axis_angle / angle if angle else np.zeros(3)
    cross = np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])
    return np.asarray(np.eye(3) + np.sin(angle) * cross + (1 - np.cos(angle)) * cross @ cross)


def _below(parents: Array) -> Array:
    """Return the (j,) mask of the jaw and of the joints that hang on it."""
    below = np.zeros(len(parents), dtype=bool)
    below[JAW] = True
    for joint in range(JAW + 1, len(parents)):  # parents come before their children
        below[joint] = below[parents[joint]]
    return below
