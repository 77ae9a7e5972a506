"""The head in a capture's picture, as the layers that its views are drawn with.

Finding the head, its outside and the colours all around it takes far longer than drawing a
view. All that depends on the picture and the registered face alone is made here, once.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
from scipy.spatial import cKDTree

from fg3d_builder.config import FullViewConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.backdrop import without_head
from fg3d_builder.fullview.captured_surface import CapturedSurface, captured_surface
from fg3d_builder.fullview.head_hull import expected_surround, head_hull, with_lost_depth
from fg3d_builder.fullview.head_texture import HeadTexture, head_texture
from fg3d_builder.fullview.measured_head import MeasuredHead, measured_head
from fg3d_builder.records import Array, Capture, Registration
from fg3d_builder.rendering.image_samples import on_other_grid
from fg3d_builder.rendering.shading import Light

EAR_MM = 5.0
"""Distance from an ear of the surround, which was fitted to it, up to which what the camera
measured is that ear."""

OFF_PX = 3.0
"""Pixels off the head in the picture from which there is nothing of it: outlines are no more
exact than that."""


@dataclass(frozen=True)
class HeadLayers:
    """A head in a picture.

    Attributes
    ----------
    measured : MeasuredHead
        What the camera saw of it.
    face_cam_mm : (n, 3) float64
        The face model's vertices. The sheet's outer parts are where the head's outside is, not
        where they were registered.
    captured : CapturedSurface
        What was measured beside and before the face.
    surround_cam_mm, surround_triangles : (c, 3) float64, (k, 3) int32
        The head beyond the face; empty where the model has no surround.
    explained : (w,) int8
        1 or 2 for vertices of the captured surface that lie on one ear of the surround or on the
        other, 0 for all others.
    around : HeadTexture or None
        Colours all around the head; None without a surround.
    backdrop : (H, W, 3) uint8
        The picture without the head.
    shown : (h, w) bool
        False where the picture shows something before the face, or what is behind the head.
    shown_intrinsics : (3, 3) float64
        Pinhole matrix of `shown`.
    before : HeadLayers or None
        The head as it was found, where the face got a new shape since; `measured` and `around`
        are in its places.
    """

    measured: MeasuredHead
    face_cam_mm: Array
    captured: CapturedSurface
    surround_cam_mm: Array
    surround_triangles: Array
    explained: Array
    around: HeadTexture | None
    backdrop: Array
    shown: Array
    shown_intrinsics: Array
    before: HeadLayers | None = None

    @property
    def found(self) -> HeadLayers:
        """The head in the picture that it was found in."""
        return self if self.before is None else self.before

    @cached_property
    def _shown_on(self) -> dict[tuple[bytes, tuple[int, int]], Array]:
        return {}

    def shown_on(self, intrinsics: Array, size: tuple[int, int]) -> Array:
        """Return `shown` on another grid of the camera, (h, w) uint8: kept for the next time.

        Beyond what was looked at the picture shows what it shows.
        """
        key = (intrinsics.tobytes(), size)
        if key not in self._shown_on:
            self._shown_on[key] = on_other_grid(
                self.shown.astype(np.uint8),
                self.shown_intrinsics,
                intrinsics,
                size,
                cv2.INTER_NEAREST,
                outside=1,
            )
        return self._shown_on[key]

    @cached_property
    def on_ears(self) -> tuple[Array, Array]:
        """Numbers (e,) of the captured surface's vertices that lie on either ear."""
        first, second = (np.flatnonzero(self.explained == ear) for ear in (1, 2))
        return first, second

    @cached_property
    def off_head(self) -> Array:
        """Pixels of `measured` (h, w) bool, well off the head: nothing of it can be there."""
        behind = self.measured.background.astype(np.uint8)
        return np.asarray(cv2.distanceTransform(behind, cv2.DIST_L2, 5) > OFF_PX)

    @classmethod
    def of(
        cls,
        model: FaceModel,
        capture: Capture,
        registration: Registration,
        light: Light | None,
        config: FullViewConfig,
        solver: str = "cholmod",
    ) -> HeadLayers:
        """Find the head in a capture: as it was captured, and as the model has it.

        Parameters
        ----------
        model : FaceModel
        capture : Capture
        registration : Registration
        light : Light or None
            That of the picture, in which colours of what is unseen are continued.
        config : FullViewConfig
        solver : str
            Sparse backend, see `fg3d_builder.numerics.sparse_solver.analyze`.
        """
        face = registration.vertices_cam_mm
        expected = expected_surround(model, registration, solver)
        outside = None
        if expected is not None and model.surround is not None:
            outside = (expected, model.surround.triangles)
        measured = measured_head(capture, face, model.triangles, config, outside)
        hull = head_hull(model, registration, measured, solver, expected)
        measured = with_lost_depth(model, face, hull, measured)
        captured = captured_surface(measured)
        explained = np.zeros(len(captured.edge), dtype=np.int8)
        around = None
        surround, pieces = np.zeros((0, 3)), np.zeros((0, 3), np.int32)
        if hull is not None:
            for number, ear in enumerate(hull.ears, start=1):
                near = _near(captured.vertices_cam_mm, hull.surround_cam_mm[ear], EAR_MM)
                explained[near] = number
            face, surround, pieces = hull.face_cam_mm, hull.surround_cam_mm, hull.triangles
            around = head_texture(model, capture, registration, measured, hull, light)
        return cls(
            measured=measured,
            face_cam_mm=face,
            captured=captured,
            surround_cam_mm=surround,
            surround_triangles=pieces,
            explained=explained,
            around=around,
            backdrop=without_head(capture.rgb, measured, capture.intrinsics),
            shown=measured.pure & ~measured.before,
            shown_intrinsics=measured.intrinsics,
        )


def _near(points: Array, others: Array, reach_mm: float) -> Array:
    """Tell which of points (k, 3) have one of others (l, 3) within reach."""
    if not len(others):
        return np.zeros(len(points), dtype=bool)
    low, high = others.min(axis=0) - reach_mm, others.max(axis=0) + reach_mm
    near = np.ones(len(points), dtype=bool)
    for axis in range(3):
        near &= (points[:, axis] >= low[axis]) & (points[:, axis] <= high[axis])
    distance, _ = cKDTree(others).query(points[near], distance_upper_bound=reach_mm)
    near[near] = np.isfinite(distance)
    return near
