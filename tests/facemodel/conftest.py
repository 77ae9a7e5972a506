"""The embedded default model and its population, built once and read from the cache."""

import pytest

from fg3d_builder.facemodel.default import default_model
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.population import HeadPopulation


@pytest.fixture(scope="session")
def default() -> FaceModel:
    return default_model()


@pytest.fixture(scope="session")
def population() -> HeadPopulation:
    return HeadPopulation.load()
