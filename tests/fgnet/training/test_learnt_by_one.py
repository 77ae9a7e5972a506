"""What one process learns for all of them, over gloo."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from toy_shards import write_toy_shards

from fg3d_builder.fgnet.calibration import Calibration, learn
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.training.distributed import Processes, learnt_by_one

SCRIPT = """
import sys
from pathlib import Path
import torch
from fg3d_builder.fgnet.calibration import Calibration, learn
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.training.distributed import learnt_by_one, processes

torch.set_num_threads(1)
with processes("cpu") as at:
    def learnt():
        assert at.rank == 0, "learnt in another process than the leading one"
        data = FaceDataset(sys.argv[1], "train")
        return learn(data.displacements, len(data))
    found = learnt_by_one(learnt, Calibration.from_state, at)
    torch.save(found.state_dict(), Path(sys.argv[2]) / f"{at.rank}.pt")
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_toy_shards(tmp_path / "data", train=6, test=2)
    return tmp_path / "data"


def test_two_processes_have_what_one_has_learnt(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "learn.py").write_text(SCRIPT)
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *(str(tmp_path / "learn.py"), str(folder), str(tmp_path)),
    ]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    one, other = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in (0, 1))
    data = FaceDataset(folder, "train")
    expected = learn(data.displacements, len(data)).state_dict()
    assert list(one) == list(other) == list(expected)
    for name, value in expected.items():
        assert torch.equal(one[name], other[name])
        np.testing.assert_allclose(one[name], value, rtol=1e-4, atol=1e-5)


def test_a_process_alone_learns_itself(folder: Path) -> None:
    data = FaceDataset(folder, "train")
    mine = learn(data.displacements, len(data))
    alone = Processes(0, 1, torch.device("cpu"))
    assert learnt_by_one(lambda: mine, Calibration.from_state, alone) is mine
