"""The embedded model goes through every layout and comes back as it was."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from model_writers_bfm import (
    assert_same_model,
    head_source,
    write_3ddfa,
    write_3ddfa_arrays,
    write_3ddfa_v2,
    write_bfm2009,
    write_bfm_hdf5,
)

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.sources.known import read_source
from fg3d_builder.facemodel.sources.source import ModelSource


@pytest.mark.parametrize(
    ("write", "kind", "colours"),
    [
        (write_bfm2009, "bfm2009", "modes"),
        (write_bfm_hdf5, "bfm2017", "modes"),
        (write_3ddfa, "3ddfa", "mean"),
        (write_3ddfa_v2, "3ddfa-v2", ""),
        (write_3ddfa_arrays, "3ddfa-v2", ""),
    ],
)
def test_the_embedded_head_comes_back(
    default: FaceModel,
    tmp_path: Path,
    write: Callable[[Path, ModelSource], Path],
    kind: str,
    colours: str,
) -> None:
    wanted = head_source(default)
    write(tmp_path, wanted)
    found = read_source(tmp_path)
    assert found.layout == kind
    assert_same_model(found, wanted, colours)
    if kind.startswith("3ddfa"):
        np.testing.assert_array_equal(found.landmarks68, wanted.landmarks68)
