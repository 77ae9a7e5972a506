"""A model's record contradicts itself in no field."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from fg3d_builder.facemodel.sources.source import check_source
from tests.facemodel.sources.toy_head import toy_head

HEAD = toy_head()


def test_a_sound_one_passes() -> None:
    check_source(HEAD)
    check_source(replace(HEAD, landmarks68=None, uv=None, exp_names=(), groups={}))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("mean", HEAD.mean[:, :2]),
        ("mean", np.where(np.arange(3) == 1, np.nan, HEAD.mean)),
        ("polygons", HEAD.polygons[:0]),
        ("polygons", HEAD.polygons + len(HEAD.mean)),
        ("polygons", -1 - 0 * HEAD.polygons),
        ("id_basis", HEAD.id_basis[..., 1:]),
        ("id_sd", 0 * HEAD.id_sd),
        ("exp_basis", np.inf * HEAD.exp_basis),
        ("exp_sd", -HEAD.exp_sd),
        ("exp_names", ("one",)),
        ("exp_lower", np.zeros(1)),
        ("exp_upper", np.full(len(HEAD.exp_sd), -9.0)),
        ("albedo_mean", HEAD.mean[1:]),
        ("uv", np.zeros((3, 3, 2))),
        ("landmarks68", np.arange(51)),
        ("landmarks68", np.arange(68) - 1),
        ("landmarks68", np.full(68, len(HEAD.mean))),
    ],
)
def test_the_field_that_is_wrong_is_named(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=f"^field '{field}': "):
        check_source(replace(HEAD, **{field: value}))


def test_groups_are_within() -> None:
    with pytest.raises(ValueError, match="field 'hair': out of range"):
        check_source(replace(HEAD, groups={"hair": np.array([len(HEAD.mean)])}))
