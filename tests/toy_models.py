"""A small made-up face model: an ellipsoid with a nose, smooth random bases, known semantics."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from fg3d_builder.facemodel.model import PARTS, Embedding, FaceModel, check_model

COLUMNS, ROWS = 61, 45
IDENTITIES, EXPRESSIONS = 12, 5


def toy_model(seed: int = 0) -> FaceModel:
    """Return a face of 2,745 vertices, 150 mm wide, with 51 of the 68 points and contour lines.

    Azimuth runs from -105 to 105 degrees, elevation from -80 to 70 degrees, so that there is
    an outline to march along at any yaw up to 60 degrees.
    """
    rng = np.random.default_rng(seed)
    azimuth = np.radians(np.linspace(-105.0, 105.0, COLUMNS))
    elevation = np.radians(np.linspace(-80.0, 70.0, ROWS))
    a, e = np.meshgrid(azimuth, elevation)
    direction = np.stack([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)], axis=-1)
    mean = (direction * [75.0, 105.0, 85.0]).reshape(-1, 3)
    d = direction.reshape(-1, 3)
    mean = mean * (1.0 + _bump(d, [0.0, -0.05, 1.0], 0.16)[:, None] * 0.28)
    for side in (-1.0, 1.0):
        mean = mean * (1.0 - _bump(d, [side * 0.38, 0.25, 0.9], 0.16)[:, None] * 0.08)
    mean = mean * (1.0 - _bump(d, [0.0, -0.38, 0.9], 0.08)[:, None] * 0.04)

    triangles = _grid_triangles()
    id_basis = np.stack([_smooth_field(d, rng, 0.6) for _ in range(IDENTITIES)], axis=2)
    mouth = _bump(d, [0.0, -0.4, 0.9], 0.35)[:, None]
    exp_basis = np.stack(
        [_smooth_field(d, rng, 0.4) * mouth * 8.0 for _ in range(EXPRESSIONS)], axis=2
    )
    n = len(mean)
    front = (np.abs(a) < np.radians(75)) & (e > np.radians(-60)) & (e < np.radians(55))
    model = FaceModel(
        name="toy",
        licence="CC0",
        mean=mean,
        triangles=triangles,
        id_basis=id_basis,
        id_sd=np.linspace(4.0, 1.0, IDENTITIES),
        exp_basis=exp_basis,
        exp_sd=np.full(EXPRESSIONS, 0.4),
        exp_names=tuple(f"e{i}" for i in range(EXPRESSIONS)),
        exp_lower=np.zeros(EXPRESSIONS),
        exp_upper=np.ones(EXPRESSIONS),
        albedo_mean=np.full((n, 3), 0.5),
        albedo_basis=np.zeros((n, 3, 0)),
        albedo_sd=np.zeros(0),
        uv=np.stack(
            np.meshgrid(np.linspace(0, 1, COLUMNS), np.linspace(0, 1, ROWS)), axis=-1
        ).reshape(-1, 2),
        embeddings={"ibug68": _embedding(mean, triangles)},
        edge_points={"ibug68": np.arange(36, 68)},
        contour_lines=_contour_lines(),
        parts=np.zeros(n, dtype=np.uint8),
        rigid=(d[:, 1] > -0.15) & front.ravel(),
        reliable=front.ravel(),
    )
    check_model(model)
    return model


def labelled(model: FaceModel) -> FaceModel:
    """Give the toy face its parts: boxes in the frontal view."""
    x, y, z = model.mean.T
    parts = np.zeros(len(x), dtype=np.uint8)
    front = z > 30
    parts[front & (np.abs(x) < 55) & (y < 20) & (y > -60)] = PARTS.index("cheeks")
    parts[front & (np.abs(x) < 22) & (y < 20) & (y > -30)] = PARTS.index("nose")
    parts[front & (np.abs(x) < 30) & (y < -30) & (y > -60)] = PARTS.index("mouth")
    parts[front & (np.abs(x) < 55) & (y >= 20) & (y < 50)] = PARTS.index("eyes")
    return replace(model, parts=parts)


def _bump(direction: np.ndarray, centre: list[float], width: float) -> np.ndarray:
    axis = np.array(centre) / np.linalg.norm(centre)
    return np.exp(-((direction - axis) ** 2).sum(axis=1) / (2.0 * width**2))


def _smooth_field(direction: np.ndarray, rng: np.random.Generator, width: float) -> np.ndarray:
    """Sum of eight wide bumps with random vectors, of unit root mean square length."""
    field = np.zeros_like(direction)
    for _ in range(8):
        centre = rng.normal(size=3) * [1.0, 1.0, 0.5] + [0.0, 0.0, 0.6]
        field += _bump(direction, list(centre), width)[:, None] * rng.normal(size=3)
    return field / np.sqrt((field**2).sum(axis=1).mean())


def _grid_triangles() -> np.ndarray:
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    a, b = index[:-1, :-1].ravel(), index[:-1, 1:].ravel()
    c, d = index[1:, :-1].ravel(), index[1:, 1:].ravel()
    return np.concatenate([np.stack([a, b, d], 1), np.stack([a, d, c], 1)]).astype(np.int32)


def _contour_lines() -> tuple[np.ndarray, ...]:
    """Half rows from the middle to each side over the lower face; columns down over the chin."""
    index = np.arange(ROWS * COLUMNS).reshape(ROWS, COLUMNS)
    middle = COLUMNS // 2
    lines = []
    for row in range(8, 26, 2):
        lines.append(index[row, middle + 6 :])
        lines.append(index[row, middle - 6 :: -1])
    for column in range(middle - 10, middle + 11, 4):
        lines.append(index[12::-1, column])
    return tuple(line.astype(np.int32) for line in lines)


def _embedding(mean: np.ndarray, triangles: np.ndarray) -> Embedding:
    """Points 17 to 67 in the usual layout, found as the surface points below 2D places (mm)."""
    places = [
        *((x, 48.0 - 0.01 * (abs(x) - 30) ** 2) for x in np.linspace(-55, -12, 5)),
        *((x, 48.0 - 0.01 * (abs(x) - 30) ** 2) for x in np.linspace(12, 55, 5)),
        *((0.0, y) for y in (30.0, 18.0, 7.0, -4.0)),
        *((x, -16.0 + abs(x) * 0.2) for x in np.linspace(-16, 16, 5)),
        *_ring(-32.0, 30.0, 14.0, 5.0, 6),
        *_ring(32.0, 30.0, 14.0, 5.0, 6),
        *_ring(0.0, -42.0, 25.0, 10.0, 12),
        *_ring(0.0, -42.0, 18.0, 4.0, 8),
    ]
    index, weights = [], []
    corners = mean[triangles]
    for place in places:
        found, barycentric = _below(np.array(place), corners)
        index.append(found)
        weights.append(barycentric)
    return Embedding(
        np.arange(17, 68, dtype=np.int32), np.array(index, dtype=np.int32), np.array(weights)
    )


def _ring(x: float, y: float, rx: float, ry: float, count: int) -> list[tuple[float, float]]:
    turn = np.linspace(np.pi, -np.pi, count, endpoint=False)
    return [(x + rx * np.cos(t), y + ry * np.sin(t)) for t in turn]


def _below(place: np.ndarray, corners: np.ndarray) -> tuple[int, np.ndarray]:
    """The front-most triangle over a point of the xy plane, and the coordinates in it."""
    a, b, c = corners[:, 0], corners[:, 1], corners[:, 2]
    u, v, w = b[:, :2] - a[:, :2], c[:, :2] - a[:, :2], place - a[:, :2]
    area = u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]
    area = np.where(np.abs(area) < 1e-9, np.nan, area)
    s = (w[:, 0] * v[:, 1] - w[:, 1] * v[:, 0]) / area
    t = (u[:, 0] * w[:, 1] - u[:, 1] * w[:, 0]) / area
    with np.errstate(invalid="ignore"):
        inside = (s >= 0) & (t >= 0) & (s + t <= 1)
    z = np.where(inside, a[:, 2] + s * (b[:, 2] - a[:, 2]) + t * (c[:, 2] - a[:, 2]), -np.inf)
    best = int(np.argmax(z))
    return best, np.array([1 - s[best] - t[best], s[best], t[best]])
