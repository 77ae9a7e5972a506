"""Files in the layouts of the Basel Face Model and its descendants, written from a `ModelSource`.

Every writer takes any model and writes the file that its makers would have published of it:
their names, shapes, types, orders, units and first indices. Bases become unit columns with
deviations of their own, so that a file read again has the same modes at one standard deviation.
"""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
from scipy.io import savemat
from scipy.sparse import csc_matrix

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.sources.source import ModelSource, check_source
from fg3d_builder.rendering.shading import linear_per_srgb

MICROMETRES = 1000.0
SEGMENTS = ("nose", "eyes", "mouth", "rest")
COLUMNS, ROWS = 25, 29


def face_source() -> ModelSource:
    """Return an ellipsoid with a nose, of 725 vertices, with all that these files can hold."""
    rng = np.random.default_rng(12)
    azimuth = np.radians(np.linspace(-100.0, 100.0, COLUMNS))
    elevation = np.radians(np.linspace(-80.0, 75.0, ROWS))
    a, e = (grid.ravel() for grid in np.meshgrid(azimuth, elevation))
    round_ = np.stack([np.cos(e) * np.sin(a), np.sin(e), np.cos(e) * np.cos(a)], axis=1)
    nose = np.exp(-np.sum((round_[:, :2] - [0.0, -0.05]) ** 2, axis=1) / 0.02)
    mean = round_ * [75.0, 105.0, 85.0] + [2.0, -3.0, 30.0]
    mean[:, 2] += 25.0 * nose
    column, row = np.meshgrid(np.arange(COLUMNS - 1), np.arange(ROWS - 1))
    corner = (row * COLUMNS + column).ravel()
    right, up = corner + 1, corner + COLUMNS
    triangles = np.concatenate(
        [np.stack([corner, right, up], axis=1), np.stack([right, up + 1, up], axis=1)]
    ).astype(np.int32)
    n = len(mean)
    inside = np.stack([nose > 0.3, (e > 0.2) & (e < 0.5), (e < -0.3) & (e > -0.6)], axis=1)
    inside = np.column_stack([inside, ~inside.any(axis=1)])
    return ModelSource(
        layout="written",
        name="written",
        licence="CC0",
        mean=mean,
        polygons=triangles,
        id_basis=rng.normal(size=(n, 3, 6)),
        id_sd=np.linspace(2.0, 0.5, 6),
        exp_basis=rng.normal(size=(n, 3, 4)),
        exp_sd=np.linspace(1.0, 0.2, 4),
        albedo_mean=rng.uniform(0.01, 0.9, (n, 3)),
        albedo_basis=rng.normal(size=(n, 3, 5)) * 0.02,
        albedo_sd=np.linspace(1.0, 0.3, 5),
        uv=np.stack([0.5 + a / 4, 0.5 + e / 4], axis=1)[triangles],
        landmarks68=_landmarks(mean),
        groups={
            f"skin_{name}": np.flatnonzero(inside[:, k]).astype(np.int32)
            for k, name in enumerate(SEGMENTS)
        },
    )


def _landmarks(mean: np.ndarray) -> np.ndarray:
    """Vertices nearest to a face's 68 points as it is seen from the front, mm."""

    def row(x: list[float], y: list[float]) -> list[tuple[float, float]]:
        return list(zip(x, y, strict=True))

    turn = np.linspace(np.pi, 2 * np.pi, 17)
    places = row(list(72 * np.cos(turn)), list(10 + 90 * np.sin(turn)))
    places += row(list(np.linspace(-50, -12, 5)), [45.0] * 5)
    places += row(list(np.linspace(12, 50, 5)), [45.0] * 5)
    places += row([0.0] * 4, [30.0, 20.0, 10.0, -5.0]) + row(
        list(np.linspace(-14, 14, 5)), [-18] * 5
    )
    for side in (-1, 1):
        x = np.array([-14, -7, 7, 14, 7, -7]) + side * 31
        places += row(list(x), [28.0, 34.0, 34.0, 28.0, 22.0, 22.0])
    for width, height, count in ((24.0, 9.0, 12), (16.0, 4.0, 8)):
        around = np.pi - 2 * np.pi * np.arange(count) / count
        places += row(list(width * np.cos(around)), list(-45 + height * np.sin(around)))
    flat = mean[:, :2] - [2.0, -3.0]
    seen = np.where(mean[:, 2] > 30.0, 0.0, 1e6)
    apart = [np.hypot(*(flat - place).T) + seen for place in places]
    return np.array([int(d.argmin()) for d in apart], np.int32)


