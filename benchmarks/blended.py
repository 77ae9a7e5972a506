"""What a blended model is worth: faces of several sources, reconstructed with equally many modes.

`python -m benchmarks.blended blend.h5 --data ../shared/data` reconstructs registered facefuns
scans, faces of the blend's other sources, and the MeshMonk faces, with the embedded model and with
the blend, prints mean errors and writes build/bench/blended.json and a picture.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks.real_faces import meshmonk_faces
from benchmarks.timings import machine
from fg3d_builder.captures import open_source
from fg3d_builder.captures.synthetic import SyntheticSource
from fg3d_builder.config import BuildConfig, SourceConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.facemodel.blend import BlendSource
from fg3d_builder.facemodel.blend_storage import load_blend_sources
from fg3d_builder.facemodel.learning.reconstruction import LinearShapes, errors_mm
from fg3d_builder.facemodel.learning.shapes import measurements
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_jpeg
from fg3d_builder.heads.library import default_model
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array
from fg3d_builder.report.paper import contact_sheet
from fg3d_builder.report.pictures import side_picture

MODES = (10, 20, 40, 64)
DRAWN = 20
PEOPLE = 6
TILE_PX = 300
SHOWN_SD = 2.5


def main() -> None:
    """Measure and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("blend", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/bench"))
    parser.add_argument("--picture", type=Path, help="draw it there (.jpg)")
    arguments = parser.parse_args()
    base, blend = default_model(), load_model(arguments.blend)
    sources = load_blend_sources(arguments.blend)
    if arguments.picture:
        drawn = picture(base, blend, sources, arguments.blend)
        write_bytes(arguments.picture, encode_jpeg(drawn, 88))
        return
    figures: dict[str, dict[str, object]] = {}
    for name, faces, weights in faces_of(base, sources, arguments.data):
        figures[name] = {
            "faces": len(faces),
            "modes": list(MODES),
            "embedded_mm": errors(base, faces, weights),
            "blend_mm": errors(blend, faces, weights),
        }
        print(name, json.dumps(figures[name]), flush=True)
    text = json.dumps({"machine": machine(), "figures": figures}, indent=1)
    write_bytes(arguments.out / "blended.json", text.encode())


def errors(model: FaceModel, faces: Array, weights: Array) -> list[float]:
    """Mean distance (by number of modes) of best reconstructions, over all faces, mm.

    `faces` (s, n, 3) in the model's topology; `weights` (s, n) of their vertices.
    """
    linear = LinearShapes(model.mean, model.id_basis * model.id_sd)
    rows = [errors_mm(linear, f, w, w, MODES) for f, w in zip(faces, weights, strict=True)]
    return [round(float(error), 3) for error in np.mean(rows, axis=0)]


def faces_of(
    base: FaceModel, sources: tuple[BlendSource, ...], data: Path
) -> Iterator[tuple[str, Array, Array]]:
    """Yield name, faces (s, n, 3) and weights (s, n) of each set of faces."""
    area = measurements(base) * base.reliable
    rng = np.random.default_rng(0)
    for source in sources:
        drawn = [source.face(rng.standard_normal(len(source.deviations_mm))) for _ in range(DRAWN)]
        yield f"drawn from {source.name}", np.array(drawn), np.tile(area, (DRAWN, 1))
    shapes, seen = registered_scans(base, data)
    yield "facefuns, registered", shapes, seen * area
    real = meshmonk_faces(base, data)
    count = len(real.deviations_mm)
    faces = real.mean_mm + np.sqrt(count - 1) * real.deviations_mm
    yield "MeshMonk", faces, np.tile(real.weights * base.reliable, (count, 1))


def registered_scans(base: FaceModel, data: Path) -> tuple[Array, Array]:
    """Shapes (s, n, 3) of the facefuns scans, and what of each was seen and trusted (s, n)."""
    config = SourceConfig(kind="scan", path=str(data / "scans"), include=("facefuns-*",))
    source = open_source(config)
    found = [
        register_capture(base, source.load(entry), BuildConfig()).registration
        for entry in source.entries()
    ]
    seen = [r.visible & (r.confidence > 0.3) for r in found]
    return np.array([r.shape_obj_mm for r in found]), np.array(seen, dtype=float)


def picture(
    base: FaceModel, blend: FaceModel, sources: tuple[BlendSource, ...], file: Path
) -> Array:
    """Means, first modes, and people drawn from the blend."""
    triangles = base.triangles
    means = [(f"mean of {source.name}", source.mean_mm) for source in sources]
    means.append(("mean of the blend", blend.mean))
    tiles = [
        (name, side_picture(shape, triangles, yaws_deg=(0.0,), height=TILE_PX))
        for name, shape in means
    ]
    for mode in range(PEOPLE - len(tiles) % PEOPLE):
        shape = blend.mean + SHOWN_SD * blend.id_sd[mode] * blend.id_basis[:, :, mode]
        tile = side_picture(shape, triangles, yaws_deg=(0.0,), height=TILE_PX)
        tiles.append((f"mode {mode + 1} at {SHOWN_SD:+g} sd", tile))
    config = SourceConfig(
        subjects=PEOPLE, captures_per_subject=1, seed=3, population=str(file), max_yaw_deg=10
    )
    source = SyntheticSource(config)
    for entry in source.entries():
        tiles.append((entry.subject_id, source.load(entry).rgb[60:580]))
    return contact_sheet(tiles, columns=PEOPLE, height=TILE_PX)


if __name__ == "__main__":
    main()
