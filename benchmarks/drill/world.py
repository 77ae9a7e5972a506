"""The small world that the drill builds: an ellipsoid with a nose, its captures, a preset.

Nothing here is drawn from the population of the default model: a build of six captures takes
seconds, and has every kind of product.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from fg3d_builder.captures.folder import write_capture
from fg3d_builder.facemodel.arrays import from_arrays
from fg3d_builder.facemodel.model import PARTS, Embedding, FaceModel
from fg3d_builder.facemodel.storage import save_model
from fg3d_builder.files.mesh_io import TexturedMesh, mesh_with_colors, mesh_with_texture
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, Landmarks, Pose
from fg3d_builder.rendering.rasterizer import interpolate, rasterize

HEIGHT, WIDTH = 120, 160
INTRINSICS = intrinsics_matrix(225.0, 225.0, 79.5, 59.5)
COLUMNS, ROWS = 41, 31
DISTANCE_MM = 550.0
SUBJECTS = 6

PRESET = """\
name = "drill"
chunk_size = 3
max_failure_rate = 0.0

[facemodel]
model = "model.h5"

[landmarks]
detector = "annotation"

[fit]
iterations = 4
use_appearance = false

[registration]
levels = [
  {{ stiffness = 50.0, edge_weight = 5.0, iterations = 1 }},
  {{ stiffness = 5.0, edge_weight = 2.0, iterations = 1 }},
]

[texture]
vertices = 300
min_vertices = 30
iterations = 4

[fullview]
yaw_steps_deg = [{yaw_steps}]
pitch_steps_deg = []

[transform]
shapes_per_capture = {shapes}

[review]
min_quality = 0.0

[shards]
image_size = {image_size}
samples_per_shard = 12
test_fraction = 0.17
split_salt = "{salt}"

[[sources]]
kind = "folder"
path = "captures"
include = ["{include}"]
"""

SALT = "drill3"


def drill_model() -> FaceModel:
    """Return a face of 1,271 vertices, 150 mm wide, with 51 of the 68 points."""
    azimuth, elevation = np.meshgrid(
        np.radians(np.linspace(-105.0, 105.0, COLUMNS)), np.radians(np.linspace(-80.0, 70.0, ROWS))
    )
    across, up = np.cos(elevation) * np.sin(azimuth), np.sin(elevation)
    direction = np.stack([across, up, np.cos(elevation) * np.cos(azimuth)], axis=-1).reshape(-1, 3)
    nose = _bump(direction, (0.0, -0.05, 1.0), 0.2)
    mean = direction * [75.0, 105.0, 85.0] * (1.0 + 0.28 * nose[:, None])
    triangles = _grid_triangles()
    x, y, z = mean.T
    front = z > 30
    parts = np.zeros(len(mean), np.uint8)
    for part, inside in (
        ("cheeks", (np.abs(x) < 55) & (y < 20) & (y > -60)),
        ("nose", (np.abs(x) < 22) & (y < 20) & (y > -30)),
        ("mouth", (np.abs(x) < 30) & (y < -30) & (y > -60)),
        ("eyes", (np.abs(x) < 55) & (y >= 20) & (y < 50)),
    ):
        parts[front & inside] = PARTS.index(part)
    rng = np.random.default_rng(0)
    mouth = _bump(direction, (0.0, -0.4, 0.9), 0.35)[:, None, None]
    points = _points_on(mean, triangles)
    reliable = (np.abs(x) < 60) & (y > -70) & (y < 80) & (z > 10)
    return from_arrays(
        mean,
        triangles,
        np.stack([_smooth(direction, rng) for _ in range(6)], axis=2),
        np.linspace(4.0, 1.5, 6),
        name="drill",
        licence="CC0",
        exp_basis=np.stack([_smooth(direction, rng) for _ in range(3)], axis=2) * 6.0 * mouth,
        exp_sd=np.full(3, 0.4),
        exp_names=("a", "b", "c"),
        exp_lower=np.zeros(3),
        exp_upper=np.ones(3),
        uv=np.stack(
            np.meshgrid(np.linspace(0, 1, COLUMNS), np.linspace(0, 1, ROWS)), axis=-1
        ).reshape(-1, 2),
        # Under the name of MediaPipe as well: else a detector is shown the ellipsoid.
        embeddings={"ibug68": points, "mediapipe478": points},
        edge_points={"ibug68": np.arange(36, 68)},
        contour_lines=_lines(),
        parts=parts,
        rigid=reliable & (y > -20),
        reliable=reliable,
    )


def drill_capture(model: FaceModel, subject: int, size: tuple[int, int] = (0, 0)) -> Capture:
    """Render one subject, with landmarks; `size` is height and width, by default small."""
    height, width = size if size[0] else (HEIGHT, WIDTH)
    scale = width / WIDTH
    camera = intrinsics_matrix(
        INTRINSICS[0, 0] * scale, INTRINSICS[1, 1] * scale, (width - 1) / 2, (height - 1) / 2
    )
    rng = np.random.default_rng([7, subject])
    alpha_id = model.id_sd * rng.normal(size=len(model.id_sd))
    alpha_exp = rng.uniform(0, 0.5, len(model.exp_sd))
    turn = rotation_from_angles(*rng.uniform(-12, 12, 3))
    vertices = Pose(1.0, turn, np.array([0.0, 0.0, DISTANCE_MM])).cam_from_obj(
        model.shape(alpha_id, alpha_exp)
    )
    fragments = rasterize(vertices, model.triangles, camera, height, width)
    normals = vertex_normals(vertices, model.triangles)
    shade = np.clip(-interpolate(fragments, model.triangles, normals)[..., 2:], 0, 1)
    skin = np.array([70.0, 45.0, 35.0]) + shade * [160.0, 145.0, 135.0]
    rgb = np.where((fragments.triangle >= 0)[..., None], skin, [25.0, 45.0, 80.0])
    rgb = np.clip(rgb + 3 * rng.normal(size=rgb.shape), 0, 255).astype(np.uint8)
    noise = 0.3 * rng.normal(size=(height, width)).astype(np.float32)
    embedding = model.embeddings["ibug68"]
    points, confidence = np.zeros((68, 2)), np.zeros(68)
    points[embedding.point_index] = px_from_cam(embedding.points(vertices, model.triangles), camera)
    confidence[embedding.point_index] = 1.0
    return Capture(
        capture_id=f"s{subject}",
        subject_id=f"s{subject}",
        source="folder",
        rgb=rgb,
        depth_mm=fragments.depth_mm + noise,
        intrinsics=camera,
        licence="CC0",
        landmarks=Landmarks("ibug68", points, confidence, "annotation"),
    )


def drill_mesh(textured: bool = False) -> TexturedMesh:
    """Return a coarse patch of the face as a scan: 35 vertices, coloured or with a texture."""
    number = np.arange(COLUMNS * ROWS).reshape(ROWS, COLUMNS)[5:26:5, 8:33:4]
    vertices = drill_model().mean[number.ravel()]
    rows, columns = number.shape
    triangles = _grid_triangles(rows, columns)
    shade = np.linspace(60, 200, len(vertices)).astype(np.uint8)
    if not textured:
        return mesh_with_colors(vertices, triangles, np.stack([shade] * 3, axis=1))
    grid = np.meshgrid(np.linspace(0, 1, columns), np.linspace(0, 1, rows))
    texture = np.broadcast_to(np.arange(8, dtype=np.uint8)[:, None, None] * 30, (8, 8, 3)).copy()
    return mesh_with_texture(vertices, triangles, np.stack(grid, -1).reshape(-1, 2), texture)


def write_world(folder: Path, subjects: int = SUBJECTS, shapes: int = 1) -> Path:
    """Write face model, captures and preset into a folder; return the preset's path."""
    model = drill_model()
    folder.mkdir(parents=True, exist_ok=True)
    save_model(model, folder / "model.h5")
    for subject in range(subjects):
        capture = drill_capture(model, subject)
        write_capture(folder / "captures" / capture.capture_id, capture)
    return write_preset(folder / "drill.toml", shapes)


