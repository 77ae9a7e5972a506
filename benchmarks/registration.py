"""Our registration and public nonrigid ICP side by side: same template, target and start.

`python -m benchmarks.registration --data ../shared/data` prints tables and writes
build/bench/registration.json and a picture per capture; docs/benchmarks.md says what is
compared and how.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks.accuracy import summary
from benchmarks.annotation import annotated_ibug
from benchmarks.comparison import ABLATIONS, METHODS, Prepared, prepare, run_apart
from benchmarks.regions import feature_regions, narrow_face, outer_face
from benchmarks.surfaces import Surface
from benchmarks.timings import machine
from fg3d_builder.captures import open_source
from fg3d_builder.captures.scan import read_scan, scan_camera
from fg3d_builder.config import (
    FaceModelConfig,
    FitConfig,
    LandmarkConfig,
    SensorConfig,
    SourceConfig,
)
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.geometry.camera import px_from_cam
from fg3d_builder.geometry.meshes import (
    surface_points,
    triangle_normals,
    undirected_edges,
    vertex_normals,
)
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.register import fit_face, register_face
from fg3d_builder.records import Array, Capture
from fg3d_builder.rendering.depth_surface import DepthSurface
from fg3d_builder.rendering.rasterizer import rasterize, visible_vertices
from fg3d_builder.report.paper import contact_sheet

ABLATION_SUBJECTS = 6

HEADER = (
    f"  {'method':22s} {'s':>6s} {'(reg.)':>7s} {'MB':>5s}   surface mm: face      narrow face   "
    "landm. flips  edges 1-99 %  vertex mm"
)


class Regions(NamedTuple):
    """(n,) masks: visible reliable face, and the narrow face within it."""

    face: Array
    narrow: Array


def regions(model: FaceModel, prepared: Prepared) -> Regions:
    """Visible as seen from the coarse fit: the same vertices count for every method."""
    start, triangles = prepared.peer.start_cam_mm, model.triangles
    height, width = prepared.capture.depth_mm.shape
    visible = visible_vertices(
        start,
        triangles,
        vertex_normals(start, triangles),
        prepared.capture.intrinsics,
        height,
        width,
    )
    face = visible & model.reliable
    return Regions(face, face & narrow_face(model))


def surface_of_scan(config: SourceConfig, location: str) -> Surface:
    """Return the scan's own triangles in the capture's camera frame, mm."""
    mesh = read_scan(Path(location))
    pose, _ = scan_camera(config, config.views[0], mesh)
    return Surface(pose.cam_from_obj(mesh.vertices), mesh.triangles)


def shape_figures(vertices: Array, prepared: Prepared, face: Array) -> dict[str, float]:
    """Landmark error, flipped triangles and stretched edges over the face.

    A triangle is flipped when its normal turned by more than 90 degrees against the coarse
    fit; edge ratios are lengths after by lengths in the coarse fit.
    """
    peer = prepared.peer
    inside = peer.triangles[face[peer.triangles].all(axis=1)]
    before, after = (triangle_normals(v, inside) for v in (peer.start_cam_mm, vertices))
    edges = undirected_edges(inside)
    length = [
        np.linalg.norm(v[edges[:, 0]] - v[edges[:, 1]], axis=1)
        for v in (peer.start_cam_mm, vertices)
    ]
    low, high = np.quantile(length[1] / length[0], [0.01, 0.99])
    points = surface_points(
        vertices, peer.triangles, peer.landmark_triangle, peer.landmark_barycentric
    )
    return {
        "landmark_mm": float(np.linalg.norm(points - peer.landmarks_cam_mm, axis=1).mean()),
        "flipped": int((np.einsum("md,md->m", before, after) < 0).sum()),
        "flipped_share": float((np.einsum("md,md->m", before, after) < 0).mean()),
        "edge_ratio_p1": float(low),
        "edge_ratio_p99": float(high),
    }


def compare(
    model: FaceModel,
    prepared: Prepared,
    surface: Surface,
    methods: tuple[str, ...],
    peer_start: str,
    picture: Path,
) -> list[dict[str, Any]]:
    """Run the methods on one capture; one row each, the coarse fit first."""
    masks, truth = regions(model, prepared), prepared.capture.truth
    start = prepared.peer.start_cam_mm
    tiles = [
        ("image", prepared.capture.rgb[face_box(prepared)]),
        ("3DMM fit", shaded(start, prepared)),
    ]
    rows = []
    for method in ("3DMM fit", *methods):
        row: dict[str, Any] = {"capture": prepared.capture.capture_id, "method": method}
        vertices = start
        if method != "3DMM fit":
            result = run_apart(method, prepared, peer_start)
            vertices = result.vertices_cam_mm
            row |= {"seconds": result.seconds, "register_seconds": result.register_seconds}
            row |= {"peak_mb": result.peak_mb}
            tiles.append((method, shaded(vertices, prepared)))
        for name, mask in zip(masks._fields, masks, strict=True):
            distance = surface.distance_mm(vertices[mask])
            row[f"surface_{name}"] = summary(distance)
            if truth is not None:
                seen = mask & truth.visible
                error = np.linalg.norm(vertices - truth.vertices_cam_mm, axis=1)
                row[f"vertex_{name}"] = summary(error[seen])
        rows.append(row | shape_figures(vertices, prepared, masks.face))
    title = f"{prepared.capture.capture_id}, {model.name}"
    sheet = contact_sheet(tiles, title=title, columns=3, height=640)
    write_bytes(picture, encode_png(sheet))
    return rows


def shaded(vertices: Array, prepared: Prepared) -> Array:
    """Draw a mesh as clay under raking light, as the capture's camera sees it."""
    capture, triangles = prepared.capture, prepared.peer.triangles
    height, width = capture.depth_mm.shape
    fragments = rasterize(vertices, triangles, capture.intrinsics, height, width)
    # One normal per triangle: folds and spikes stay visible.
    lamp = np.array([-0.55, -0.55, -0.63])
    normals = triangle_normals(vertices, triangles)
    normals /= np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    light = 0.1 + 0.8 * np.clip(normals @ lamp, 0.0, None)
    picture = np.where(fragments.triangle >= 0, light[fragments.triangle], 0.01)
    grey = np.rint(255 * np.clip(picture, 0, 1) ** (1 / 2.2)).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)[face_box(prepared)]


