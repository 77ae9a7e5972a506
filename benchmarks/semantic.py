"""Semantic consistency: does a template vertex land on the same spot of every scan?

The facefuns scans share one topology in semantic correspondence, so a spot is a triangle of
it. `python -m benchmarks.semantic --data ../shared/data` prints a table and writes
build/bench/semantic.json.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy.spatial.transform import Rotation

from benchmarks.comparison import ABLATIONS, prepare, run_apart
from benchmarks.peers import aligned_mean
from benchmarks.regions import feature_regions, narrow_face
from benchmarks.surfaces import Spots, Surface
from benchmarks.timings import machine
from fg3d_builder.captures import open_source
from fg3d_builder.captures.scan import read_scan, scan_camera
from fg3d_builder.config import FaceModelConfig, SourceConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.files.mesh_io import TexturedMesh
from fg3d_builder.geometry.meshes import surface_points, vertex_normals
from fg3d_builder.heads.library import get_model
from fg3d_builder.pipeline.register import register_face
from fg3d_builder.records import Array
from fg3d_builder.rendering.rasterizer import visible_vertices

TARGETS_MM = {"median": 0.7, "p95": 2.0, "eyes": 0.6, "brows": 1.0, "lips": 0.5, "nose": 0.7}


def mean_shape(shapes_mm: Array) -> Array:
    """Return the (v, 3) mean of (s, v, 3) shapes after rigid alignment to each other."""
    centred = shapes_mm - shapes_mm.mean(axis=1, keepdims=True)
    mean = centred[0]
    for _ in range(5):
        turned = [Rotation.align_vectors(mean, shape)[0].apply(shape) for shape in centred]
        mean = np.mean(turned, axis=0)
    return np.asarray(mean)


def spread(spots: list[Spots], seen: Array, mean_mm: Array, triangles: Array) -> Array:
    """Return the (n,) spread of template vertices over scans, mm.

    Root mean square distance of a vertex's places on the mean shape to their mean.

    Parameters
    ----------
    spots : list of Spots
        Of the same n template vertices, one entry per scan.
    seen : (s, n) bool
        Which scans count for a vertex; NaN comes back for one seen in less than half.
    mean_mm, triangles
        Mean shape of the topology (v, 3) and its triangles.
    """
    places = np.stack([surface_points(mean_mm, triangles, *spot) for spot in spots])
    count = seen.sum(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.einsum("sn,snd->nd", seen, places) / count[:, None]
        squared = np.einsum("sn,sn->n", seen, np.sum((places - mean) ** 2, axis=2)) / count
    return np.where(2 * count >= len(spots), np.sqrt(squared), np.nan)


class Scan(NamedTuple):
    """A scan in the camera frame of its capture, mm."""

    vertices_cam_mm: Array
    triangles: Array


def measure(
    config: FaceModelConfig, model: FaceModel, data: Path, peers: tuple[str, ...], peer_start: str
) -> dict[str, dict[str, float]]:
    """Register every facefuns scan by every method; return the figures per method."""
    source_config = SourceConfig(kind="scan", path=str(data / "scans"), include=("facefuns-*",))
    source = open_source(source_config)
    scans: list[Scan] = []
    seen: list[Array] = []
    results: dict[str, list[Array]] = {}
    first: TexturedMesh | None = None
    for entry in source.entries():
        mesh = read_scan(Path(entry.location))
        first = first or mesh
        check_same_topology(first, mesh, entry.location)
        pose, _ = scan_camera(source_config, source_config.views[0], mesh)
        scans.append(Scan(pose.cam_from_obj(mesh.vertices), mesh.triangles))
        prepared = prepare(config, model, source.load(entry))
        start, capture = prepared.peer.start_cam_mm, prepared.capture
        normals = vertex_normals(start, model.triangles)
        height, width = capture.depth_mm.shape
        seen.append(
            visible_vertices(start, model.triangles, normals, capture.intrinsics, height, width)
        )
        results.setdefault("mean, aligned", []).append(
            aligned_mean(model.mean, prepared.peer).start_cam_mm
        )
        results.setdefault("3DMM fit", []).append(start)
        for name, make in ABLATIONS.items():
            registration = register_face(
                model, capture, prepared.landmarks, prepared.coarse, make()
            )
            results.setdefault(name, []).append(registration.vertices_cam_mm)
        for name in peers:
            moved = run_apart(name, prepared, peer_start).vertices_cam_mm
            results.setdefault(name, []).append(moved)
    mean = mean_shape(np.stack([scan.vertices_cam_mm for scan in scans]))
    return {
        name: figures(model, scans, vertices, np.array(seen), mean)
        for name, vertices in results.items()
    }


def figures(
    model: FaceModel, scans: list[Scan], vertices: list[Array], seen: Array, mean_mm: Array
) -> dict[str, float]:
    """Summarise the spread over the narrow face and the medians of its features."""
    spots = [Surface(*scan).nearest(v) for v, scan in zip(vertices, scans, strict=True)]
    spread_mm = spread(spots, seen, mean_mm, scans[0].triangles)
    measured = np.isfinite(spread_mm)
    narrow = narrow_face(model) & measured
    values = spread_mm[narrow]
    row = {
        "vertices": float(narrow.sum()),
        "median": float(np.median(values)),
        "mean": float(np.mean(values)),
        "p95": float(np.quantile(values, 0.95)),
    }
    for name, mask in feature_regions(model).items():
        row[name] = float(np.median(spread_mm[mask & measured]))
    return row


def check_same_topology(first: TexturedMesh, other: TexturedMesh, where: str) -> None:
    """Raise `ValueError` where a scan's triangles or texture coordinates are others."""
    same = np.array_equal(first.triangles, other.triangles) and np.allclose(
        first.uv[first.uv_triangles], other.uv[other.uv_triangles], atol=1e-5
    )
    if not same:
        raise ValueError(f"{where}: the scans do not share one topology")


def main() -> None:
    """Run what the arguments name, print a table and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/semantic.json"))
    parser.add_argument("--model", choices=("default", "ict"))
    parser.add_argument(
        "--peers", action="store_true", help="also trimesh's nricp_amberg: minutes more"
    )
    parser.add_argument("--peer-start", choices=("coarse", "mean"), default="coarse")
    arguments = parser.parse_args()
    peers = ("trimesh amberg",) if arguments.peers else ()
    tables: dict[str, Any] = {}
    for name in ("ict", "default"):
        if arguments.model not in (None, name):
            continue
        path = str(arguments.data / "ict_facekit") if name == "ict" else ""
        config = FaceModelConfig(name, path)
        model = get_model(config)
        tables[name] = measure(config, model, arguments.data, peers, arguments.peer_start)
    result = {"machine": machine(), "targets": TARGETS_MM, "tables": tables}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1))
    columns = ("median", "mean", "p95", "eyes", "brows", "lips", "nose")
    print(f"{'spread, mm':28s}" + "".join(f"{c:>8s}" for c in columns))
    for name, table in tables.items():
        for method, row in table.items():
            title = f"{name}: {method}"
            print(f"{title:28s}" + "".join(f"{row[c]:8.2f}" for c in columns))
    print(f"{'target':28s}" + "".join(f"{TARGETS_MM.get(c, np.nan):8.2f}" for c in columns))


if __name__ == "__main__":
    main()
