"""3DDFA's MATLAB files: read as written, refused with file and field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from model_writers_bfm import (
    MICROMETRES,
    assert_same_model,
    face_source,
    tddfa_fields,
    write_3ddfa,
    write_bfm2009,
)
from scipy.io import savemat

from fg3d_builder.facemodel.sources.known import layout_of, read_source

SHAPE_FIELDS = ("mu_shape", "w", "sigma", "tri", "keypoints")
EXP_FIELDS = ("mu_exp", "w_exp", "sigma_exp")


def save(folder: Path, shape: dict[str, np.ndarray], expressions: dict[str, np.ndarray]) -> Path:
    savemat(folder / "Model_Shape.mat", shape)
    savemat(folder / "Model_Exp.mat", expressions)
    return folder


def test_every_field_is_what_was_written(tmp_path: Path) -> None:
    wanted = face_source()
    file = write_3ddfa(tmp_path, wanted)
    for path in (tmp_path, file):
        found = read_source(path)
        assert_same_model(found, wanted, colours="mean")
        assert found.layout == layout_of(path).name == "3ddfa"
        np.testing.assert_array_equal(found.landmarks68, wanted.landmarks68)
        assert found.unit_said == "its unit is taken as micrometres: the mean is 205 mm high"
        for name, vertices in found.groups.items():
            np.testing.assert_array_equal(vertices, wanted.groups[name])


def test_expressions_may_lie_above_under_their_other_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inner = tmp_path / "ModelGeneration"
    inner.mkdir()
    write_3ddfa(inner, face_source())
    (inner / "Model_Exp.mat").rename(tmp_path / "Model_Expression.mat")
    assert_same_model(read_source(inner), face_source(), colours="mean")
    with monkeypatch.context() as within:
        within.chdir(inner)
        for path in ("Model_Shape.mat", "."):
            assert_same_model(read_source(Path(path)), face_source(), colours="mean")
    (tmp_path / "Model_Expression.mat").unlink()
    with pytest.raises(ValueError, match=r"Model_Shape\.mat: no Model_Exp\.mat or Model_Expr"):
        read_source(inner)


def test_the_model_of_2009_beside_it_gives_what_the_release_lacks(tmp_path: Path) -> None:
    wanted = face_source()
    shape, expressions = tddfa_fields(wanted)
    del shape["sigma"]
    save(tmp_path, shape, expressions)
    with pytest.raises(ValueError, match=r"Model_Shape\.mat: field 'sigma' is missing"):
        read_source(tmp_path)
    write_bfm2009(tmp_path, wanted)
    with pytest.raises(ValueError, match="may be read as bfm2009, 3ddfa: say which"):
        read_source(tmp_path)
    assert_same_model(read_source(tmp_path, "3ddfa"), wanted)


def test_deviations_of_expressions_may_lie_in_a_file_of_their_own(tmp_path: Path) -> None:
    shape, expressions = tddfa_fields(face_source())
    savemat(tmp_path / "sigma_exp.mat", {"sigma_exp": expressions.pop("sigma_exp")})
    assert_same_model(read_source(save(tmp_path, shape, expressions)), face_source(), "mean")
    savemat(tmp_path / "sigma_exp.mat", {"sigma": np.ones((4, 1))})
    with pytest.raises(ValueError, match=r"sigma_exp\.mat: field 'sigma_exp' is missing"):
        read_source(tmp_path)


def test_colours_of_the_older_release(tmp_path: Path) -> None:
    wanted = face_source()
    shape, expressions = tddfa_fields(wanted)
    shape["tex"] = shape.pop("mu_tex").reshape(3, -1, order="F")
    del shape["w_tex"]
    assert_same_model(read_source(save(tmp_path, shape, expressions)), wanted, colours="mean")
    del shape["tex"]
    assert_same_model(read_source(save(tmp_path, shape, expressions)), wanted, colours="")


def test_a_reversed_axis_is_turned_round(tmp_path: Path) -> None:
    wanted = face_source()
    shape, expressions = tddfa_fields(wanted)
    for table, names in ((shape, ("mu_shape", "w")), (expressions, ("mu_exp", "w_exp"))):
        for name in names:
            table[name] = table[name].copy()
            table[name][2::3] *= -1
    found = read_source(save(tmp_path, shape, expressions))
    assert_same_model(found, wanted, colours="mean")


@pytest.mark.parametrize("name", [*SHAPE_FIELDS, *EXP_FIELDS])
def test_a_missing_field_is_named(tmp_path: Path, name: str) -> None:
    shape, expressions = tddfa_fields(face_source())
    shape.pop(name, None)
    expressions.pop(name, None)
    file = r"Model_Shape\.mat" if name in SHAPE_FIELDS else r"Model_Exp\.mat"
    with pytest.raises(ValueError, match=f"{file}: field '{name}' is missing"):
        read_source(save(tmp_path, shape, expressions))


@pytest.mark.parametrize("name", [*SHAPE_FIELDS, *EXP_FIELDS, "mu_tex"])
@pytest.mark.parametrize("change", ["nan", "shape", "huge"])
def test_a_wrong_field_is_named(tmp_path: Path, name: str, change: str) -> None:
    shape, expressions = tddfa_fields(face_source())
    table = shape if name in shape else expressions
    values = table[name].astype(np.float64)
    if change == "shape":
        values = values.ravel()[:-1]
    else:
        values.reshape(-1)[values.size // 2] = np.nan if change == "nan" else 3e12
    table[name] = values
    named = {"sigma": "(sigma|w)", "sigma_exp": "(sigma_exp|w_exp)"}.get(name, name)
    # Means are sized together.
    named = "mu_shape" if (name, change) == ("mu_exp", "huge") else named
    with pytest.raises(ValueError, match=rf"\.mat: field '{named}'") as caught:
        read_source(save(tmp_path, shape, expressions))
    assert "\n" not in str(caught.value)


def test_points_of_no_face(tmp_path: Path) -> None:
    shape, expressions = tddfa_fields(face_source())
    shape["keypoints"] = shape["keypoints"][:, ::-1]
    with pytest.raises(ValueError, match="field 'keypoints': the 68 points do not lie"):
        read_source(save(tmp_path, shape, expressions))


def test_micrometres_are_found_not_assumed(tmp_path: Path) -> None:
    wanted = face_source()
    shape, expressions = tddfa_fields(wanted)
    shape["mu_shape"], shape["sigma"] = (shape[k] / MICROMETRES for k in ("mu_shape", "sigma"))
    expressions["mu_exp"] = expressions["mu_exp"] / MICROMETRES
    expressions["sigma_exp"] = expressions["sigma_exp"] / MICROMETRES
    found = read_source(save(tmp_path, shape, expressions))
    assert found.unit_said.startswith("its unit is taken as millimetres")
    assert_same_model(found, wanted, colours="mean")
