"""Textured heads whose skin is known, under hair as well, as truth for registrations.

A head is a mesh of several geometries: ``skin``, in one topology for all heads, and what may hide
it from the camera: eyes, teeth, and the hair ``h_wig``.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import trimesh

from benchmarks.surfaces import Spots, Surface
from fg3d_builder.captures import open_source
from fg3d_builder.captures.scan import read_scan, scan_camera
from fg3d_builder.captures.source import CaptureEntry, CaptureSource
from fg3d_builder.config import SensorConfig, SourceConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.model import PARTS
from fg3d_builder.geometry.meshes import surface_points, vertex_normals
from fg3d_builder.landmarks.edges import MEDIAPIPE, MEDIAPIPE_CURVES
from fg3d_builder.records import Array, Registration

SKIN = "skin"
FACING = 0.35
"""Least cosine between a place's normal and the ray to it: more oblique ones are at the rim."""

IN_FRONT_MM, HIDDEN_MM = 1.0, 2.0
"""What lies less before the skin does not hide it; what lies more does."""

BESIDE_MM = 8.0
"""A vertex farther from the skin has no place on it that could be said to be seen."""

LID_CURVES = {"right": "right_eye", "left": "left_eye"}


class PlacedSkin(NamedTuple):
    """Where the vertices of a registration are on a head, and what the camera sees there.

    Attributes
    ----------
    spots : Spots
        Nearest places on the skin.
    distance_mm : (n,) float
    seen, hidden : (n,) bool
        Reliable vertices at skin that the camera sees, and at skin that something hides.
    """

    spots: Spots
    distance_mm: Array
    seen: Array
    hidden: Array


@dataclass(frozen=True)
class HeadTruth:
    """The true surfaces of a head in the camera frame of its capture.

    Attributes
    ----------
    skin_cam_mm : (v, 3) float
    triangles : (t, 3) int
    skin, everything : Surface
    """

    skin_cam_mm: Array
    triangles: Array
    skin: Surface
    everything: Surface

    @classmethod
    def of(cls, config: SourceConfig, file: Path) -> HeadTruth:
        """Read a head as a source of kind ``scan`` shows it from its first view."""
        scene = trimesh.load_scene(file, process=False)
        pose, _ = scan_camera(config, config.views[0], read_scan(file))
        parts = {
            name: (pose.cam_from_obj(np.asarray(part.vertices)), np.asarray(part.faces))
            for name, part in scene.geometry.items()
        }
        everything = Surface.of_parts(parts.values())
        return cls(*parts[SKIN], Surface(*parts[SKIN]), everything)

    def place(self, model: FaceModel, vertices_cam_mm: Array) -> PlacedSkin:
        """Place a registration's vertices (n, 3) on the head."""
        spots = self.skin.nearest(vertices_cam_mm)
        places = surface_points(self.skin_cam_mm, self.triangles, *spots)
        distance = np.linalg.norm(vertices_cam_mm - places, axis=1)
        far = np.linalg.norm(places, axis=1)
        first = self.everything.first_hit_mm(places)
        # The normal of one corner: skin is smooth beside a triangle's size.
        normals = vertex_normals(self.skin_cam_mm, self.triangles)
        normal = normals[self.triangles[spots.triangle, 0]]
        facing = -np.einsum("nd,nd->n", normal, places) / far > FACING
        seen = (first > far - IN_FRONT_MM) & facing & model.reliable & (distance < BESIDE_MM)
        return PlacedSkin(spots, distance, seen, (first < far - HIDDEN_MM) & model.reliable)


def head_source(
    folder: Path, names: tuple[str, ...] = (), sensor: SensorConfig | None = None
) -> tuple[SourceConfig, list[CaptureEntry], CaptureSource]:
    """Open a folder of heads.

    Parameters
    ----------
    folder : Path
    names : tuple of str
        Only heads in whose name one of these words occurs; () takes all.
    sensor : SensorConfig, optional
        Left out: depth without noise.
    """
    config = SourceConfig(kind="scan", path=str(folder), licence="MIT")
    config = replace(config, sensor=sensor or config.sensor)
    source = open_source(config)
    chosen = [e for e in source.entries() if not names or any(n in e.subject_id for n in names)]
    return config, chosen, source


def skin_figures(
    model: FaceModel, registration: Registration, placed: PlacedSkin
) -> dict[str, Any]:
    """Say how much of the seen skin was lost, and how far the mesh is from the skin.

    ``lost`` by part and ``lost_all``: share of the vertices at skin that is seen which have no
    confidence. ``surface_mm``, ``surface95_mm``: distance where it is seen; ``hidden_mm``: mean
    distance where hair and the like hide it, null where too little is hidden to tell.
    """
    seen, hidden, distance = placed.seen, placed.hidden, placed.distance_mm
    without = registration.confidence == 0

    def lost(of: Array) -> float:
        return float((of & without).sum() / max(1, of.sum()))

    return {
        "lost": {part: lost(seen & (model.parts == k)) for k, part in enumerate(PARTS)},
        "lost_all": lost(seen),
        "surface_mm": float(distance[seen].mean()),
        "surface95_mm": float(np.quantile(distance[seen], 0.95)),
        "hidden_share": float(hidden.sum() / model.reliable.sum()),
        "hidden_mm": float(distance[hidden].mean()) if hidden.sum() > 50 else None,
    }


def lid_gaps_mm(model: FaceModel, shape_obj_mm: Array) -> dict[str, dict[str, float]]:
    """Return the distances between the upper and the lower lid's edge, per eye.

    Between points of MediaPipe's eye curve that lie opposite each other: ``median`` and ``max``.
    """
    embedding = model.embeddings[MEDIAPIPE]
    points = embedding.points(shape_obj_mm, model.triangles)
    place = dict(zip(embedding.point_index.tolist(), points, strict=True))
    gaps = {}
    for eye, name in LID_CURVES.items():
        curve = MEDIAPIPE_CURVES[name].points
        # From the outer corner along the lower lid to the inner one and back along the upper.
        pairs = [(curve[i], curve[-i]) for i in range(1, len(curve) // 2)]
        known = [(place[a], place[b]) for a, b in pairs if a in place and b in place]
        gap = [float(np.linalg.norm(a - b)) for a, b in known]
        gaps[eye] = {"median": float(np.median(gap)), "max": max(gap)}
    return gaps
