"""The ten minutes of the guide, as a new user types them."""

from __future__ import annotations

import argparse
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from made_recordings import write_obj_scans, write_r3d, write_realsense

from fg3d_builder.cli import COMMANDS
from fg3d_builder.commands.captures import with_action
from fg3d_builder.config import LAYOUT_KINDS, load_preset
from fg3d_builder.shards.manifest import read_manifest

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "guides" / "own-files.md"
PEOPLE = ("anna", "ben")

SMALLER = {
    "yaw_steps_deg = [15.0, 30.0, 45.0]": "yaw_steps_deg = [30.0]",
    "pitch_steps_deg = [15.0, -25.0]": "pitch_steps_deg = []",
    'frames = {take = "all"}': 'frames = {take = "random", count = 1}',
}
"""What the test changes in a preset for the sake of time; a person may as well."""


def walk(name: str) -> list[list[str]]:
    """Return the commands of one walk-through, without the name of the program."""
    text = GUIDE.read_text(encoding="utf-8")
    blocks = re.findall(rf"<!-- walk: {name} -->\n```sh\n(.*?)```", text, re.DOTALL)
    lines = [shlex.split(line) for block in blocks for line in block.splitlines()]
    assert all(words[0] == "fg3d" for words in lines)
    return [words[1:] for words in lines]


MADE: dict[str, tuple[str, Callable[[Path], None]]] = {
    "scans": ("scan", lambda folder: write_obj_scans(folder, PEOPLE, 1000.0)),
    "phone": ("record3d", lambda folder: write_r3d(folder, [f"{p}_talk" for p in PEOPLE], 2)),
    "pairs": ("realsense", lambda folder: write_realsense(folder, PEOPLE, 2)),
}


@pytest.mark.parametrize("name", MADE)
def test_every_command_is_one(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / name).mkdir()
    parser = argparse.ArgumentParser()
    commands = parser.add_subparsers()
    for module in COMMANDS:
        module.add_parser(commands)
    lines = walk(name)
    assert [words[0] for words in lines] == sorted(
        (words[0] for words in lines), key=["new", "captures", "check", "build"].index
    )
    assert len(lines) >= 5
    for words in lines:
        parser.parse_args(with_action(words))


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_a_walk_ends_with_a_dataset(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every command in a process of its own, as in a shell."""
    kind, make = MADE[name]
    if kind not in (*LAYOUT_KINDS, "scan"):
        pytest.skip(f"files of kind {kind} are not read yet")
    monkeypatch.chdir(tmp_path)
    make(tmp_path / name)
    for words in walk(name):
        command = [sys.executable, "-m", "fg3d_builder.cli", *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        preset = Path(f"{name}.toml")
        if words[0] == "new":
            assert load_preset(preset).sources[0].kind == kind
            text = preset.read_text()
            for old, new in SMALLER.items():
                text = text.replace(old, new)
            preset.write_text(text)
    assert Path(f"{name}.png").is_file()
    if name == "scans":
        assert load_preset("scans.toml").sources[0].unit_mm == 1000.0
    manifest = read_manifest(Path(f"build/{name}/dataset"))
    shards = {shard["split"]: shard for shard in manifest["shards"]}
    assert {name for shard in shards.values() for name in shard["subjects"]} == set(PEOPLE)
    assert [shards[split]["captures"] for split in ("train", "test")] == [1, 1]
    assert not manifest["failures"]
