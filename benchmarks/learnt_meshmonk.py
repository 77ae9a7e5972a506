"""The MeshMonk faces as registrations: each registered on its own, as a surface without texture.

Nothing of their common topology is used: points are detected on clay renderings of every face,
and the embedded template is bent onto its surface (`benchmarks.real_faces.registered`).

`python -m benchmarks.learnt_meshmonk meshmonk.h5` writes the face model that is learnt from all 30,
a source of real faces for `fg3d models blend`.
"""

from __future__ import annotations

import argparse
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
from fg3d_builder.facemodel.learning.components import OldModel
from fg3d_builder.facemodel.learning.learn import LearningOptions, learn_components
from fg3d_builder.facemodel.learning.model import learnt_model
from fg3d_builder.facemodel.learning.shapes import Identities
from fg3d_builder.facemodel.smooth_extension import extended, smoothness
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.fitting.robust_alignment import align_robust
from fg3d_builder.geometry.meshes import surface_points
from fg3d_builder.geometry.smoothing import diffused
from fg3d_builder.heads.library import default_model
from fg3d_builder.landmarks.edges import MEDIAPIPE
from fg3d_builder.records import Array

CODE = ("registration/membrane.py", "facemodel/embedding.py", "fitting/robust_alignment.py")
LICENCE = "Apache-2.0 (MeshMonk)"
BELIEVED = 0.5
"""Confidence from which a vertex is taken to lie on its face's surface."""
SMOOTH_MM = (40.0, 20.0)
"""Bending and stretching lengths of what goes on beyond a surface's end."""
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


def identities(surfaces: Surfaces) -> Identities:
    """Return the registered faces as what models are learnt from."""
    names = tuple(f"meshmonk-{i:02d}" for i in range(len(surfaces.shapes_mm)))
    return Identities(
        names, surfaces.shapes_mm.astype(np.float32), surfaces.confidence.astype(np.float32)
    )


def completed(model: FaceModel, surfaces: Surfaces) -> Identities:
    """Return faces that go on smoothly where their surfaces end, and count everywhere.

    The surfaces end on the forehead, at the lips' inside and before the ears; a mean that is the
    faces' on one side of such an end and the old model's on the other has a step there.
    """
    energy = smoothness(model.mean, model.triangles, *SMOOTH_MM)
    values = [
        model.mean + extended(energy, np.flatnonzero(sure), (shape - model.mean)[sure])
        for shape, sure in zip(surfaces.shapes_mm, surfaces.confidence > BELIEVED, strict=True)
    ]
    faces = identities(surfaces)
    whole = np.ones_like(faces.confidence)
    return faces._replace(values=np.asarray(values, np.float32), confidence=whole)


def meshmonk_model(model: FaceModel, data: Path) -> FaceModel:
    """Learn a face model from all MeshMonk faces, with `model` as the prior."""
    faces = completed(model, meshmonk_registrations(model, data))
    options = LearningOptions()
    learnt, choice = learn_components(OldModel.of_shapes(model), faces, options)
    print(f"{len(learnt.sd)} modes, the old model counts as {choice.prior_subjects:g} faces")
    return learnt_model(model, learnt, "MeshMonk", LICENCE)


def main() -> None:
    """Write the model to the file that the arguments name."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    arguments = parser.parse_args()
    save_model(meshmonk_model(default_model(), arguments.data), arguments.out)


if __name__ == "__main__":
    main()
