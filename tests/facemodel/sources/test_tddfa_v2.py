"""3DDFA's files for Python: read as written, nothing run, refused with file and field."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from model_writers_bfm import (
    assert_same_model,
    face_source,
    pickled,
    write_3ddfa_arrays,
    write_3ddfa_v2,
)

from fg3d_builder.facemodel.sources.known import layout_of, read_source

WHITENING = "param_mean_std_62d_120x120.pkl"
FIELDS = ("u", "w_shp", "w_exp", "keypoints")


def table_of(file: Path) -> dict[str, Any]:
    found = pickle.loads(file.read_bytes())
    assert isinstance(found, dict)
    return found


def test_every_field_of_the_pickle_is_what_was_written(tmp_path: Path) -> None:
    wanted = face_source()
    configs = tmp_path / "configs"
    configs.mkdir()
    file = write_3ddfa_v2(configs, wanted)
    for path in (tmp_path, configs, file):
        found = read_source(path)
        assert_same_model(found, wanted, colours="")
        assert found.layout == layout_of(path).name == "3ddfa-v2"
        np.testing.assert_array_equal(found.landmarks68, wanted.landmarks68)
        assert found.uv is not None
        assert wanted.uv is not None
        np.testing.assert_allclose(found.uv, wanted.uv, atol=1e-12)
        assert found.unit_said == "its unit is taken as micrometres: the mean is 205 mm high"


def test_the_slim_pickle_has_its_own_triangles(tmp_path: Path) -> None:
    file = write_3ddfa_v2(tmp_path, face_source())
    table = table_of(file)
    (tmp_path / "tri.pkl").unlink()
    with pytest.raises(ValueError, match=r"v3\.pkl: no tri\.pkl or tri\.mat with its tri"):
        read_source(tmp_path)
    table["tri"] = face_source().polygons.T
    file.unlink()
    pickled(tmp_path / "bfm_noneck_v3_slim.pkl", table)
    # The chart beside both pickles is the other one's, as the number of its places shows.
    assert read_source(tmp_path).uv is not None
    np.save(tmp_path / "indices.npy", np.load(tmp_path / "indices.npy")[1:])
    assert read_source(tmp_path).uv is None
    for name in ("BFM_UV.mat", "indices.npy"):
        (tmp_path / name).unlink()
    found = read_source(tmp_path)
    assert_same_model(found, face_source(), colours="")
    assert found.uv is None


def test_every_array_of_the_first_release_is_what_was_written(tmp_path: Path) -> None:
    wanted = face_source()
    configs = write_3ddfa_arrays(tmp_path, wanted)
    for path in (tmp_path, configs):
        found = read_source(path)
        assert_same_model(found, wanted, colours="")
        np.testing.assert_array_equal(found.landmarks68, wanted.landmarks68)
        assert found.layout == "3ddfa-v2"
        assert found.uv is None


def test_modes_without_a_spread_are_left_out(tmp_path: Path) -> None:
    file = write_3ddfa_v2(tmp_path, face_source())
    table = table_of(file)
    rng = np.random.default_rng(0)
    table["w_shp"] = np.hstack([table["w_shp"], rng.normal(size=(3 * 725, 60)) * 1e-3])
    table["w_exp"] = np.hstack([table["w_exp"], rng.normal(size=(3 * 725, 25)) * 1e-3])
    pickled(file, table)
    found = read_source(tmp_path)
    assert found.id_basis.shape == (725, 3, 40)
    assert found.exp_basis.shape == (725, 3, 10)
    np.testing.assert_allclose(
        found.id_basis[:, :, :6], face_source().id_basis * face_source().id_sd, atol=2e-6
    )
    (tmp_path / WHITENING).unlink()
    with pytest.raises(ValueError, match=f"no {WHITENING} or param_whitening.pkl"):
        read_source(tmp_path)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, tuple[str]]:
            return os.mkdir, (str(tmp_path / "made"),)

    file = write_3ddfa_v2(tmp_path, face_source())
    table = table_of(file)
    pickled(file, {**table, "unused": Evil()})
    assert_same_model(read_source(tmp_path), face_source(), colours="")
    pickled(file, {**table, "u": Evil()})
    with pytest.raises(ValueError, match=r"bfm_noneck_v3\.pkl: field 'u': expected an array"):
        read_source(tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("change", ["missing", "nan", "shape", "huge", "text"])
def test_a_wrong_field_is_named(tmp_path: Path, name: str, change: str) -> None:
    file = write_3ddfa_v2(tmp_path, face_source())
    table = table_of(file)
    values: Any = table.pop(name).astype(np.float64)
    if change == "shape":
        values = values[:-1]
    elif change == "text":
        values = "text"
    else:
        values.reshape(-1)[values.size // 2] = np.nan if change == "nan" else 3e12
    pickled(file, table if change == "missing" else {**table, name: values})
    with pytest.raises(ValueError, match=rf"bfm_noneck_v3\.pkl: field '{name}'") as caught:
        read_source(tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("tri.pkl", np.zeros((3, 4, 2), np.int32), "three corners"),
        ("tri.pkl", np.full((3, 9), 725), "indices 725 to 725, wanted 0 to 724"),
        ("tri.pkl", [1, 2], "expected an array, found list"),
        (WHITENING, [1, 2], "expected a table, found list"),
        (WHITENING, {"mean": np.zeros(62)}, "field 'std' is missing"),
        (WHITENING, {"mean": np.zeros(102), "std": np.zeros(102)}, r"wanted \(62,\)"),
        (WHITENING, {"mean": np.zeros(62), "std": np.full(62, np.nan)}, "not finite"),
        ("indices.npy", np.zeros(700, np.int64), "700 numbers, wanted one a vertex"),
        ("indices.npy", np.full(725, 9999), "indices 9999"),
    ],
)
def test_a_wrong_file_beside_it_is_named(tmp_path: Path, name: str, value: Any, words: str) -> None:
    write_3ddfa_v2(tmp_path, face_source())
    if name.endswith(".npy"):
        np.save(tmp_path / name, value)
    else:
        pickled(tmp_path / name, value)
    with pytest.raises(ValueError, match=f"{name}: .*{words}"):
        read_source(tmp_path)


def test_a_wrong_array_of_the_first_release(tmp_path: Path) -> None:
    configs = write_3ddfa_arrays(tmp_path, face_source())
    rows = np.load(configs / "keypoints_sim.npy")
    np.save(configs / "keypoints_sim.npy", rows + 1)
    with pytest.raises(ValueError, match=r"keypoints_sim\.npy: field 'keypoints': a point begins"):
        read_source(tmp_path)
    (configs / "keypoints_sim.npy").write_bytes(b"something else")
    with pytest.raises(ValueError, match="holds no face model of a known kind"):
        read_source(tmp_path)
    with pytest.raises(ValueError, match=r"keypoints_sim\.npy: no npy file"):
        read_source(tmp_path, "3ddfa-v2")
    np.save(configs / "keypoints_sim.npy", np.array(["x"]))
    with pytest.raises(ValueError, match=r"keypoints_sim\.npy: expected an array of real numbers"):
        read_source(tmp_path)
    (configs / "w_shp_sim.npy").unlink()
    with pytest.raises(ValueError, match="holds no face model of a known kind"):
        read_source(tmp_path)
