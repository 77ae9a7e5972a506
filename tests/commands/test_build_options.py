"""What `fg3d build` says of options that do not go together, or lack a package."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from toy_build import write_toy_build

from fg3d_builder.cli import main


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--dask-scheduler tcp://far:1", "--dask-scheduler needs --engine dask"),
        ("--scheduler-file far.json", "--scheduler-file needs --engine dask"),
        ("--engine dask --scheduler-host far", "--scheduler-host is a luigid's"),
        (
            "--engine dask --dask-scheduler tcp://far:1 --scheduler-file far.json",
            "--dask-scheduler and --scheduler-file name one cluster: give one of them",
        ),
        ("--engine dask --scheduler-file far.json --workers 2", "--workers is for this machine"),
    ],
)
def test_contradictions_are_a_sentence(
    words: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "none.toml", *words.split()]) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"fg3d: {said}")
    assert text.count("\n") == 1


@pytest.mark.parametrize("more", [[], ["--scheduler-file", "none.json"]])
def test_a_missing_package_is_named_with_its_extra(
    more: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    preset = write_toy_build(tmp_path, subjects=1, captures=1)
    monkeypatch.setitem(sys.modules, "distributed", None)
    out = ["--out", str(tmp_path / "out")]
    assert main(["build", str(preset), *out, "--engine", "dask", *more]) == 2
    said = capsys.readouterr().err
    assert "--engine dask needs the package distributed: pip install 'fg3d-builder[dask]'" in said
