"""The MeshMonk faces as registrations: each registered on its own, as a surface without texture.

Nothing of their common topology is used: points are detected on clay renderings of every face,
and the embedded template is bent onto its surface (`benchmarks.real_faces.registered`).
"""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from benchmarks.kept import Kept, code_behind
from benchmarks.learnt_registrations import KEPT
from benchmarks.real_faces import registered
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.arrays import from_arrays
from fg3d_builder.facemodel.embedding import with_embeddings
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.fitting.robust_alignment import align_robust
from fg3d_builder.geometry.meshes import surface_points
from fg3d_builder.geometry.smoothing import diffused
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.records import Array

CODE = ("registration/membrane.py", "facemodel/embedding.py", "fitting/robust_alignment.py")
TAPER_PASSES = 6
"""Smoothing steps over which confidence falls to 0 where a face's surface ends."""


class Surfaces(NamedTuple):
    """Registered faces, in the model's object frame.

    Attributes
    ----------
    shapes_mm : (s, n, 3) float64
        Vertices on the surfaces; the model's mean, posed, where a surface has no counterpart.
    confidence : (s, n) float64
    source_mm : (s, v, 3) float64
        The vertices of the original surfaces, moved with their faces.
    source_triangles : (t, 3) int
    """

    shapes_mm: Array
    confidence: Array
    source_mm: Array
    source_triangles: Array


def meshmonk_registrations(model: FaceModel, data: Path) -> Surfaces:
    """Register the model to each of the 30 faces, or read what is kept."""
    file = data / "meshmonk" / "faces.npz"
    stored = np.load(file)
    sources, triangles = stored["vertices_mm"].astype(np.float64), stored["triangles"]
    kept = Kept(KEPT, code_behind(CODE), model.topology_hash, file_sha256(file))
    rows = []
    for number, source in enumerate(tqdm(sources, "MeshMonk faces", unit="face")):
        make = partial(_registered, model, source, triangles)
        rows.append(kept.get(f"meshmonk-{number:02d}", [str(number)], make))
    shapes, confidence, moved = (np.array(parts) for parts in zip(*rows, strict=True))
    return Surfaces(shapes, confidence, moved, triangles)


def _registered(model: FaceModel, source_mm: Array, triangles: Array) -> tuple[Array, ...]:
    """Return shape (n, 3), confidence (n,) and the moved source (v, 3) of one face."""
    grey = from_arrays(
        source_mm, triangles, np.zeros((len(source_mm), 3, 0)), np.zeros(0), name="meshmonk"
    )
    landmarks = with_embeddings(grey, subjects=0).embeddings[MEDIAPIPE]
    places = registered(model, source_mm, triangles, landmarks)
    on_source = surface_points(source_mm, triangles, places.triangle, places.barycentric)
    used = places.known & model.reliable
    pose = align_robust(on_source[used], model.mean[used], fix_scale=True)
    shape = np.where(places.known[:, None], pose.cam_from_obj(on_source), model.mean)
    smooth = diffused(places.known.astype(float)[:, None], model.triangles, TAPER_PASSES)[:, 0]
    confidence = np.where(places.known, np.clip(2 * smooth - 1, 0, 1), 0.0)
    return shape, confidence, pose.cam_from_obj(source_mm)
