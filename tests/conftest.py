"""Fixtures that several test modules share."""

from __future__ import annotations

import os
from pathlib import Path

# One BLAS thread per worker, set before numpy loads: the pipeline runs that way as well.
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

import pytest  # noqa: E402
import toy_models  # noqa: E402

from fg3d_builder.config import FaceModelConfig  # noqa: E402
from fg3d_builder.facemodel.model import FaceModel  # noqa: E402
from fg3d_builder.heads.library import get_model, head_population  # noqa: E402
from fg3d_builder.heads.population import HeadPopulation  # noqa: E402


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of real scans and captures beside the project; skips where absent."""
    folder = Path(__file__).resolve().parents[2] / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"real data not found at {folder}")
    return folder


@pytest.fixture(scope="session")
def toy_model() -> FaceModel:
    """A small face model made by hand; nobody writes to it."""
    return toy_models.toy_model()


@pytest.fixture(scope="session")
def default() -> FaceModel:
    """The embedded default model, built once and read from the cache."""
    return get_model(FaceModelConfig())


@pytest.fixture(scope="session")
def population() -> HeadPopulation:
    """The population behind the default model, built once and read from the cache."""
    return head_population()