def face_box(prepared: Prepared) -> tuple[slice, slice]:
    """Rows and columns of the image within 95 mm of the middle of the landmarks."""
    capture = prepared.capture
    points = prepared.peer.landmarks_cam_mm
    middle = points.mean(axis=0)
    x, y = px_from_cam(middle, capture.intrinsics)
    reach = 95.0 * capture.intrinsics[0, 0] / middle[2]
    height, width = capture.depth_mm.shape
    rows = slice(max(0, int(y - reach)), min(height, int(y + reach)))
    return rows, slice(max(0, int(x - reach)), min(width, int(x + reach)))


def scans(
    config: FaceModelConfig,
    model: FaceModel,
    data: Path,
    names: tuple[str, ...],
    methods: tuple[str, ...],
    peer_start: str,
    out: Path,
) -> list[dict[str, Any]]:
    """Scans rendered into noise-free frontal captures; errors against the scan itself."""
    source_config = SourceConfig(kind="scan", path=str(data / "scans"), include=names)
    source = open_source(source_config)
    rows = []
    for entry in source.entries():
        prepared = prepare(config, model, source.load(entry))
        surface = surface_of_scan(source_config, entry.location)
        picture = out / f"registration_{config.model}_{entry.subject_id}.png"
        rows += compare(model, prepared, surface, methods, peer_start, picture)
    return rows


def synthetic(
    config: FaceModelConfig,
    model: FaceModel,
    subjects: int,
    methods: tuple[str, ...],
    peer_start: str,
    out: Path,
) -> list[dict[str, Any]]:
    """Faces with sensor noise; vertex error against truth, seeds that no preset uses."""
    source = open_source(
        SourceConfig(
            kind="synthetic",
            subjects=subjects,
            captures_per_subject=1,
            seed=7_000,
            sensor=SensorConfig(kind="structured_light", seed=7),
        )
    )
    rows = []
    for entry in source.entries():
        prepared = prepare(config, model, source.load(entry))
        truth = prepared.capture.truth
        assert truth is not None
        surface = Surface(truth.vertices_cam_mm, model.triangles)
        picture = out / f"registration_{entry.capture_id}.png"
        rows += compare(model, prepared, surface, methods, peer_start, picture)
    return rows


def ablation(model: FaceModel, subjects: int) -> list[dict[str, Any]]:
    """What `E_edge` and `E_cont` buy against the truth, by landmarks; mean over the captures.

    Detected landmarks are MediaPipe's, which have no outline for `E_cont`; annotated ones are
    iBUG's. The coarse fit is the same for all variants, and has used the same landmarks.
    """
    source = open_source(
        SourceConfig(
            kind="synthetic",
            subjects=subjects,
            captures_per_subject=1,
            seed=7_000,
            max_yaw_deg=45.0,
            sensor=SensorConfig(kind="structured_light", seed=7),
        )
    )
    found: dict[tuple[str, str], list[dict[str, float]]] = {}
    for number, entry in enumerate(source.entries()):
        capture = source.load(entry)
        surface = DepthSurface.from_depth(capture.depth_mm, capture.intrinsics)
        for which, landmarks in (
            ("detected", open_detector(LandmarkConfig()).detect(capture)),
            ("annotated", annotated_ibug(model, capture, number)),
        ):
            coarse = fit_face(model, capture, landmarks, FitConfig(), surface)
            start = coarse.pose.cam_from_obj(coarse.shape_obj_mm)
            results = {"3DMM fit": start}
            for name, make in ABLATIONS.items():
                result = register_face(model, capture, landmarks, coarse, make(), surface)
                results[name] = result.vertices_cam_mm
            for name, vertices in results.items():
                figures = ablation_figures(model, capture, vertices)
                found.setdefault((which, name), []).append(figures)
    return [
        {"landmarks": which, "method": name}
        | {key: float(np.mean([f[key] for f in figures])) for key in figures[0]}
        for (which, name), figures in found.items()
    ]


