"""`fg3d info` of datasets and builds: for people, for programs, and its exit status."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from toy_parts import write_toy_part

from fg3d_builder.cli import main
from fg3d_builder.shards.overview import overview

EVERY = {"captures": 3, "fitting": 5, "registration": 7, "views": 11, "donors": 13}
"""Bytes of the products of a made-up build, by stage."""


@pytest.fixture
def build(tmp_path: Path) -> Path:
    root = tmp_path / "build"
    write_toy_part(root / "dataset-0123456789ab", "abc", captures=1)
    (root / "dataset").symlink_to("dataset-0123456789ab")
    (root / "dataset-ba9876543210").mkdir()
    (root / "dataset-ba9876543210" / "train-00000.h5").write_bytes(bytes(17))
    for stage, length in EVERY.items():
        folder = root / "work" / f"{stage}-0123456789ab"
        folder.mkdir(parents=True)
        (folder / "chunk-0-aa.h5").write_bytes(bytes(length))
        (folder / "chunk-1-ab.h5").write_bytes(bytes(length))
    (root / "work" / "views-ffffffffffff").mkdir()
    (root / "work" / "views-ffffffffffff" / "chunk-0-aa.h5").write_bytes(bytes(100))
    (root / "work" / "plan-0123456789ab.json").write_bytes(bytes(19))
    (root / "report").mkdir()
    (root / "report" / "index.html").write_bytes(bytes(23))
    return root


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main(["info", *words])
    return status, capsys.readouterr().out


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> Any:
    return json.loads(told(capsys, *words, "--json")[1])


def test_a_dataset_is_described_to_people(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = build / "dataset"
    status, said = told(capsys, str(dataset))
    assert status == 0
    lines = {line[:16].strip(): line[16:].split() for line in said.splitlines()}
    assert said.startswith(f"{dataset}: whole; content ")
    assert lines["train"] == ["3", "3", "6", "3", "12"]
    assert lines["licences"] == ["3", "CC0", "(captures)"]
    assert lines["views"] == ["pitch\\yaw", "-30", "+0"]
    assert "+0      6      6" in said
    assert as_json(capsys, str(dataset)) == overview(dataset)


def test_a_build_is_dataset_and_products(build: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, said = told(capsys, str(build))
    assert status == 0
    assert "content " in said
    about = as_json(capsys, str(build))
    assert about["dataset"] == overview(build / "dataset")
    stages = {stage: room["bytes"] for stage, room in about["build"]["stages"].items()}
    twice = {stage: 2 * length for stage, length in EVERY.items()}
    assert stages == twice | {"views": 122, "lists and plans": 19}
    assert about["build"]["report"] == {"files": 1, "bytes": 23}
    newest, older = about["build"]["datasets"]
    assert (newest, older) == ("dataset-0123456789ab", "dataset-ba9876543210")
    assert about["build"]["datasets"][older]["bytes"] == 17


def test_what_is_not_whole_has_exit_status_1(
    build: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (build / "dataset" / "topology.h5").unlink()
    status, said = told(capsys, str(build))
    assert status == 1
    assert "NOT WHOLE: topology.h5 missing or cut short" in said
    (build / "dataset").unlink()
    status, said = told(capsys, str(build))
    assert status == 1
    assert "no complete dataset yet" in said
    assert as_json(capsys, str(build))["dataset"] is None
