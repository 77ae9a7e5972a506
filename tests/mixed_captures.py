"""Five people of the embedded population, each in the files of another kind of source.

| person | kind | what is particular |
|---|---|---|
| 04201 | ``frgc`` | a laser scanner a metre away; the camera is in no file |
| anna | ``record3d`` | two recordings; depth has two thirds of the picture's resolution |
| ben | ``realsense`` | a depth camera beside the colour camera, whole millimetres |
| F0012 | ``bu3dfe`` | a mesh with a photo for its texture, rendered from two sides |
| carl | ``folder`` | two captures of a time-of-flight camera |
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from fg3d_builder.captures.folder import write_capture
from fg3d_builder.captures.lens import Lens
from fg3d_builder.captures.scan_view import scan_camera
from fg3d_builder.captures.synthetic import (
    EXPRESSIONS,
    Scene,
    Subject,
    camera_of,
    draw_scene,
    draw_subject,
    render_capture,
    whole_head,
)
from fg3d_builder.config import SensorConfig, SourceConfig
from fg3d_builder.files.textured_mesh import mesh_with_texture
from fg3d_builder.geometry.camera import cam_from_depth, px_from_cam
from fg3d_builder.records import Array, Capture, Pose
from tests.captures.layouts.phone_writers import Shot, write_r3d
from tests.captures.layouts.scan_writers import write_frgc, write_vrml
from tests.captures.layouts.test_realsense import (
    ROTATION,
    TRANSLATION_MM,
    intrinsics,
    write_json,
    write_picture,
)

STRUCTURED_LIGHT = SensorConfig(kind="structured_light", seed=5)
TIME_OF_FLIGHT = SensorConfig(kind="time_of_flight", seed=5)


class Truth(NamedTuple):
    """What a build of the five must say of a capture.

    Attributes
    ----------
    kind, subject, expression, licence : str
    vertices_cam_mm : (n, 3) float64
        The person's face in the capture's camera, in the topology of the default model.
    """

    kind: str
    subject: str
    expression: str
    licence: str
    vertices_cam_mm: Array


def write_mixture(folder: Path) -> tuple[Path, dict[str, Truth]]:
    """Write captures and preset; return the preset's path and the truth by capture id."""
    truth = {
        **_frgc(folder / "frgc"),
        **_record3d(folder / "phone"),
        **_realsense(folder / "pairs"),
        **_bu3dfe(folder / "BU_3DFE"),
        **_folder(folder / "captures"),
    }
    preset = folder / "mixture.toml"
    preset.write_text(PRESET, encoding="utf-8")
    return preset, truth


def draw(
    seed: int, expression: str, size: tuple[int, int], focal_px: float, distance_mm: float
) -> tuple[SourceConfig, Subject, Scene]:
    """Draw a person, and how they are seen without a sensor's errors."""
    config = SourceConfig(
        image_size=size,
        focal_px=focal_px,
        distance_mm=distance_mm,
        max_yaw_deg=12.0,
        max_pitch_deg=6.0,
        seed=seed,
    )
    subject = draw_subject(seed)
    rng = np.random.default_rng([seed, *expression.encode()])
    scene = draw_scene(config, subject, 0, rng)
    weights = {name: 0.8 * weight for name, weight in EXPRESSIONS.get(expression, {}).items()}
    return config, subject, replace(scene, expression=expression, weights=weights)


def _true_vertices(capture: Capture) -> Array:
    assert capture.truth is not None
    return capture.truth.vertices_cam_mm.astype(np.float64)


def _depth_alone(config: SourceConfig, subject: Subject, scene: Scene, name: str) -> Array:
    """What a depth camera measures whose pictures have another size than the scene's."""
    dark = np.zeros((*config.image_size, 3))
    return render_capture(config, subject, replace(scene, background=dark), name, name).depth_mm


def _frgc(folder: Path) -> dict[str, Truth]:
    """A range image, before nothing: what lies behind the person is out of the scanner's range."""
    config, subject, scene = draw(11, "neutral", (240, 320), 900.0, 1000.0)
    scene = replace(scene, wall=None)
    capture = render_capture(config, subject, scene, "04201d302", "04201")
    grid = cam_from_depth(capture.depth_mm.astype(np.float64), capture.intrinsics)
    write_frgc(folder / "Fall2003range", "04201d302", "04201d303", True, grid, capture.rgb)
    truth = Truth("frgc", "04201", "unlabelled", "FRGC", _true_vertices(capture))
    return {"04201d302": truth}


def _record3d(folder: Path) -> dict[str, Truth]:
    """A phone held upright, at arm's length; three pixels of the picture to two samples."""
    found = {}
    for expression in ("neutral", "surprise"):
        config, subject, scene = draw(12, expression, (480, 360), 400.0, 380.0)
        small = replace(
            config, image_size=(320, 240), focal_px=400.0 / 1.5, sensor=STRUCTURED_LIGHT
        )
        name = f"anna_{expression}"
        colour = render_capture(config, subject, scene, name, "anna")
        shot = Shot(colour.rgb, colour.depth_mm, colour.intrinsics)
        write_r3d(folder / f"{name}.r3d", shot, [_depth_alone(small, subject, scene, name)])
        truth = Truth("record3d", "anna", expression, "anna's own", _true_vertices(colour))
        found[f"{name}-00000"] = truth
    return found


