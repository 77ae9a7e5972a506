"""Files that are whole or absent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from fg3d_builder.files.atomic import point_link, remove_abandoned, replacing, write_bytes

WRITER = """
import sys, time
from fg3d_builder.files.atomic import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_bytes(b"half")
    print("writing", flush=True)
    time.sleep(60)
"""


def parts(folder: Path) -> list[Path]:
    return sorted(folder.rglob(".*.part"))


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    write_bytes(tmp_path / "a", b"old")

    def interrupted() -> None:
        with replacing(tmp_path / "a") as temporary:
            temporary.write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert parts(tmp_path) == []


def test_a_link_moves_in_one_step_and_names_itself_where_it_cannot(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        point_link(tmp_path / "link", name)
        assert (tmp_path / "link").resolve() == tmp_path / name
    with pytest.raises(IsADirectoryError) as caught:
        point_link(tmp_path / "one", "two")
    assert caught.value.filename == str(tmp_path / "one")
    assert caught.value.filename2 is None
    assert parts(tmp_path) == []


def test_only_the_leavings_of_dead_writers_are_removed(tmp_path: Path) -> None:
    target = tmp_path / "deep/shard.h5"
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    elsewhere = tmp_path / f".shard.h5.another-machine.{writer.pid}.part"
    elsewhere.write_bytes(b"half")
    alive = parts(tmp_path)
    remove_abandoned(tmp_path)
    assert parts(tmp_path) == alive
    assert len(alive) == 2

    os.kill(writer.pid, signal.SIGKILL)
    os.waitid(os.P_PID, writer.pid, os.WEXITED | os.WNOWAIT)  # dead, but still a zombie
    remove_abandoned(tmp_path)
    writer.wait()
    writer.stdout.close()
    assert parts(tmp_path) == [elsewhere]
    assert not target.exists()
