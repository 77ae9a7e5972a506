from __future__ import annotations

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from toy_models import toy_model
from toy_shards import write_toy_shards

from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.data.feeding import Feeder
from fg3d_builder.fgnet.data.shared_memory import MIB, check_shared_memory, tensor_bytes
from fg3d_builder.fgnet.data.simulation import MultiviewSimulator, SimulationConfig


def with_free(monkeypatch: pytest.MonkeyPatch, mib: int) -> None:
    """Let every file system have so much room."""
    room = SimpleNamespace(f_bavail=mib * MIB // 4096, f_frsize=4096)
    monkeypatch.setattr(os, "statvfs", lambda _folder: room)


def test_room_is_compared_with_what_workers_have_under_way(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with_free(monkeypatch, 64)
    # Two workers with two batches each, and one in use: 5 x 16 samples.
    check_shared_memory(64 * MIB // 80, 16, 2, folder=tmp_path)
    with pytest.raises(ValueError, match=r"has 64 MiB free.*need 80 MiB.*--workers 0.*shm-size=1g"):
        check_shared_memory(MIB, 16, 2, folder=tmp_path)
    with pytest.raises(ValueError, match=r"need 640 MiB.*shm-size=2g"):
        check_shared_memory(MIB, 16, 2, processes=8, folder=tmp_path)
    check_shared_memory(MIB, 16, 0, folder=tmp_path)
    check_shared_memory(MIB, 16, 2, folder=tmp_path / "none")


def test_bytes_of_nested_tensors() -> None:
    assert tensor_bytes((3, torch.zeros(2, 3), (torch.zeros(5, dtype=torch.uint8),))) == 29


def test_training_is_told_before_its_first_batch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    write_toy_shards(tmp_path, train=3, test=1)
    data = FaceDataset(tmp_path, "train")
    simulator = MultiviewSimulator(toy_model(), SimulationConfig(size=32))
    feeder = Feeder(data, simulator, frozenset({"image"}), torch.device("cpu"), workers=2)
    with_free(monkeypatch, 0)
    with pytest.raises(
        ValueError, match="0 MiB free, and 2 workers that read batches of 2 samples"
    ):
        next(feeder.batches([[0, 1], [2]]))
