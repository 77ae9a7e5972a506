"""The check of a graphics card, rehearsed on the CPU."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from toy_shards import write_toy_shards

from benchmarks import gpu_check


def test_a_part_that_is_too_late_leaves_the_others() -> None:
    stopped = gpu_check.part(["http.server", "0", "--bind", "127.0.0.1"], time.monotonic() + 3.0)
    assert stopped["status"] is None
    assert stopped["seconds"] < 60.0
    failed = gpu_check.part(["json.tool", "/no/such/file"], time.monotonic() + 60.0)
    assert failed["status"] not in (0, None)
    assert "/no/such/file" in failed["lines"][-1]


@pytest.mark.slow
def test_all_parts_run_and_leave_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_toy_shards(tmp_path / "data", train=4, test=2)
    out = tmp_path / "check.json"
    options = [
        *("gpu_check", str(tmp_path / "data"), "--device", "cpu", "--preset", "tiny"),
        *("--train-preset", "tiny", "--epochs", "1", "--batch-size", "2", "--workers", "0"),
        *("--rounds", "1", "--minutes", "60", "--out", str(out)),
    ]
    monkeypatch.setattr(sys, "argv", options)
    assert gpu_check.main() == 0
    found = json.loads(out.read_text())
    assert {name: part["status"] for name, part in found["parts"].items()} == {
        "parity": 0,
        "throughput": 0,
        "training": 0,
        "rasterizer": 0,
    }
    assert found["parity"]["float32_max_mm"] == 0.0
    assert found["throughput"]["samples_per_s"]["simulation"] > 0.0
    assert not any(found["rasterizer"]["values_unlike_cpu"].values())
    assert found["training"]["mean_fit"] > 0.0
