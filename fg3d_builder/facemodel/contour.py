"""Landmark marching: which model points form the face's contour in the current view.

The jaw landmarks of most detectors follow the visible outline of the face, not fixed points of
the skin (Zhu et al., "High-fidelity pose and expression normalization", CVPR 2015). A model's
contour lines run from the front of the face to its side. On each line the point that is
furthest out in the picture is the contour point; a line is cut where the outline is in the
frontal view, because on the near side of a turned head the landmarks stay on the jaw instead
of marching on to the ear.
"""

from __future__ import annotations

from typing import NamedTuple

import numba
import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.once_per_model import once_per_model
from fg3d_builder.facemodel.surface_rows import SurfaceRows, vertex_rows
from fg3d_builder.geometry.camera import at_nearest_pixel, px_from_cam
from fg3d_builder.records import Array, Landmarks, Pose


class Jaw(NamedTuple):
    """The jaw landmarks of a scheme; they have no fixed model point.

    Attributes
    ----------
    points : tuple of int
        Their numbers in order along the contour, image left first.
    marches : bool
        They follow the visible outline. Otherwise they stay on the jaw, also where the face
        hides it.
    """

    points: tuple[int, ...]
    marches: bool


NO_JAW = Jaw((), False)

# fmt: off
JAWS: dict[str, Jaw] = {
    "ibug68": Jaw(tuple(range(17)), True),
    # The lower part of the face oval. MediaPipe predicts a 3D mesh: on a turned head these
    # points are on the hidden jaw, not on the outline (seen on scans turned by 20-50 degrees).
    "mediapipe478": Jaw((
        234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152,
        377, 400, 378, 379, 365, 397, 288, 361, 323, 454,
    ), False),
}
# fmt: on
"""Jaw points by landmark scheme."""


class ContourLines(NamedTuple):
    """The contour lines of a model, cut at the frontal outline.

    Attributes
    ----------
    rows : SurfaceRows
        Rows of the lines' vertices, line after line.
    vertices : (m,) int64
        Indices of the lines' vertices in the model.
    start : (l + 1,) int64
        Line ``i`` owns the rows ``start[i]:start[i + 1]``, from the front to the side.
    outward_obj : (l, 2) float64
        Unit direction in the object frame's xy plane in which the line leaves the face.
    """

    rows: SurfaceRows
    vertices: Array
    start: Array
    outward_obj: Array

    @property
    def ends(self) -> Array:
        """(l,) row of each line's last point: on the jaw."""
        return np.asarray(self.start[1:] - 1)

    def at_ends(self) -> ContourLines:
        """Return lines of one point each: the last ones of these."""
        ends, each = self.ends, np.arange(len(self.start))
        return ContourLines(self.rows.take(ends), self.vertices[ends], each, self.outward_obj)


@once_per_model
def contour_lines(model: FaceModel) -> ContourLines:
    """Prepare a model's contour lines; there may be none.

    Lines that leave the face sideways end at the model's own jaw landmarks where it has them:
    further out in the frontal view there may be an ear.
    """
    lines, outward = [], []
    jaw = _jaw_points_obj(model)
    for line in model.contour_lines:
        xy = model.mean[line, :2]
        across = xy[-1] - xy[0]
        direction = across / max(float(np.linalg.norm(across)), 1e-9)
        last = int(np.argmax(xy @ direction))
        if len(jaw) and abs(direction[0]) > abs(direction[1]):
            away = np.linalg.norm(model.mean[line][:, None] - jaw, axis=2).min(axis=1)
            last = min(last, int(np.argmin(away)))
        if last > 0:
            lines.append(line[: last + 1])
            outward.append(direction)
    start = np.cumsum([0, *(len(line) for line in lines)])
    vertices = np.concatenate(lines) if lines else np.zeros(0, dtype=np.int64)
    directions = np.array(outward).reshape(-1, 2)
    return ContourLines(vertex_rows(model, vertices), vertices, start, directions)


@once_per_model
def _line_ends(model: FaceModel) -> ContourLines:
    return contour_lines(model).at_ends()


def _jaw_points_obj(model: FaceModel) -> Array:
    """The jaw landmarks (j, 3) of the mean face, as far as a scheme places them."""
    embedding = model.embeddings.get("ibug68")
    if embedding is None:
        return np.zeros((0, 3))
    jaw = embedding.subset(np.array(JAWS["ibug68"].points))
    return jaw.points(model.mean, model.triangles)


def marched_points(lines: ContourLines, points_cam_mm: Array, pose: Pose) -> Array:
    """Return the (l,) row index of each line's contour point in a view.

    Parameters
    ----------
    lines : ContourLines
    points_cam_mm : (m, 3) float
        Current positions of `lines.rows`.
    pose : Pose
        Turns each line's outward direction into the picture.
    """
    # Perspective: "out" is judged by the viewing ray's slope, not by x and y.
    slope = points_cam_mm[:, :2] / points_cam_mm[:, 2:]
    outward = lines.outward_obj @ pose.rotation[:2, :2].T
    count = np.diff(lines.start)
    extent = (slope * np.repeat(outward, count, axis=0)).sum(axis=1)
    best = np.maximum.reduceat(extent, lines.start[:-1])
    is_best = extent == np.repeat(best, count)
    # The first row that reaches its line's maximum.
    candidates = np.where(is_best, np.arange(len(extent)), len(extent))
    return np.asarray(np.minimum.reduceat(candidates, lines.start[:-1]))


