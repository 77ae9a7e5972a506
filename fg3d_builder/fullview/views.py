"""Which views of a capture are made, and the virtual camera of each.

A view turns everything in front of the camera (face, background and light together) about the
head's centre; the camera stays. The paper enlarges the captured pose: a step is added to the
captured yaw (or pitch), the other angles stay, and turning stops at an absolute yaw. The
captured picture, two pitches and three yaws to either side make nine samples of a frontal
capture, which is what the paper's figures imply (474k from about 52k images).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numba
import numpy as np

from fg3d_builder.config import FullViewConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.geometry.crop import crop_around
from fg3d_builder.geometry.pose import angles_from_rotation, rotation_from_angles
from fg3d_builder.records import Array, CoarseFit, Pose, Registration


class Turn(NamedTuple):
    """One entry of a capture's schedule.

    Attributes
    ----------
    pitch_step_deg, yaw_step_deg : float
        The scheduled step; it names the view.
    pitch_deg, yaw_deg : float
        Added to the captured pose: the step, bounded and jittered.
    """

    pitch_step_deg: float
    yaw_step_deg: float
    pitch_deg: float
    yaw_deg: float

    @property
    def name(self) -> str:
        """``view+00-30`` is a yaw of -30 degrees; `view+00+00` the picture as captured."""
        return f"view{round(self.pitch_step_deg):+03d}{round(self.yaw_step_deg):+03d}"


CAPTURED = Turn(0.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True)
class ViewCamera:
    """The virtual camera of a view.

    Attributes
    ----------
    turn : Turn
    rotation : (3, 3) float64
        ``view_from_cam``: from the capture's camera frame to the view's.
    translation_mm : (3,) float64
        ``x_view = rotation @ x_cam + translation_mm``.
    px_crop_from_px : (3, 3) float64
        From pixels of a camera with the capture's intrinsics to the crop's.
    intrinsics : (3, 3) float64
        Pinhole matrix of the crop.
    size : int
        Side of the crop in pixels.
    pose : Pose
        ``view_from_obj`` of the registration.
    """

    turn: Turn
    rotation: Array
    translation_mm: Array
    px_crop_from_px: Array
    intrinsics: Array
    size: int
    pose: Pose

    def view_from_cam(self, points_cam_mm: Array) -> Array:
        """Map (..., 3) points of the capture's camera frame to the view's."""
        points = np.ascontiguousarray(points_cam_mm, dtype=np.float64)
        return np.asarray(
            _turned(points.reshape(-1, 3), self.rotation, self.translation_mm)
        ).reshape(points.shape)


@numba.njit(cache=True, nogil=True)
def _turned(points, turn, shift):  # type: ignore[no-untyped-def]
    out = np.empty(points.shape)
    for k in range(len(points)):
        x, y, z = points[k, 0], points[k, 1], points[k, 2]
        for axis in range(3):
            out[k, axis] = turn[axis, 0] * x + turn[axis, 1] * y + turn[axis, 2] * z + shift[axis]
    return out


def schedule(pose: Pose, config: FullViewConfig) -> list[Turn]:
    """List the turns of a capture with the given registered pose, without the captured one."""
    _, yaw, _ = angles_from_rotation(pose.rotation)
    low, high = min(-config.max_yaw_deg, yaw), max(config.max_yaw_deg, yaw)
    turns = []
    for sign in (1.0, -1.0):
        last_step, last = 0.0, 0.0
        for step in config.yaw_steps_deg:
            bounded = sign * (float(np.clip(yaw + sign * step, low, high)) - yaw)
            # The bound may shorten a step, but not to a view that is nearly there already.
            if bounded - last >= 0.5 * (step - last_step):
                turns.append(Turn(0.0, sign * step, 0.0, sign * bounded))
                last_step, last = step, bounded
    return turns + [Turn(step, 0.0, step, 0.0) for step in config.pitch_steps_deg]


def jittered(turn: Turn, jitter_deg: float, seed: int) -> Turn:
    """Add to both angles of a turn a normal deviate of the given standard deviation."""
    if jitter_deg == 0.0:
        return turn
    pitch, yaw = jitter_deg * np.random.default_rng(seed).standard_normal(2)
    return turn._replace(pitch_deg=turn.pitch_deg + pitch, yaw_deg=turn.yaw_deg + yaw)


def view_camera(
    model: FaceModel,
    registration: Registration,
    initial: CoarseFit,
    intrinsics: Array,
    turn: Turn,
    margin: float,
    size: int,
) -> ViewCamera:
    """Turn a capture and cut the crop around its initial fit, which turns along.

    Parameters
    ----------
    model : FaceModel
    registration : Registration
        The angles are added to its pose; its shape's box gives the head's centre.
    initial : CoarseFit
        Fit from landmarks alone.
    intrinsics : (3, 3) float
        Pinhole matrix of the capture.
    turn : Turn
    margin, size : float, int
        See `crop_around`.

    Raises
    ------
    CaptureError
        ``"no_crop"``.
    """
    return next(view_cameras(model, registration, initial, intrinsics, [turn], margin, size))


def view_cameras(
    model: FaceModel,
    registration: Registration,
    initial: CoarseFit,
    intrinsics: Array,
    turns: Iterable[Turn],
    margin: float,
    size: int,
) -> Iterator[ViewCamera]:
    """Do what `view_camera` does for several turns of a capture.

    `margin` and `size` are those of `crop_around`.
    """
    pose = registration.pose
    pitch, yaw, roll = angles_from_rotation(pose.rotation)
    center = head_center_cam_mm(registration)
    moved = at_depth_of(initial, registration, model.reliable)
    face = moved.cam_from_obj(initial.shape_obj_mm[model.reliable])
    for turn in turns:
        target = rotation_from_angles(pitch + turn.pitch_deg, yaw + turn.yaw_deg, roll)
        rotation = target @ pose.rotation.T
        shift = center - rotation @ center
        to_crop = crop_around(face @ rotation.T + shift, intrinsics, margin, size)
        yield ViewCamera(
            turn=turn,
            rotation=rotation,
            translation_mm=shift,
            px_crop_from_px=to_crop,
            intrinsics=to_crop @ intrinsics,
            size=size,
            pose=Pose(pose.scale, rotation @ pose.rotation, rotation @ pose.translation_mm + shift),
        )


def at_depth_of(initial: CoarseFit, registration: Registration, region: Array) -> Pose:
    """Return the pose of the fit from landmarks, moved along its rays to the registered depth.

    Depths are means over the vertices of a `region`, (n,) bool.

    Landmarks alone do not tell how far away a face is. In the captured picture that makes no
    difference; turned about the registered head's centre, a face at another distance would
    leave the picture.
    """
    fitted = initial.pose.cam_from_obj(initial.shape_obj_mm[region])
    factor = float(registration.vertices_cam_mm[region, 2].mean() / fitted[:, 2].mean())
    pose = initial.pose
    return Pose(factor * pose.scale, pose.rotation, factor * pose.translation_mm)


def head_center_cam_mm(registration: Registration) -> Array:
    """Return the (3,) centre of the registered shape's box in the object frame."""
    shape = registration.shape_obj_mm
    return registration.pose.cam_from_obj((shape.min(axis=0) + shape.max(axis=0)) / 2.0)
