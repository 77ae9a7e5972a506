"""Fixtures of the occlusion tests."""

from __future__ import annotations

import pytest
import toy_faces

from fg3d_builder.facemodel.model import FaceModel


@pytest.fixture(scope="session")
def model() -> FaceModel:
    """The toy face model; nobody writes to it."""
    return toy_faces.toy_model()