def ablation_figures(model: FaceModel, capture: Capture, vertices: Array) -> dict[str, float]:
    """Vertex errors over the visible face, its features, and the hidden outer face."""
    truth = capture.truth
    assert truth is not None
    error = np.linalg.norm(vertices - truth.vertices_cam_mm, axis=1)
    visible = truth.visible & model.reliable
    row = {
        "mean_mm": float(error[visible].mean()),
        "p95_mm": float(np.quantile(error[visible], 0.95)),
    }
    for name, mask in feature_regions(model).items():
        row[f"{name}_mm"] = float(error[mask & visible].mean())
    return row | {"hidden_mm": float(error[outer_face(model) & ~truth.visible].mean())}


def print_ablation(title: str, rows: list[dict[str, Any]]) -> None:
    """Print one line per variant."""
    names = [key for key in rows[0] if key.endswith("_mm")]
    print(f"\n{title}, vertex error, mm")
    print(f"  {'':32s}" + "".join(f"{name[:-3]:>8s}" for name in names))
    for row in rows:
        print(
            f"  {row['landmarks']:10s} {row['method']:21s}"
            + "".join(f"{row[name]:8.2f}" for name in names)
        )


def print_table(title: str, rows: list[dict[str, Any]]) -> None:
    """Print one line per method and capture."""
    print(f"\n{title}\n{HEADER}")
    for capture in dict.fromkeys(row["capture"] for row in rows):
        print(f"  {capture}")
        for row in (r for r in rows if r["capture"] == capture):
            print(_line(row))


def _line(row: dict[str, Any]) -> str:
    cost = " " * 20
    if "seconds" in row:
        cost = f"{row['seconds']:6.2f} {row['register_seconds']:7.2f} {row['peak_mb']:5.0f}"
    surface = "  ".join(_three(row[f"surface_{name}"]) for name in Regions._fields)
    edges = f"{row['edge_ratio_p1']:.2f}-{row['edge_ratio_p99']:.2f}"
    vertex = _three(row["vertex_face"]) if "vertex_face" in row else ""
    return (
        f"  {row['method']:22s} {cost}  {surface}  {row['landmark_mm']:5.2f}"
        f" {row['flipped']:5d}    {edges}     {vertex}"
    )


def _three(figures: dict[str, float]) -> str:
    return f"{figures['mean_mm']:5.2f}{figures['median_mm']:5.2f}{figures['p95_mm']:6.2f}"


def main() -> None:
    """Run what the arguments name, print tables and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("build/bench/registration.json"))
    parser.add_argument("--only", choices=("scans", "synthetic", "ablation"))
    parser.add_argument("--model", choices=("default", "ict"))
    parser.add_argument("--scans", nargs="+", default=["facefuns-f18"], help="names or patterns")
    parser.add_argument("--subjects", type=int, default=2, help="synthetic captures")
    parser.add_argument("--methods", nargs="+", choices=METHODS)
    parser.add_argument(
        "--peer-start",
        choices=("coarse", "mean"),
        default="coarse",
        help="where the public methods start: our 3DMM fit, or the mean aligned by landmarks",
    )
    arguments = parser.parse_args()
    methods, begin = tuple(arguments.methods or METHODS), arguments.peer_start
    folder, tables = arguments.out.parent, {}
    ablations: list[dict[str, Any]] = []
    for name in ("ict", "default"):
        if arguments.model not in (None, name):
            continue
        path = str(arguments.data / "ict_facekit") if name == "ict" else ""
        if name == "ict" and arguments.only in ("synthetic", "ablation"):
            continue
        config = FaceModelConfig(name, path)
        model = get_model(config)
        if arguments.only in (None, "scans"):
            chosen = tuple(arguments.scans)
            tables[f"scans, {name} ({model.vertex_count} vertices)"] = scans(
                config, model, arguments.data, chosen, methods, begin, folder
            )
        if arguments.only in (None, "synthetic") and name == "default":
            # Minutes of processor time: Sumner's variant only when asked for by name.
            asked = set(arguments.methods or METHODS[:-1])
            fewer = tuple(m for m in methods if m in asked)
            tables[f"synthetic, {name} ({model.vertex_count} vertices)"] = synthetic(
                config, model, arguments.subjects, fewer, begin, folder
            )
        if arguments.only in (None, "ablation") and name == "default":
            ablations = ablation(model, ABLATION_SUBJECTS)
    result = {
        "machine": machine(),
        "peer_start": begin,
        "tables": tables,
        "ablation": ablations,
    }
    folder.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1))
    for title, rows in tables.items():
        print_table(title, rows)
    if ablations:
        print_ablation("ablation on synthetic faces, yaw up to 45 degrees", ablations)


if __name__ == "__main__":
    main()
