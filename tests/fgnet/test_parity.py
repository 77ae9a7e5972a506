"""Differences between devices are noticed; the device here is the CPU, deliberately altered."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toy_shards import write_toy_shards

from fg3d_builder.cli import main
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.data.simulation import MultiviewSimulator
from fg3d_builder.fgnet.networks.architectures import NetworkInput
from fg3d_builder.fgnet.parity import Parity, answering_network, compare, failures
from fg3d_builder.fgnet.training.reconstruction import Reconstructor
from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS

CONFIG = dataclasses.replace(TRAIN_PRESETS["tiny"], precision="bfloat16")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("parity")
    write_toy_shards(folder, train=2, test=1)
    return folder


def compared(folder: Path) -> Parity:
    return compare(FaceDataset(folder, "train"), CONFIG, answering_network(CONFIG), "cpu")


def after_the_first(monkeypatch: pytest.MonkeyPatch, owner: type, name: str, change: Any) -> None:
    """Change what a method returns, but for its first call, which is the CPU's."""
    method, calls = getattr(owner, name), []

    def altered(*args: Any) -> Any:
        calls.append(name)
        found = method(*args)
        return found if len(calls) == 1 else change(found)

    monkeypatch.setattr(owner, name, altered)


def test_the_cpu_agrees_with_itself(folder: Path, tmp_path: Path) -> None:
    found = compared(folder)
    assert failures(found) == []
    assert found.float32_max_mm == 0.0
    assert set(found.inputs) == {"views", "uv_from_view"}
    command = ["parity", str(folder), "--out", str(tmp_path / "parity.json")]
    assert main([*command, "--preset", "tiny", "--device", "cpu"]) == 0


def test_answers_that_differ_fail(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    length = compared(folder).answer_rms_mm
    # 1 % of the answer's length: too much for float32, but not for bfloat16.
    shift = 0.01 * length / 3**0.5
    after_the_first(monkeypatch, Reconstructor, "predict", lambda shapes: shapes + shift)
    (failed,) = failures(compared(folder))
    assert failed.startswith("answer in float32: differs by")
    assert f"at most {1e-3 * length:.2e} mm may" in failed
    monkeypatch.undo()
    after_the_first(monkeypatch, Reconstructor, "predict", lambda shapes: shapes + 10 * shift)
    out = tmp_path / "parity.json"
    assert (
        main(["parity", str(folder), "--out", str(out), "--preset", "tiny", "--device", "cpu"]) == 1
    )
    printed = capsys.readouterr().out
    assert printed.count("**fails**: answer in float32") == 2
    assert json.loads(out.read_text())["float32_mm"] == pytest.approx(0.1 * length, rel=1e-3)


def test_inputs_that_differ_fail_by_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def shifted(given: NetworkInput) -> NetworkInput:
        assert given.uv_from_view is not None
        return given._replace(uv_from_view=given.uv_from_view + 0.002)

    after_the_first(monkeypatch, MultiviewSimulator, "network_input", shifted)
    failed = failures(compared(folder))
    assert failed[0] == (
        "uv_from_view: 100.0000 % of its values differ by more than 0.001; at most 0.1 % may"
    )


def test_what_is_not_a_number_fails(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def spoiled(given: NetworkInput) -> NetworkInput:
        assert given.views is not None
        return given._replace(views=given.views * torch.nan)

    after_the_first(monkeypatch, MultiviewSimulator, "network_input", spoiled)
    failed = "\n".join(failures(compared(folder)))
    assert "views: 100.0000 %" in failed
    assert "answer in float32: differs by nan mm" in failed


def test_a_network_that_answers_nothing_compares_nothing() -> None:
    found = Parity("cpu", 1, {}, 0.0, 0.0, 0.0, "float32", 0.0, 0.0)
    assert failures(found) == ["answer: displacements of 0.0 mm compare nothing"]
