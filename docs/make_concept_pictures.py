"""Make the pictures of docs/concepts: `python -m docs.make_concept_pictures [NAME ...]`.

They come from the embedded face model and synthetic captures, so anyone can make them again.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from fg3d_builder.captures import open_source
from fg3d_builder.config import BuildConfig, FaceModelConfig, SensorConfig, SourceConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.encoding import encode_jpeg
from fg3d_builder.fullview.augment import finished_view, view_mesh
from fg3d_builder.fullview.render_view import render_view
from fg3d_builder.fullview.source import FACE_PROFILING, Source
from fg3d_builder.fullview.texture_fit import fit_texture
from fg3d_builder.fullview.views import CAPTURED, schedule, view_camera
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import angles_from_rotation, rotation_from_angles
from fg3d_builder.heads.library import get_model
from fg3d_builder.pipeline.register import RegisteredCapture, register_capture
from fg3d_builder.records import Array, Capture
from fg3d_builder.registration.quality import quality_doubts
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.report.fullview_sheet import (
    BACKGROUND,
    MEASURED,
    SEEN,
    SURROUND,
    UNSEEN,
    mask_picture,
)
from fg3d_builder.report.paper import PAPER, contact_sheet, joined, message_card
from fg3d_builder.report.pictures import (
    depth_picture,
    error_picture,
    image_picture,
    side_picture,
    view_of_points,
)

PICTURES = Path(__file__).parent / "pictures"
MOST_BYTES = 200_000
AXES = (("x", (210, 60, 50)), ("y", (40, 150, 60)), ("z", (50, 90, 220)))
RAY, IMAGE_FRAME = (150, 150, 158), (60, 60, 66)


@cache
def registered() -> tuple[FaceModel, Capture, RegisteredCapture]:
    """Return a synthetic capture with a sensor's noise, and its registration."""
    sensor = SensorConfig(kind="structured_light", seed=1)
    source = open_source(
        SourceConfig(subjects=4, captures_per_subject=2, seed=20, sensor=sensor, max_yaw_deg=12.0)
    )
    model, capture = get_model(FaceModelConfig()), source.load(source.entries()[3])
    return model, capture, register_capture(model, capture, BuildConfig())


