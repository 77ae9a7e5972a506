"""Fixtures of the fitting tests."""

from __future__ import annotations

import pytest
import toy_models

from fg3d_builder.facemodel.model import FaceModel


@pytest.fixture(scope="session")
def toy_model() -> FaceModel:
    return toy_models.toy_model()