def _realsense(folder: Path) -> dict[str, Truth]:
    """Two cameras of one device; the one that measures depth has a wider view."""
    config, subject, scene = draw(13, "smile", (360, 480), 560.0, 480.0)
    colour = render_capture(config, subject, scene, "ben", "ben")
    wide = replace(config, image_size=(300, 400), focal_px=400.0, sensor=STRUCTURED_LIGHT)
    depth = _depth_alone(wide, subject, _from_beside(scene), "ben")
    table = {
        "color": intrinsics(Lens(camera_of(config), config.image_size)),
        "depth": intrinsics(Lens(camera_of(wide), wide.image_size)),
        "depth_to_color": {
            "rotation": ROTATION.T.ravel().tolist(),
            "translation": (TRANSLATION_MM / 1000).tolist(),
        },
        "depth_scale": 0.001,
    }
    recording = folder / "ben/smile"
    write_json(recording / "intrinsics.json", table)
    write_picture(recording / "color_1.png", colour.rgb)
    write_picture(recording / "depth_1.png", np.rint(np.nan_to_num(depth)).astype(np.uint16))
    truth = Truth("realsense", "ben", "smile", "ben's own", _true_vertices(colour))
    return {"ben-smile-1": truth}


def _from_beside(scene: Scene) -> Scene:
    """A scene in the frame of the depth camera, ``x_colour = ROTATION x_depth + TRANSLATION``."""
    pose, wall = scene.pose, scene.wall
    moved = Pose(
        pose.scale, ROTATION.T @ pose.rotation, ROTATION.T @ (pose.translation_mm - TRANSLATION_MM)
    )
    if wall is not None:
        wall = wall @ ROTATION / (1.0 - wall @ TRANSLATION_MM)
    return replace(scene, pose=moved, wall=wall)


def _bu3dfe(folder: Path) -> dict[str, Truth]:
    """A head as a mesh; the photo that is its texture is taken from the front."""
    config, subject, scene = draw(14, "smile", (640, 640), 900.0, 550.0)
    photo = render_capture(config, subject, scene, "photo", "F0012")
    assert photo.truth is not None
    face = photo.truth.shape_obj_mm.astype(np.float64)
    vertices, triangles, _ = whole_head(subject, face)
    column, row = px_from_cam(scene.pose.cam_from_obj(vertices), photo.intrinsics).T
    height, width = config.image_size
    uv = np.stack([(column + 0.5) / width, 1.0 - (row + 0.5) / height], axis=1)
    mesh = mesh_with_texture(vertices, triangles, uv, photo.rgb)
    stem = folder / "F0012/F0012_HA04WH_F3D"
    write_vrml(stem.with_suffix(".wrl"), mesh, "F0012_HA04WH_F3D.bmp")
    Image.fromarray(photo.rgb).save(stem.with_suffix(".bmp"))
    seen = SourceConfig(kind="bu3dfe", image_size=(320, 240), focal_px=450.0)
    found = {}
    for view in ((0.0, 0.0), (0.0, 15.0)):
        pose, _ = scan_camera(seen, view, mesh)
        truth = Truth("bu3dfe", "F0012", "happiness-4", "BU-3DFE", pose.cam_from_obj(face))
        found[f"F0012_HA04WH_pitch0_yaw{view[1]:g}"] = truth
    return found


def _folder(folder: Path) -> dict[str, Truth]:
    found = {}
    for expression in ("neutral", "pucker"):
        config, subject, scene = draw(15, expression, (320, 240), 450.0, 550.0)
        config = replace(config, sensor=TIME_OF_FLIGHT)
        name = f"carl-{expression}"
        capture = render_capture(config, subject, scene, name, "carl")
        write_capture(folder / name, replace(capture, licence="CC BY 4.0"))
        truth = Truth("folder", "carl", expression, "CC BY 4.0", _true_vertices(capture))
        found[name] = truth
    return found


PRESET = """
name = "mixture"
chunk_size = 1
max_failure_rate = 0.0

[[sources]]
kind = "frgc"
path = "frgc"
licence = "FRGC"

[[sources]]
kind = "record3d"
path = "phone"
licence = "anna's own"

[[sources]]
kind = "realsense"
path = "pairs"
licence = "ben's own"

[[sources]]
kind = "bu3dfe"
path = "BU_3DFE"
licence = "BU-3DFE"
image_size = [320, 240]
focal_px = 450.0
views = [[0, 0], [0, 15]]

[[sources]]
kind = "folder"
path = "captures"

[fullview]
yaw_steps_deg = [20.0]
pitch_steps_deg = []

[transform]
# Five subjects are too few to take parts from each other.
shapes_per_capture = 0

[shards]
image_size = 96
samples_per_shard = 6
test_fraction = 0.4
split_salt = "mixture"
"""
