"""Data sets in the published layouts, written once, and a network that answers with the fit."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from toy_protocols import write_florence, write_now, write_stirling, write_training

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.trained import Trained, load_trained
from fg3d_builder.testsets import ProtocolConfig, ProtocolScan, open_protocol
from fg3d_builder.testsets.ground_truth import GroundTruth, ground_truth
from fg3d_builder.testsets.setup import Setup


@pytest.fixture(scope="session")
def model(default: FaceModel) -> FaceModel:
    return default


@pytest.fixture(scope="session")
def setup(model: FaceModel) -> Setup:
    return Setup(model, ProtocolConfig())


@pytest.fixture(scope="session")
def florence(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("florence")
    write_florence(folder, model, 2)
    return folder


@pytest.fixture(scope="session")
def now(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("now")
    write_now(folder, model, 1)
    return folder


@pytest.fixture(scope="session")
def stirling(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("stirling")
    write_stirling(folder, model, 2)
    return folder


@pytest.fixture(scope="session")
def untrained(model: FaceModel, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("training")
    return load_trained(write_training(folder / "run", model, answers=False), torch.device("cpu"))


@pytest.fixture(scope="session")
def scan(florence: Path) -> ProtocolScan:
    return open_protocol("florence", florence).scans["subject_01"]


@pytest.fixture(scope="session")
def kept_truth(setup: Setup, scan: ProtocolScan, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with the ground truth of `scan` in it."""
    folder = tmp_path_factory.mktemp("truth")
    ground_truth(scan, folder, setup)
    return folder


@pytest.fixture(scope="session")
def truth(setup: Setup, scan: ProtocolScan, kept_truth: Path) -> GroundTruth:
    return ground_truth(scan, kept_truth, setup)
