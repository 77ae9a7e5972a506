"""Full-view augmentation against true side views, beside face profiling; and its time.

`python -m benchmarks.fullview --data ../shared/data` turns frontal captures of synthetic heads
and textured scans, renders the same heads truly turned, and compares the faces. A turned view
moves camera and not head, so the light turns with the head in the truth as well. The sven frame
056 is turned to the poses of frames 044 and 072 and compared with them. Writes
build/bench/fullview.json and, with --pictures, sheets.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from skimage.metrics import structural_similarity

from benchmarks.timings import machine
from benchmarks.transform import psnr, sit
from fg3d_builder.captures import open_source
from fg3d_builder.captures.mesh_view import view_mesh as view_scan
from fg3d_builder.captures.scan import read_scan, scan_camera, scan_unit_mm
from fg3d_builder.captures.synthetic import seamless_normals, shaded, whole_head
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    FitConfig,
    FullViewConfig,
    LandmarkConfig,
    SensorConfig,
    SourceConfig,
    TextureConfig,
)
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_jpeg, encode_png
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.fullview.augment import FACE_PROFILING, FULL_VIEW, finished_view, view_mesh
from fg3d_builder.fullview.render_view import RenderedView, Source, render_view
from fg3d_builder.fullview.texture_fit import TextureFit, fit_texture
from fg3d_builder.fullview.views import CAPTURED, Turn, ViewCamera, view_camera
from fg3d_builder.geometry.crop import crop_around, crop_image
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, Pose, Registration
from fg3d_builder.rendering.rasterizer import interpolate, rasterize, visible_vertices
from fg3d_builder.rendering.shading import srgb_from_linear

TURNS = ((0.0, 15.0), (0.0, 30.0), (0.0, 45.0), (0.0, -45.0), (15.0, 0.0), (-25.0, 0.0))
MARGIN, SIZE = 1.25, 256


class Frontal(NamedTuple):
    """A capture with its registration and a way to see the same head truly turned.

    ``truth(camera)`` returns the picture (S, S, 3) uint8 and where it shows what the capture
    does not (S, S) bool.
    """

    capture: Capture
    registration: Registration
    truth: Callable[[ViewCamera], tuple[Array, Array]]


def synthetic(model: FaceModel, subjects: int, seed: int) -> Iterator[Frontal]:
    """Neutral captures of synthetic heads, nearly frontal."""
    config = SourceConfig(
        subjects=subjects,
        captures_per_subject=1,
        seed=seed,
        max_yaw_deg=5.0,
        max_pitch_deg=5.0,
        sensor=SensorConfig(kind="structured_light", seed=7),
    )
    for sitter in sit(config, model):
        subject, scene = sitter.subject, sitter.scene
        shape = subject.head.shape(np.zeros(len(subject.action_names)))
        vertices, triangles, albedo = whole_head(subject, shape)
        cam = scene.pose.cam_from_obj(vertices)
        normals = seamless_normals(vertices, triangles) @ scene.pose.rotation.T
        known = sitter.capture.truth
        assert known is not None
        seen = np.concatenate([known.visible, np.ones(len(vertices) - len(shape), bool)])

        def truth(
            camera: ViewCamera,
            cam: Array = cam,
            triangles: Array = triangles,
            albedo: Array = albedo,
            normals: Array = normals,
            seen: Array = seen,
            light: Any = scene.light,
        ) -> tuple[Array, Array]:
            turned = camera.view_from_cam(cam)
            moved = dataclasses.replace(light, direction=camera.rotation @ light.direction)
            size = (camera.size, camera.size)
            color, _ = shaded(
                turned,
                triangles,
                albedo,
                normals @ camera.rotation.T,
                camera.intrinsics,
                moved,
                size,
            )
            return srgb_from_linear(color), newly_exposed(turned, triangles, seen, camera)

        yield Frontal(sitter.capture, sitter.registration, truth)


def scans(model: FaceModel, data: Path) -> Iterator[Frontal]:
    """Frontal renderings of the textured scans."""
    for folder in sorted((data / "scans").iterdir()):
        if not folder.is_dir():
            continue
        config = SourceConfig(kind="scan", path=str(folder), unit_mm=0.0)
        source = open_source(config)
        capture = source.load(source.entries()[0])
        mesh = read_scan(Path(source.entries()[0].location))
        config = dataclasses.replace(config, unit_mm=scan_unit_mm(mesh, folder.name))
        pose, intrinsics = scan_camera(config, (0.0, 0.0), mesh)
        cam = pose.cam_from_obj(mesh.vertices)
        height, width = capture.rgb.shape[:2]
        seen = seen_by(cam, mesh.triangles, intrinsics, height, width)

        def truth(
            camera: ViewCamera, cam: Array = cam, mesh: Any = mesh, seen: Array = seen
        ) -> tuple[Array, Array]:
            turned = camera.view_from_cam(cam)
            view = view_scan(mesh, turned, camera.intrinsics, camera.size, camera.size)
            exposed = newly_exposed(turned, mesh.triangles, seen, camera)
            return srgb_from_linear(view.rgb_linear), exposed

        yield Frontal(capture, register_capture(model, capture, BuildConfig()).registration, truth)


def seen_by(cam: Array, triangles: Array, intrinsics: Array, height: int, width: int) -> Array:
    """(n,) bool: vertices of a mesh that lie on its first surface."""
    normals = vertex_normals(cam, triangles)
    return visible_vertices(cam, triangles, normals, intrinsics, height, width)


def newly_exposed(turned: Array, triangles: Array, seen: Array, camera: ViewCamera) -> Array:
    """(S, S) bool: surface of a turned mesh whose vertices the capture did not see."""
    size = camera.size
    fragments = rasterize(turned, triangles, camera.intrinsics, size, size)
    share = interpolate(fragments, triangles, seen[:, None].astype(float))[..., 0]
    return np.asarray((fragments.triangle >= 0) & (share < 0.5))


def face_pixels(model: FaceModel, registration: Registration, camera: ViewCamera) -> Array:
    """(S, S) bool: the registered face, away from the template's border."""
    turned = camera.view_from_cam(registration.vertices_cam_mm)
    size = camera.size
    fragments = rasterize(turned, model.triangles, camera.intrinsics, size, size)
    inside = interpolate(fragments, model.triangles, model.reliable[:, None].astype(float))
    face = (fragments.triangle >= 0) & (inside[..., 0] > 0.5)
    return cv2.erode(face.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0


def compare(image: Array, truth: Array, mask: Array) -> dict[str, float]:
    """PSNR (dB), SSIM and mean absolute error (grey levels) over a mask; NaN without pixels."""
    if mask.sum() < 50:
        return {"psnr_db": float("nan"), "ssim": float("nan"), "error": float("nan")}
    difference = image[mask].astype(float) - truth[mask].astype(float)
    _, similarity = structural_similarity(image, truth, channel_axis=2, full=True)
    return {
        "psnr_db": psnr(image, truth, mask),
        "ssim": float(similarity[mask].mean()),
        "error": float(np.abs(difference).mean()),
    }


def turned(
    model: FaceModel,
    capture: Capture,
    registration: Registration,
    texture: TextureFit,
    camera: ViewCamera,
    method: str,
) -> tuple[RenderedView, Array]:
    """Turn a capture by one method: the view before painting, and the finished picture."""
    config = FullViewConfig(method=method)
    source = Source.of(capture, view_mesh(model, capture, registration, config), config)
    rendered = render_view(source, camera, config)
    return rendered, finished_view(source, camera, rendered, texture, config).rgb


def against_truth(
    model: FaceModel, frontals: Iterator[Frontal], kind: str, folder: Path | None
) -> list[dict[str, Any]]:
    """Turn every capture by both methods and compare with the truth."""
    rows = []
    for frontal in frontals:
        capture, registration = frontal.capture, frontal.registration
        found = open_detector(LandmarkConfig()).detect(capture)
        initial = fit_landmarks(model, found, capture.intrinsics, FitConfig())
        texture = fit_texture(model, capture, registration, TextureConfig())
        strips = []
        for pitch, yaw in TURNS:
            turn = Turn(pitch, yaw, pitch, yaw)
            camera = view_camera(
                model, registration, initial, capture.intrinsics, turn, MARGIN, SIZE
            )
            truth, exposed = frontal.truth(camera)
            face = face_pixels(model, registration, camera) & (truth.sum(axis=2) > 0)
            strip = [truth]
            for method in (FULL_VIEW, FACE_PROFILING):
                _, rgb = turned(model, capture, registration, texture, camera, method)
                strip.append(rgb)
                for region, mask in (("face", face), ("exposed", face & exposed)):
                    rows.append(
                        {
                            "kind": kind,
                            "capture": capture.capture_id,
                            "turn": [pitch, yaw],
                            "method": method,
                            "region": region,
                            "pixels": int(mask.sum()),
                            **compare(rgb, truth, mask),
                        }
                    )
            strip.append(
                np.repeat(np.where(face, 128, 0)[..., None] + 100 * exposed[..., None], 3, 2)
            )
            strips.append(np.vstack([s.astype(np.uint8) for s in strip]))
        if folder is not None:
            write_bytes(folder / f"{kind}-{capture.capture_id}.png", encode_png(np.hstack(strips)))
    return rows


def sven(model: FaceModel, data: Path, folder: Path | None) -> list[dict[str, Any]]:
    """Turn sven-056 to the real poses of sven-044 and sven-072."""
    source = open_source(SourceConfig(kind="folder", path=str(data / "captures")))
    frames = {e.capture_id: source.load(e) for e in source.entries()}
    names = [n for n in sorted(frames) if n.startswith("sven-")]
    done = {n: register_capture(model, frames[n], BuildConfig()).registration for n in names}
    base = next(n for n in names if n.startswith("sven-056"))
    capture, registration = frames[base], done[base]
    texture = fit_texture(model, capture, registration, TextureConfig())
    rows, strips = [], []
    for name in (n for n in names if n.startswith(("sven-044", "sven-072"))):
        camera = camera_of_frame(model, registration.pose, done[name], frames[name])
        real = crop_image(frames[name].rgb, camera.px_crop_from_px, SIZE)
        face = face_pixels(model, registration, camera) & face_pixels_of(model, done[name], camera)
        strip = [real]
        for method in (FULL_VIEW, FACE_PROFILING):
            rendered, rgb = turned(model, capture, registration, texture, camera, method)
            unseen = face & rendered.face_unseen
            # The frames' exposures differ: one gain per channel, from what both frames show.
            common = face & ~rendered.face_unseen
            gain = real[common].mean(axis=0) / np.maximum(rgb[common].mean(axis=0), 1.0)
            leveled = np.clip(rgb * gain, 0, 255).astype(np.uint8)
            strip.append(leveled)
            for region, mask in (("face", face), ("exposed", unseen)):
                figures = compare(leveled, real, mask)
                row = {"kind": "sven", "capture": name, "turn": "real", "method": method}
                rows.append({**row, "region": region, "pixels": int(mask.sum()), **figures})
        strips.append(np.vstack(strip))
    if folder is not None:
        write_bytes(folder / "sven.png", encode_png(np.hstack(strips)))
    return rows


def camera_of_frame(
    model: FaceModel, from_pose: Pose, registration: Registration, frame: Capture
) -> ViewCamera:
    """The camera of another frame of the same head, seen from the first frame's."""
    rotation = registration.pose.rotation @ from_pose.rotation.T
    shift = registration.pose.translation_mm - rotation @ from_pose.translation_mm
    points = registration.vertices_cam_mm[model.reliable]
    to_crop = crop_around(points, frame.intrinsics, MARGIN, SIZE)
    pose = registration.pose
    return ViewCamera(CAPTURED, rotation, shift, to_crop, to_crop @ frame.intrinsics, SIZE, pose)


def face_pixels_of(model: FaceModel, registration: Registration, camera: ViewCamera) -> Array:
    """(S, S) bool: the face of the camera's own frame."""
    own = dataclasses.replace(camera, rotation=np.eye(3), translation_mm=np.zeros(3))
    return face_pixels(model, registration, own)


def timings(model: FaceModel, frontal: Frontal) -> dict[str, float]:
    """Milliseconds of processor time per stage, median of five, one thread."""
    capture, registration = frontal.capture, frontal.registration
    config = FullViewConfig()
    found = open_detector(LandmarkConfig()).detect(capture)
    initial = fit_landmarks(model, found, capture.intrinsics, FitConfig())
    laps: dict[str, list[float]] = {}
    now = time.process_time()

    def lap(stage: str) -> None:
        nonlocal now
        laps.setdefault(stage, []).append(1e3 * (time.process_time() - now))
        now = time.process_time()

    for _ in range(6):
        now = time.process_time()
        texture = fit_texture(model, capture, registration, TextureConfig())
        lap("texture and light")
        mesh = view_mesh(model, capture, registration, config)
        lap("image mesh (Eq. 12)")
        source = Source.of(capture, mesh, config)
        lap("picture pyramid, shadows")
        for pitch, yaw in TURNS:
            turn = Turn(pitch, yaw, pitch, yaw)
            camera = view_camera(
                model, registration, initial, capture.intrinsics, turn, MARGIN, SIZE
            )
            rendered = render_view(source, camera, config)
            view = finished_view(source, camera, rendered, texture, config)
            lap("view: render and inpaint")
            encode_jpeg(view.rgb)
            lap("view: encode")
    # The first of the six rounds warms up.
    median = {stage: float(np.median(ms[len(ms) // 6 :])) for stage, ms in laps.items()}
    once = sum(v for k, v in median.items() if not k.startswith("view"))
    each = sum(v for k, v in median.items() if k.startswith("view"))
    return {**median, "whole augmented sample, 8 views": each + once / 8}


def table(rows: list[dict[str, Any]]) -> list[str]:
    """One line per kind, turn, method and region."""
    keys = sorted({(r["kind"], str(r["turn"]), r["region"]) for r in rows})
    lines = [f"{'':46s} {'full view':>24s} {'face profiling':>24s}"]
    lines.append(f"{'':46s} " + 2 * f"{'PSNR':>8s} {'SSIM':>7s} {'error':>7s} ")
    for kind, turn, region in keys:
        parts = []
        for method in (FULL_VIEW, FACE_PROFILING):
            mine = [
                r
                for r in rows
                if (r["kind"], str(r["turn"]), r["region"], r["method"])
                == (kind, turn, region, method)
            ]
            means = [np.nanmean([r[k] for r in mine]) for k in ("psnr_db", "ssim", "error")]
            parts.append(f"{means[0]:8.2f} {means[1]:7.3f} {means[2]:7.2f}")
        lines.append(f"{kind:10s} {turn:22s} {region:12s} " + " ".join(parts))
    return lines


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--subjects", type=int, default=6)
    parser.add_argument("--seed", type=int, default=7_000)
    parser.add_argument("--only", choices=["synthetic", "scans", "sven"], default=None)
    parser.add_argument("--out", type=Path, default=Path("build/bench/fullview.json"))
    parser.add_argument("--pictures", type=Path, default=None)
    arguments = parser.parse_args()
    model = get_model(FaceModelConfig())
    rows: list[dict[str, Any]] = []
    wanted = [arguments.only] if arguments.only else ["synthetic", "scans", "sven"]
    times: dict[str, float] = {}
    if "synthetic" in wanted:
        frontals = list(synthetic(model, arguments.subjects, arguments.seed))
        rows += against_truth(model, iter(frontals), "synthetic", arguments.pictures)
        times = timings(model, frontals[0])
    if arguments.data.is_dir():
        if "scans" in wanted:
            rows += against_truth(model, scans(model, arguments.data), "scans", arguments.pictures)
        if "sven" in wanted:
            rows += sven(model, arguments.data, arguments.pictures)
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    result = {"machine": machine(), "rows": rows, "median_ms": times}
    arguments.out.write_text(json.dumps(result, indent=1))
    print("\n".join(table(rows)))
    for stage, value in times.items():
        print(f"{stage:34s} {value:8.1f} ms")


if __name__ == "__main__":
    main()
