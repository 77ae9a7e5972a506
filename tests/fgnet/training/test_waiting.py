"""Processes that wait for one of them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from toy_shards import write_toy_shards

LIMIT_S = 15
"""Time-out of collective operations; the assessment takes longer."""

SCRIPT = """
import sys, time
from datetime import timedelta
from torch import distributed
join = distributed.init_process_group
distributed.init_process_group = lambda kind: join(kind, timeout=timedelta(seconds={limit}))
from fg3d_builder.cli import main
from fg3d_builder.fgnet.training.loop import Trainer
assess = Trainer.assess
def slow(*args, **more):
    time.sleep({limit} + 5 if slow.first else 0)
    slow.first = False
    return assess(*args, **more)
slow.first = True
Trainer.assess = slow
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
def test_a_long_assessment_of_one_process_ends_no_training(tmp_path: Path) -> None:
    write_toy_shards(tmp_path / "data", train=4, test=2)
    (tmp_path / "train.py").write_text(SCRIPT.format(limit=LIMIT_S))
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"),
        *(str(tmp_path / "train.py"), "train", str(tmp_path / "data")),
        *("--out", str(tmp_path / "run"), "--preset", "tiny", "--epochs", "2"),
        *("--batch-size", "2", "--device", "cpu"),
    ]
    done = subprocess.run(
        command,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "epoch 2/2" in done.stdout
