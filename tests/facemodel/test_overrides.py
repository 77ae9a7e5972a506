"""What a person corrects of an import: what may be said, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.facemodel.overrides import Choice, Overrides, read_overrides
from fg3d_builder.facemodel.sources.source import ModelSource


@pytest.fixture
def source() -> ModelSource:
    return ModelSource(
        layout="test",
        name="theirs",
        licence="",
        mean=np.arange(12.0).reshape(4, 3),
        polygons=np.array([[0, 1, 2]], np.int32),
        id_basis=np.ones((4, 3, 1)),
        id_sd=np.ones(1),
        exp_basis=np.ones((4, 3, 2)),
        exp_sd=np.ones(2),
        groups={"hair": np.array([1, 3], np.int32)},
    )


def written(folder: Path, content: object) -> Path:
    file = folder / "overrides.json"
    file.write_text(json.dumps(content))
    return file


def test_all_fields_are_read(tmp_path: Path, source: ModelSource) -> None:
    file = written(
        tmp_path,
        {
            "name": "ours",
            "scale": 10,
            "landmarks": {"ibug68": {"30": 2}, "mediapipe478": {"4": 2}},
            "drop": {"groups": ["hair"], "vertices": [0]},
            "keep": {"vertices": [2]},
        },
    )
    said = read_overrides(file)
    assert said.landmarks == {"ibug68": {30: 2}, "mediapipe478": {4: 2}}
    assert said.drop.mask(source).tolist() == [True, True, False, True]
    assert said.keep.mask(source).tolist() == [False, False, True, False]
    scaled = said.scaled(source)
    assert scaled.name == "ours"
    assert np.array_equal(scaled.mean, 10 * source.mean)
    assert np.array_equal(scaled.id_basis, 10 * source.id_basis)
    assert np.array_equal(scaled.exp_basis, 10 * source.exp_basis)


def test_an_empty_file_changes_nothing(tmp_path: Path, source: ModelSource) -> None:
    said = read_overrides(written(tmp_path, {}))
    assert said == Overrides()
    assert said.scaled(source) is source


@pytest.mark.parametrize(
    ("content", "named"),
    [
        ({"landmark": {}}, "'landmark'"),
        ({"landmarks": {"ibug": {}}}, r"'landmarks\.ibug'"),
        ({"landmarks": {"ibug68": {"68": 0}}}, r"landmarks\.ibug68\.68"),
        ({"landmarks": {"ibug68": {"1": -1}}}, r"landmarks\.ibug68\.1"),
        ({"landmarks": {"ibug68": {"1": True}}}, r"landmarks\.ibug68\.1"),
        ({"drop": {"vertex": []}}, r"'drop\.vertex'"),
        ({"drop": {"vertices": [1.5]}}, r"drop\.vertices"),
        ({"keep": {"groups": "hair"}}, r"keep\.groups"),
        ({"keep": []}, "'keep'"),
        ({"scale": 0}, "'scale'"),
        ({"scale": "mm"}, "'scale'"),
        ({"name": 3}, "'name'"),
        ({"name": "two\nlines"}, "'name'"),
        ({"name": "x" * 100_000}, "'name'"),
        ([], "overrides.json"),
    ],
)
def test_what_is_not_understood_is_named(tmp_path: Path, content: object, named: str) -> None:
    with pytest.raises(ValueError, match=named) as caught:
        read_overrides(written(tmp_path, content))
    assert "overrides.json" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_what_the_model_does_not_have_is_named(source: ModelSource) -> None:
    with pytest.raises(ValueError, match=r"'drop\.groups': .*'beard'; it has hair"):
        Choice(groups=("beard",), field="drop").mask(source)
    with pytest.raises(ValueError, match=r"'keep\.vertices': .*no 4"):
        Choice(vertices=(4,), field="keep").mask(source)
    with pytest.raises(ValueError, match=r"'landmarks\.ibug68\.30': .*no 9"):
        Overrides(landmarks={"ibug68": {30: 9}}).scaled(source)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="absent"):
        read_overrides(tmp_path / "absent.json")
