"""Folders that appear when they are finished, and not before."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fg3d_builder.errors import ConfigError
from fg3d_builder.files.whole_folder import unfinished_folder, whole_folder


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    out = tmp_path / "deep" / "out"
    with whole_folder(out, "request") as folder:
        (folder / "a").write_text("1")
        (folder / "b").mkdir()
        (folder / ".a.elsewhere.12.part").write_text("left by a process that was killed")
        (folder / "a.damaged").write_text("set aside")
        (folder / "b" / "subject.damaged").mkdir()
        assert not out.exists()
        assert folder == unfinished_folder(out, "request")
    assert sorted(path.name for path in out.rglob("*")) == ["a", "b", "subject.damaged"]
    assert list(out.parent.iterdir()) == [out]


def test_an_error_leaves_what_there_was_for_the_same_request(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    with contextlib.suppress(RuntimeError), whole_folder(out, "request") as folder:
        (folder / "a").write_text("1")
        raise RuntimeError
    assert not any(out.iterdir())
    with contextlib.suppress(RuntimeError), whole_folder(out, "nothing yet"):
        raise RuntimeError
    assert {path.name for path in tmp_path.iterdir()} == {"out", "out.unfinished-request"}
    with whole_folder(out, "another") as folder:
        assert not any(folder.iterdir())
        out.rmdir()
    out.rmdir()
    with whole_folder(out, "request") as folder:
        assert (folder / "a").read_text() == "1"
    assert (out / "a").read_text() == "1"


def test_files_of_others_are_never_touched(tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "mine").write_text("1")
    with pytest.raises(ConfigError, match="holds files already"), whole_folder(out, "request"):
        pass
    assert (out / "mine").read_text() == "1"
    assert list(tmp_path.iterdir()) == [out]


def _fill(out: Path, text: str) -> None:
    try:
        with whole_folder(out, "request") as folder:
            (folder / "a").write_text(text)
            time.sleep(0.2)
            (folder / "b").write_text(text)
    except ConfigError:
        pass


def test_a_link_leads_to_the_folder(tmp_path: Path) -> None:
    (tmp_path / "disk/empty").mkdir(parents=True)
    for name in ("empty", "nowhere yet"):
        link, target = tmp_path / f"link to {name}", tmp_path / "disk" / name
        link.symlink_to(target)
        with whole_folder(link, "request") as folder:
            (folder / "a").write_text("1")
            assert folder.parent == target.parent
        assert link.is_symlink()
        assert (target / "a").read_text() == "1"


def test_a_folder_that_cannot_be_replaced_is_refused_before_the_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in (Path("."), tmp_path):
        with pytest.raises(ConfigError, match="where this command runs"), whole_folder(name, "r"):
            pytest.fail("work was done")
    monkeypatch.setattr(Path, "is_mount", lambda _: True)
    with pytest.raises(ConfigError, match="mounted"), whole_folder(tmp_path / "out", "r"):
        pytest.fail("work was done")


def test_who_gives_up_waiting_leaves_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / ".out.lock"
    lock.write_text("held by another process")

    @contextlib.contextmanager
    def interrupted(_: Path) -> Iterator[None]:
        raise KeyboardInterrupt
        yield

    monkeypatch.setattr("fg3d_builder.files.whole_folder.exclusive", interrupted)
    with pytest.raises(KeyboardInterrupt), whole_folder(tmp_path / "out", "request"):
        pass
    assert lock.is_file()


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    out = tmp_path / "out"
    started = [multiprocessing.Process(target=_fill, args=(out, text)) for text in "xy"]
    for process in started:
        process.start()
    for process in started:
        process.join()
        assert process.exitcode == 0
    assert (out / "a").read_text() == (out / "b").read_text()