def frames() -> Array:
    """The camera, its image and the face, seen from beside: which frame is which."""
    model, capture, found = registered()
    registration = found.registration
    height, width = 560, 1180
    middle = registration.vertices_cam_mm.mean(axis=0)
    # An observer right of the camera, who sees both it and the face.
    turn = rotation_from_angles(-12, 65, 0) @ np.diag([1.0, -1.0, -1.0])
    observer = intrinsics_matrix(1350, 1350, width / 2, height / 2)

    def seen(points_cam_mm: Array) -> Array:
        away = np.array([0.0, 0.0, 1150.0])
        return (np.atleast_2d(points_cam_mm) - middle / 2) @ turn.T + away

    picture = np.full((height, width, 3), PAPER, np.uint8)
    points = seen(registration.vertices_cam_mm)
    fragments = rasterize(points, model.triangles, observer, height, width, False)
    normals = interpolate(fragments, model.triangles, vertex_normals(points, model.triangles))
    shade = 0.35 + 0.65 * np.abs(normals @ [0.4, -0.5, -0.76])
    inside = fragments.triangle >= 0
    picture[inside] = (shade[inside, None] * [226, 190, 165]).clip(0, 255).astype(np.uint8)

    def line(a: Array, b: Array, colour: tuple[int, int, int], thick: int = 2) -> None:
        ends = px_from_cam(np.concatenate([seen(a), seen(b)]), observer)
        start, end = (tuple(int(v) for v in np.rint(p)) for p in ends)
        cv2.line(picture, start, end, colour, thick, cv2.LINE_AA)

    def axes(origin: Array, directions: Array, name: str, length: float, at: float) -> None:
        for (axis, colour), direction in zip(AXES, directions, strict=True):
            tip = origin + length * direction
            ends = px_from_cam(np.concatenate([seen(origin), seen(tip)]), observer)
            start, end = (tuple(int(v) for v in np.rint(p)) for p in ends)
            cv2.arrowedLine(picture, start, end, colour, 3, cv2.LINE_AA, tipLength=0.16)
            _write(picture, axis, (end[0] + 5, end[1] - 5), colour)
        at_px = px_from_cam(seen(origin), observer)[0]
        _write(picture, name, (int(at_px[0] - at), int(at_px[1] + 150)), (30, 30, 34))

    # The image, drawn where it would be 150 mm before the camera.
    rows, columns = capture.rgb.shape[:2]
    corners_px = np.array([[0, 0], [columns, 0], [columns, rows], [0, rows]], dtype=float)
    rays = np.c_[corners_px, np.ones(4)] @ np.linalg.inv(capture.intrinsics).T
    corners = 170.0 * rays
    target = px_from_cam(seen(corners), observer).astype(np.float32)
    warp = cv2.getPerspectiveTransform(corners_px.astype(np.float32), target)
    shown = cv2.warpPerspective(capture.rgb, warp, (width, height))
    covered = cv2.warpPerspective(np.full((rows, columns), 255, np.uint8), warp, (width, height))
    picture[covered > 127] = shown[covered > 127]
    origin = np.zeros(3)
    for k in range(4):
        line(corners[k], corners[(k + 1) % 4], IMAGE_FRAME)
        line(origin, corners[k], RAY, 1)
    tip = registration.vertices_cam_mm[np.argmin(registration.vertices_cam_mm[:, 2])]
    line(origin, tip, RAY, 1)
    axes(origin, np.eye(3), "camera frame", 90.0, 60)
    pose = registration.pose
    start = pose.cam_from_obj(np.zeros((1, 3)))[0]
    axes(start, pose.rotation.T, "object frame", 110.0, 40)
    angles = ", ".join(f"{angle:.0f}" for angle in angles_from_rotation(pose.rotation))
    distance = f"t = ({', '.join(f'{v:.0f}' for v in pose.translation_mm)}) mm"
    _write(picture, f"pitch, yaw, roll = {angles} degrees;  {distance}", (16, height - 18))
    return picture


def shapes() -> Array:
    """From the mean face to the registered one, and what the model cannot say."""
    model, capture, found = registered()
    registration = found.registration
    view = view_of_points(px_from_cam(registration.vertices_cam_mm, capture.intrinsics))
    yaws = (0.0, 60.0)

    def plaster(shape: Array) -> Array:
        return side_picture(shape, model.triangles, yaws_deg=yaws, height=360)

    delta = np.linalg.norm(registration.delta_obj_mm, axis=1)
    truth = capture.truth
    assert truth is not None
    tiles = [
        ("depth", depth_picture(capture.depth_mm, view)),
        ("mean of the face model", plaster(model.mean)),
        ("S: coarse shape, fitted 3DMM", plaster(registration.coarse_obj_mm)),
        ("picture", image_picture(capture, view)),
        ("S*: registered shape", plaster(registration.shape_obj_mm)),
        (
            "|delta_S| = |S* - S|, blue 0 to red 3 mm",
            side_picture(
                registration.shape_obj_mm,
                model.triangles,
                yaws_deg=yaws,
                height=360,
                error_mm=delta,
                max_mm=3.0,
            ),
        ),
    ]
    return contact_sheet(tiles, columns=3, height=300)