def write_preset(
    path: Path, shapes: int = 1, image_size: int = 32, include: str = "*", yaw_steps: str = "25.0"
) -> Path:
    """Write a preset beside ``captures`` and ``model.h5``; return its path."""
    text = PRESET.format(
        shapes=shapes, image_size=image_size, salt=SALT, include=include, yaw_steps=yaw_steps
    )
    path.write_text(text, encoding="utf-8")
    return path


def _bump(direction: Array, centre: tuple[float, float, float], width: float) -> Array:
    axis = np.array(centre) / np.linalg.norm(centre)
    return np.exp(-((direction - axis) ** 2).sum(axis=1) / (2.0 * width**2))


def _smooth(direction: Array, rng: np.random.Generator) -> Array:
    """Sum of six wide bumps with random vectors, of unit root mean square length."""
    field = np.zeros_like(direction)
    for _ in range(6):
        centre = rng.normal(size=3) * [1.0, 1.0, 0.5] + [0.0, 0.0, 0.6]
        bump = _bump(direction, (centre[0], centre[1], centre[2]), 0.6)
        field += bump[:, None] * rng.normal(size=3)
    return field / np.sqrt((field**2).sum(axis=1).mean())


def _grid_triangles(rows: int = ROWS, columns: int = COLUMNS) -> Array:
    index = np.arange(rows * columns).reshape(rows, columns)
    a, b = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    c, d = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    return np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)]).astype(np.int32)


def _lines() -> tuple[Array, ...]:
    """Half rows from the middle to each side over the lower face."""
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    middle = COLUMNS // 2
    rows = range(6, 18, 2)
    lines = [(index[row, middle + 4 :], index[row, middle - 4 :: -1]) for row in rows]
    return tuple(line.astype(np.int32) for pair in lines for line in pair)


def _points_on(mean: Array, triangles: Array) -> Embedding:
    """Points 17 to 67 in the usual layout, at the triangles nearest to places in the xy plane."""
    ring = np.linspace(0, 2 * np.pi, 13)[:-1]
    places = [
        *((x, 46.0) for x in np.linspace(-55, -12, 5)),
        *((x, 46.0) for x in np.linspace(12, 55, 5)),
        *((0.0, y) for y in (30.0, 18.0, 7.0, -4.0)),
        *((x, -16.0) for x in np.linspace(-16, 16, 5)),
        *((-32 - 14 * np.cos(t), 30 + 5 * np.sin(t)) for t in ring[::2]),
        *((32 - 14 * np.cos(t), 30 + 5 * np.sin(t)) for t in ring[::2]),
        *((-24 * np.cos(t), -42 + 9 * np.sin(t)) for t in ring),
        *((-18 * np.cos(t), -42 + 4 * np.sin(t)) for t in np.linspace(0, 2 * np.pi, 9)[:-1]),
    ]
    centres = mean[triangles].mean(axis=1)
    plane = np.where(centres[:, 2:] > 0, centres[:, :2], 1e6)
    nearest = ((np.array(places)[:, None] - plane[None]) ** 2).sum(axis=2).argmin(axis=1)
    third = np.full((len(places), 3), 1.0 / 3.0)
    return Embedding(np.arange(17, 68, dtype=np.int32), nearest.astype(np.int32), third)