class ContourMatch(NamedTuple):
    """Contour points of the model paired with points of the detected contour.

    Attributes
    ----------
    row : (c,) int64
        Index into `ContourLines.rows`.
    target_px : (c, 2) float64
        Nearest point of the detected polyline.
    normal_px : (c, 2) float64
        Unit normal of the polyline there: the point may slide along the contour.
    weight : (c,) float64
        Confidence of the segment's landmarks.
    """

    row: Array
    target_px: Array
    normal_px: Array
    weight: Array


def match_contour(
    rows: Array, points_px: Array, polyline_px: Array, confidence: Array
) -> ContourMatch:
    """Pair model contour points (c, 2) with the nearest points of a polyline (p, 2) (Eq. 10).

    Points whose nearest polyline point is one of its ends are beyond the detected contour
    and get no pair. Segments with a landmark of zero confidence do not exist.
    """
    segment, nearest, normal = _nearest_on(points_px, polyline_px, confidence)
    keep = segment >= 0
    chosen = segment[keep]
    exists = np.minimum(confidence[chosen], confidence[chosen + 1])
    return ContourMatch(rows[keep], nearest[keep], normal[keep], exists)


@numba.njit(cache=True, nogil=True)
def _nearest_on(points, polyline, confidence):  # type: ignore[no-untyped-def]
    """Segment (c,) of a polyline (p, 2) that is nearest to each point (c, 2); -1 beyond its ends.

    Also the nearest place (c, 2) on it and its unit normal (c, 2).
    """
    count, last = len(points), len(polyline) - 2
    segment = np.full(count, -1)
    nearest, normal = np.empty((count, 2)), np.empty((count, 2))
    for i in range(count):
        least = np.inf
        beyond = False
        for k in range(last + 1):
            if not (confidence[k] > 0.0 and confidence[k + 1] > 0.0):
                continue
            x, y = polyline[k, 0], polyline[k, 1]
            along_x, along_y = polyline[k + 1, 0] - x, polyline[k + 1, 1] - y
            length2 = max(along_x * along_x + along_y * along_y, 1e-12)
            t = ((points[i, 0] - x) * along_x + (points[i, 1] - y) * along_y) / length2
            clipped = min(max(t, 0.0), 1.0)
            at_x, at_y = x + clipped * along_x, y + clipped * along_y
            off_x, off_y = points[i, 0] - at_x, points[i, 1] - at_y
            distance2 = off_x * off_x + off_y * off_y
            if not distance2 < least:
                continue
            least = distance2
            is_first = k == 0 or not confidence[k - 1] > 0.0
            is_last = k == last or not confidence[k + 2] > 0.0
            beyond = (is_first and t < 0.0) or (is_last and t > 1.0)
            segment[i] = k
            nearest[i, 0], nearest[i, 1] = at_x, at_y
            length = np.sqrt(length2)
            normal[i, 0], normal[i, 1] = -along_y / length, along_x / length
        if beyond:
            segment[i] = -1
    return segment, nearest, normal


class DetectedContour(NamedTuple):
    """A model's contour lines, and the contour that a detector found for them.

    Attributes
    ----------
    lines : ContourLines
        Those of a jaw that does not march are their ends alone.
    polyline_px : (p, 2) float64
        In order; empty where the scheme has no jaw or the model no lines.
    confidence : (p,) float64
    marches : bool
        See `Jaw`.
    intrinsics : (3, 3) float64
    """

    lines: ContourLines
    polyline_px: Array
    confidence: Array
    marches: bool
    intrinsics: Array

    @staticmethod
    def of(model: FaceModel, landmarks: Landmarks, intrinsics: Array) -> DetectedContour:
        """Take the jaw from detected landmarks; points that are not finite get no confidence."""
        jaw = JAWS.get(landmarks.scheme, NO_JAW)
        lines = contour_lines(model) if jaw.marches else _line_ends(model)
        points = np.array(jaw.points if len(lines.vertices) else (), dtype=int)
        px = landmarks.points_px[points].astype(np.float64)
        known = np.all(np.isfinite(px), axis=1)
        confidence = np.where(known, landmarks.confidence[points], 0.0)
        return DetectedContour(lines, np.nan_to_num(px), confidence, jaw.marches, intrinsics)

    def uncovered(self, foreign: Array) -> DetectedContour:
        """Return the contour without its points on a mask (H, W) of what hides the face."""
        hidden = at_nearest_pixel(foreign, self.polyline_px, False)
        return self._replace(confidence=np.where(hidden, 0.0, self.confidence))

    @property
    def exists(self) -> bool:
        """Whether there is a contour to pair points with."""
        return len(self.polyline_px) >= 2

    def match(self, points_cam_mm: Array, pose: Pose) -> ContourMatch:
        """Pair the contour points of a view with the detected contour, if it `exists`.

        Parameters
        ----------
        points_cam_mm : (m, 3) float
            Current positions of ``lines.rows``.
        pose : Pose
            See `marched_points`.
        """
        row = self.lines.ends
        if self.marches:
            row = marched_points(self.lines, points_cam_mm, pose)
        px = px_from_cam(points_cam_mm[row], self.intrinsics)
        return match_contour(row, px, self.polyline_px, self.confidence)