def doubts() -> Array:
    """A good registration, and two whose depth is not what it claims to be."""
    model, capture, found = registered()
    wide = capture.intrinsics.copy()
    wide[[0, 1], [0, 1]] *= 0.75
    cases = (
        ("as it is", capture, found),
        ("depth 1.25 times too large", replace(capture, depth_mm=1.25 * capture.depth_mm), None),
        ("focal length 0.75 of the right one", replace(capture, intrinsics=wide), None),
    )
    rows = []
    for label, taken, done in cases:
        done = done or register_capture(model, taken, BuildConfig())
        registration = done.registration
        view = view_of_points(px_from_cam(registration.vertices_cam_mm, taken.intrinsics))
        assert registration.quality_figures is not None
        said = quality_doubts(registration.quality_figures)
        text = [label, f"quality {registration.quality:.2f}", *(doubt.sentence for doubt in said)]
        tiles = [
            ("picture", image_picture(taken, view)),
            (
                "distance to the depth",
                error_picture(
                    taken,
                    registration.vertices_cam_mm,
                    model.triangles,
                    registration.surface_error_mm,
                    view=view,
                ),
            ),
            (
                "S*",
                side_picture(
                    registration.shape_obj_mm, model.triangles, yaws_deg=(0.0, 90.0), height=360
                ),
            ),
            ("what is said of it", message_card(text, height=360, width=460)),
        ]
        rows.append(contact_sheet(tiles, height=260))
    return joined(rows, 0, 8)


def layers() -> Array:
    """Turned views, and which layer each pixel comes from."""
    model, capture, found = registered()
    config = BuildConfig()
    registration = found.registration
    texture = fit_texture(model, capture, registration, config.texture)
    turns = [CAPTURED, *schedule(registration.pose, config.fullview)]
    turns = sorted((t for t in turns if t.pitch_deg == 0.0), key=lambda t: t.yaw_deg)[-4:]
    cameras = [
        view_camera(model, registration, found.coarse, capture.intrinsics, turn, 1.6, 320)
        for turn in turns
    ]
    rows = []
    for label, method in (("", config.fullview.method), ("face profiling", FACE_PROFILING)):
        settings = replace(config.fullview, method=method)
        mesh = view_mesh(model, capture, registration, settings, config.registration.solver)
        source = Source.of(
            model, capture, registration, mesh, texture, settings, config.registration.solver
        )
        rendered = [render_view(source, camera, settings) for camera in cameras]
        finished = [
            finished_view(source, camera, view, texture, settings).rgb
            for camera, view in zip(cameras, rendered, strict=True)
        ]
        names = [f"yaw {turn.yaw_deg:+.0f} {label}".rstrip() for turn in turns]
        rows.append(list(zip(names, finished, strict=True)))
        if not label:
            rows.append([("where from", mask_picture(view)) for view in rendered])
    sheet = contact_sheet([tile for row in rows for tile in row], columns=len(turns), height=250)
    return joined([sheet, _legend(sheet.shape[1])], 0, 4)


def _legend(width: int) -> Array:
    strip = np.full((34, width, 3), PAPER, np.uint8)
    x = 8
    for name, colour in (
        ("face, seen", SEEN),
        ("face, painted", UNSEEN),
        ("measured surface", MEASURED),
        ("head of the model", SURROUND),
        ("background", BACKGROUND),
    ):
        cv2.rectangle(strip, (x, 8), (x + 18, 26), colour, -1)
        _write(strip, name, (x + 26, 23))
        x += 48 + 9 * len(name)
    return strip


def _write(
    picture: Array, text: str, at: tuple[int, int], colour: tuple[int, int, int] = (30, 30, 34)
) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.55, colour, 1, cv2.LINE_AA)


MAKERS = {"frames": frames, "shapes": shapes, "doubts": doubts, "layers": layers}


def main() -> None:
    """Write the pictures that the arguments name, all without arguments."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help=f"of {', '.join(MAKERS)}; all without")
    names = parser.parse_args().names or list(MAKERS)
    unknown = set(names) - set(MAKERS)
    if unknown:
        parser.error(f"no picture named {', '.join(sorted(unknown))}")
    for name in names:
        picture = MAKERS[name]()
        factor = min(1.0, 1400 / picture.shape[1])
        picture = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
        data = encode_jpeg(picture, 85)
        if len(data) > MOST_BYTES:
            raise ValueError(f"{name}: {len(data)} bytes, more than {MOST_BYTES}")
        file = PICTURES / f"concept-{name}.jpg"
        file.write_bytes(data)
        print(f"wrote {file}")


if __name__ == "__main__":
    main()