def head_source(model: FaceModel, identities: int = 20, expressions: int = 10) -> ModelSource:
    """Return a face model as a file would have it, with its first modes."""
    points = model.embedded("ibug68", range(68)).points(model.mean, model.triangles)
    apart = [np.linalg.norm(model.mean - point, axis=1) for point in points]
    return ModelSource(
        layout="embedded",
        name=model.name,
        licence=model.licence,
        mean=model.mean,
        polygons=model.triangles,
        id_basis=model.id_basis[:, :, :identities],
        id_sd=model.id_sd[:identities],
        exp_basis=model.exp_basis[:, :, :expressions],
        exp_sd=model.exp_sd[:expressions],
        albedo_mean=model.albedo_mean,
        albedo_basis=model.albedo_basis,
        albedo_sd=model.albedo_sd,
        landmarks68=np.array([int(d.argmin()) for d in apart], np.int32),
    )


def srgb(linear: np.ndarray) -> np.ndarray:
    """Encode linear light without rounding."""
    low = linear <= 0.04045 / 12.92
    return np.where(low, 12.92 * linear, 1.055 * np.maximum(linear, 1e-9) ** (1 / 2.4) - 0.055)


def columns(basis: np.ndarray, sd: np.ndarray, unit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return unit columns (3 n, k) and their deviations (k,), in the file's unit."""
    scaled = (basis * sd).reshape(-1, len(sd)) * unit
    length = np.linalg.norm(scaled, axis=0)
    return scaled / np.where(length > 0, length, 1.0), length


def _colours(source: ModelSource, white: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return mean (3 n,), unit columns and deviations in sRGB; grey where a model has none."""
    n = len(source.mean)
    linear = np.full((n, 3), 0.4) if source.albedo_mean is None else source.albedo_mean
    mean = srgb(linear)
    if source.albedo_basis is None or source.albedo_sd is None or not len(source.albedo_sd):
        return white * mean.ravel(), np.zeros((3 * n, 1)), np.zeros(1)
    modes = source.albedo_basis / linear_per_srgb(mean)[:, :, None]
    return white * mean.ravel(), *columns(modes, source.albedo_sd, white)


def _single(array: np.ndarray, tall: bool = False) -> np.ndarray:
    return np.asarray(array, np.float32).reshape(-1, 1) if tall else np.asarray(array, np.float32)


def _segbin(source: ModelSource) -> np.ndarray:
    inside = np.zeros((len(source.mean), 4))
    for k, name in enumerate(SEGMENTS):
        inside[source.groups.get(f"skin_{name}", np.zeros(0, int)), k] = 1
    return inside


def bfm2009_fields(source: ModelSource) -> dict[str, np.ndarray]:
    """Return the variables of ``01_MorphableModel.mat``."""
    basis, sd = columns(source.id_basis, source.id_sd, MICROMETRES)
    colour, texture, texture_sd = _colours(source, 255.0)
    return {
        "segMM": csc_matrix(np.eye(4)),
        "segbin": _segbin(source),
        "shapeEV": _single(sd, True),
        "shapeMU": _single(MICROMETRES * source.mean, True),
        "shapePC": _single(basis),
        "texEV": _single(texture_sd, True),
        "texMU": _single(colour, True),
        "texPC": _single(texture),
        "tl": source.triangles[:, [0, 2, 1]] + 1.0,
    }


def write_bfm2009(folder: Path, source: ModelSource) -> Path:
    """Write ``01_MorphableModel.mat`` of 2009; it has no expressions and no landmarks."""
    file = folder / "01_MorphableModel.mat"
    savemat(file, bfm2009_fields(source), do_compression=True)
    return file


def write_bfm_hdf5(
    folder: Path,
    source: ModelSource,
    name: str = "model2017-1_bfm_nomouth.h5",
    landmarks: dict[str, int] | None = None,
    version: tuple[int, int] = (0, 9),
) -> Path:
    """Write a model of 2017 or 2019; `landmarks` are vertices by name."""
    rng = np.random.default_rng(5)
    expression_mean = 0.3 * rng.normal(size=source.mean.shape) * bool(len(source.exp_sd))
    neutral = source.mean - expression_mean
    with h5py.File(folder / name, "w") as file:
        parts = [("shape", neutral.ravel(), *columns(source.id_basis, source.id_sd, 1.0))]
        if len(source.exp_sd):
            basis, sd = columns(source.exp_basis, source.exp_sd, 1.0)
            parts.append(("expression", expression_mean.ravel(), basis, sd))
        if source.albedo_mean is not None:
            parts.append(("color", *_colours(source, 1.0)))
            file["color/representer/colorspace"] = "RGB"
        for part, mean, basis, sd in parts:
            stored = basis if version != (0, 8) else basis * sd
            file[f"{part}/model/mean"] = _single(mean)
            file[f"{part}/model/pcaBasis"] = _single(stored)
            file[f"{part}/model/pcaVariance"] = _single(sd**2)
            file[f"{part}/model/noiseVariance"] = np.float32(0)
            file[f"{part}/version/majorVersion"], file[f"{part}/version/minorVersion"] = version
            file[f"{part}/representer/cells"] = source.triangles.T.astype(np.int32)
            file[f"{part}/representer/points"] = _single(neutral.T)
        if landmarks is not None:
            rows = [{"id": k, "coordinates": neutral[v].tolist()} for k, v in landmarks.items()]
            file["metadata/landmarks/json"] = json.dumps(rows)
    return folder / name


def keypoints(source: ModelSource) -> np.ndarray:
    """Return the 68 points of a model that has them."""
    if source.landmarks68 is None:
        raise ValueError("these files name the 68 points, which the model does not have")
    return source.landmarks68


def tddfa_fields(source: ModelSource) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return the variables of ``Model_Shape.mat`` and of ``Model_Exp.mat``."""
    rng = np.random.default_rng(6)
    mu_exp = 0.3 * rng.normal(size=source.mean.size)
    basis, sd = columns(source.id_basis, source.id_sd, MICROMETRES)
    exp_basis, exp_sd = columns(source.exp_basis, source.exp_sd, MICROMETRES)
    colour, texture, _ = _colours(source, 255.0)
    shape = {
        "keypoints": keypoints(source)[None] + 1.0,
        "mu_shape": _single(MICROMETRES * (source.mean.ravel() - mu_exp), True),
        "mu_tex": _single(colour, True),
        "segbin": _segbin(source),
        "sigma": _single(sd, True),
        "tri": source.triangles[:, [0, 2, 1]].T + 1.0,
        "w": _single(basis),
        "w_tex": _single(texture),
    }
    # FaceWarehouse's columns are long, and their coefficients small.
    expressions = {
        "mu_exp": (MICROMETRES * mu_exp)[:, None],
        "sigma_exp": exp_sd[:, None] / 5e4,
        "w_exp": exp_basis * 5e4,
    }
    return shape, expressions


def write_3ddfa(folder: Path, source: ModelSource, basel: bool = False) -> Path:
    """Write ``Model_Shape.mat`` and ``Model_Exp.mat``.

    With `basel` also ``01_MorphableModel.mat``, from which the colours' deviations come.
    """
    shape, expressions = tddfa_fields(source)
    savemat(folder / "Model_Shape.mat", shape, do_compression=True)
    savemat(folder / "Model_Exp.mat", expressions, do_compression=True)
    if basel:
        write_bfm2009(folder, source)
    return folder / "Model_Shape.mat"


def _rows(points: np.ndarray) -> np.ndarray:
    """Rows of x, y and z of one point after the other."""
    return (3 * points[:, None] + np.arange(3)).ravel()


def _whitening(sds: tuple[np.ndarray, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Means and deviations of 62 parameters, whose root mean squares are given."""
    spread = np.ones(62)
    spread[12 : 12 + len(sds[0])], spread[52 : 52 + len(sds[1])] = sds
    return (0.6 * spread).astype(np.float32), (0.8 * spread).astype(np.float32)


def _first(source: ModelSource) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Columns and deviations of the first 40 shapes and 10 expressions."""
    basis, sd = columns(source.id_basis[:, :, :40], source.id_sd[:40], MICROMETRES)
    exp_basis, exp_sd = columns(source.exp_basis[:, :, :10], source.exp_sd[:10], MICROMETRES)
    return basis, sd, exp_basis * 5e4, exp_sd / 5e4


def pickled(path: Path, value: object) -> Path:
    path.write_bytes(pickle.dumps(value, protocol=4))
    return path


def write_3ddfa_v2(folder: Path, source: ModelSource) -> Path:
    """Write ``bfm_noneck_v3.pkl`` and what lies beside it in ``configs``."""
    basis, sd, exp_basis, exp_sd = _first(source)
    n = len(source.mean)
    clockwise = source.triangles[:, [0, 2, 1]].T
    table = {
        "u": _single(MICROMETRES * source.mean, True),
        "w_shp": _single(basis),
        "w_exp": _single(exp_basis),
        "keypoints": _rows(keypoints(source)).astype(np.int64),
        "tri": (clockwise + n // 2).astype(np.int32),  # of a larger cut, as published
    }
    mean, std = _whitening((sd, exp_sd))
    pickled(folder / "param_mean_std_62d_120x120.pkl", {"mean": mean, "std": std})
    pickled(folder / "tri.pkl", clockwise.astype(np.int32))
    if source.uv is not None:
        chart = np.zeros((n + 3, 2))
        rows = np.arange(n)[::-1]
        chart[rows[source.triangles[: len(source.uv)].ravel()]] = source.uv.reshape(-1, 2)
        savemat(folder / "BFM_UV.mat", {"UV": chart})
        np.save(folder / "indices.npy", rows)
    return pickled(folder / "bfm_noneck_v3.pkl", table)


def write_3ddfa_arrays(folder: Path, source: ModelSource) -> Path:
    """Write the arrays of the first PyTorch release; return the folder that holds them."""
    configs, visualize = folder / "train.configs", folder / "visualize"
    configs.mkdir(parents=True)
    visualize.mkdir()
    basis, sd, exp_basis, exp_sd = _first(source)
    u_exp = 0.3 * np.random.default_rng(7).normal(size=(source.mean.size, 1))
    np.save(configs / "u_shp.npy", _single(MICROMETRES * (source.mean.reshape(-1, 1) - u_exp)))
    np.save(configs / "u_exp.npy", MICROMETRES * u_exp)
    np.save(configs / "w_shp_sim.npy", _single(basis))
    np.save(configs / "w_exp_sim.npy", exp_basis)
    np.save(configs / "keypoints_sim.npy", _rows(keypoints(source)).astype(np.int64))
    mean, std = _whitening((sd, exp_sd))
    pickled(configs / "param_whitening.pkl", {"param_mean": mean, "param_std": std})
    savemat(visualize / "tri.mat", {"tri": source.triangles[:, [0, 2, 1]].T + 1.0})
    return configs


def assert_same_model(found: ModelSource, wanted: ModelSource, colours: str = "modes") -> None:
    """Hold a model that was read against the one that was written, to single precision.

    `colours` is what the file has of them: ``"modes"``, ``"mean"`` or ``""``.
    """
    check_source(found)
    np.testing.assert_allclose(found.mean, wanted.mean, atol=2e-5)
    np.testing.assert_array_equal(found.polygons, wanted.triangles)
    assert found.polygons.dtype == np.int32
    for basis in (found.mean, found.id_basis, found.exp_basis):
        assert basis.dtype == np.float64
    identity = wanted.id_basis * wanted.id_sd
    np.testing.assert_allclose(found.id_basis * found.id_sd, identity, atol=2e-6)
    if found.exp_basis.shape[2]:
        expression = wanted.exp_basis * wanted.exp_sd
        np.testing.assert_allclose(found.exp_basis * found.exp_sd, expression, atol=2e-6)
    assert (found.albedo_mean is not None) == bool(colours)
    assert (found.albedo_basis is not None) == (colours == "modes")
    if colours:
        assert found.albedo_mean is not None
        assert wanted.albedo_mean is not None
        np.testing.assert_allclose(found.albedo_mean, wanted.albedo_mean, atol=1e-6)
    if colours == "modes":
        assert wanted.albedo_basis is not None
        assert wanted.albedo_sd is not None
        assert found.albedo_basis is not None
        assert found.albedo_sd is not None
        colour = wanted.albedo_basis * wanted.albedo_sd
        np.testing.assert_allclose(found.albedo_basis * found.albedo_sd, colour, atol=1e-7)
