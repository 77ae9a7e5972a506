"""A build on a Dask cluster: the same as on this machine alone, whatever becomes of its workers."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import luigi
import psutil
import pytest
from test_build import PROJECT, build, content
from told_steps import Asker, Step, step
from toy_build import write_toy_build

from fg3d_builder.tasks import BuildFG3D
from fg3d_builder.tasks.workers import EngineLostError

dask = pytest.importorskip("dask")
pytest.importorskip("distributed")

from fg3d_builder.tasks import dask_engine, dask_worker  # noqa: E402
from fg3d_builder.tasks.dask_engine import (  # noqa: E402
    existing_cluster,
    local_cluster,
    run_on_dask,
)


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers; a task is given up when two were lost with it."""
    with dask.config.set({"distributed.scheduler.allowed-failures": 1}), local_cluster(2) as two:
        yield two


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "fg3d"]


def test_tasks_run_on_all_workers_and_what_they_say_is_heard(
    tmp_path: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    last = step(tmp_path, "last", "first,warns")
    asker = Asker(root=str(tmp_path), config="none", count=6)
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert run_on_dask([last, asker], client)
        assert run_on_dask([last, asker], client)  # nothing to do
    assert last.file.is_file()
    there = {int(file.read_text()) for file in tmp_path.glob("done-nap*")}
    assert len(there) == 2
    assert os.getpid() not in there
    assert said(caplog) == ["a word of warning"]


def test_a_time_that_cannot_be_noted_ends_no_build(
    tmp_path: Path, client: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk is full of what the task has made."""

    def full(_task: luigi.Task, _seconds: float) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(dask_engine, "note_task", full)
    first = step(tmp_path, "first")
    assert run_on_dask([step(tmp_path, "last", "first")], client)
    assert first.file.is_file()
    assert sum("time could not be noted: " in line for line in said(caplog)) == 2


def test_what_fails_is_said_and_the_rest_is_done(
    tmp_path: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    tasks: list[luigi.Task] = [step(tmp_path, "last", "refused")]
    tasks.append(Step(root=str(tmp_path), config="none", does="other"))
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert not run_on_dask(tasks, client)
    assert said(caplog)[0] == "Step: sources: nothing there"
    assert said(caplog)[-1].startswith("not complete: a task failed")
    assert (tmp_path / "done-other-").is_file()


def test_what_goes_away_in_between_is_made_again(
    tmp_path: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    step(tmp_path, "first").file.touch()
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert run_on_dask([step(tmp_path, "last", "first,spoils")], client)
    assert said(caplog) == ["Step waits for what is made again"]


def test_a_worker_with_other_code_is_refused(
    tmp_path: Path, client: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask_worker, "code_identity", lambda: "another")
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert not run_on_dask([step(tmp_path, "first")], client)
    (line,) = said(caplog)
    assert "has another fg3d_builder" in line
    assert not step(tmp_path, "first").file.is_file()


@pytest.mark.slow
def test_what_a_lost_worker_was_doing_is_done_again(
    tmp_path: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert run_on_dask([step(tmp_path, "last", "killed once,nap 1,nap 2,nap 3")], client)
    assert all("what it was doing is done again" in line for line in said(caplog))


@pytest.mark.slow
def test_a_task_that_ends_its_workers_ends_as_an_error(
    tmp_path: Path, client: Any, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert not run_on_dask([step(tmp_path, "last", "killed")], client)
    lines = said(caplog)
    assert any("Step: several workers were lost" in line for line in lines)
    assert any(line.endswith("what it works on may make them crash") for line in lines)
    assert lines[-1].startswith("not complete: a task failed")


def test_a_build_is_the_same_on_the_cluster(tmp_path: Path, client: Any) -> None:
    preset = write_toy_build(tmp_path, subjects=2, captures=1)
    assert build(preset, tmp_path / "alone")
    luigi.task_register.Register.clear_instance_cache()
    assert run_on_dask([BuildFG3D(preset=str(preset), out=str(tmp_path / "out"))], client)
    assert content(tmp_path / "out/dataset") == content(tmp_path / "alone/dataset")


def command(preset: Path, out: Path, *more: str) -> list[str]:
    words = ["build", str(preset), "--out", str(out), "--engine", "dask", *more]
    return [sys.executable, "-m", "fg3d_builder.cli", *words]


def its_workers(process: subprocess.Popen[str]) -> list[psutil.Process]:
    """Processes of a local cluster."""
    children = psutil.Process(process.pid).children(recursive=True)
    return [c for c in children if any("spawn_main" in word for word in c.cmdline())]


@pytest.mark.slow
def test_a_worker_is_killed_on_the_way(tmp_path: Path) -> None:
    preset = write_toy_build(tmp_path, subjects=9, captures=2, shapes=1)
    assert build(preset, tmp_path / "alone")
    out = tmp_path / "out"
    process = subprocess.Popen(
        command(preset, out, "--workers", "2"), cwd=PROJECT, stderr=subprocess.PIPE, text=True
    )
    for made in ("work/registration-*/*.product", "dataset-*/*.h5"):
        limit = time.monotonic() + 180
        while len(list(out.glob(made))) < 2:
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.02)
        its_workers(process)[0].send_signal(signal.SIGKILL)
    lines = process.communicate(timeout=300)[1]
    assert process.returncode == 0, lines
    assert "is gone; what it was doing is done again" in lines
    assert "18 of 18 captures registered" in lines
    assert content(out / "dataset") == content(tmp_path / "alone/dataset")
    assert not list((out / "dataset").glob(".*"))


STOPPED = """
import sys
import told_steps
from fg3d_builder.cli import main
from fg3d_builder.commands import build
from fg3d_builder.tasks.dask_engine import local_cluster, run_on_dask

def long_build(options):
    tasks = [told_steps.Step(root=sys.argv[1], config="none", does=f"sleeps {i}") for i in (1, 2)]
    with local_cluster(2) as client:
        return int(not run_on_dask(tasks, client))

if __name__ == "__main__":
    build.run = long_build
    sys.exit(main(["build"]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("how", ["group", "parent", "term"])
def test_a_stop_is_one_line_and_leaves_no_process(tmp_path: Path, how: str) -> None:
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    script = tmp_path / "stopped.py"
    script.write_text(STOPPED)
    (tmp_path / "root").mkdir()
    process = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path / "root")],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
        start_new_session=True,
    )
    limit = time.monotonic() + 120
    while len(list((tmp_path / "root").glob("begun*"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    if how == "group":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT if how == "parent" else signal.SIGTERM)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert text == "fg3d: stopped; the same command goes on\n"
    # An orphan that has ended stays in the table where the machine's first process is no init.
    living = [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]
    assert not living


@pytest.fixture
def cluster_elsewhere(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen[bytes]]]:
    """A scheduler and two workers, started as a person does; its file and its process."""
    file = tmp_path / "scheduler.json"
    here = ["--scheduler-file", str(file), "--host", "127.0.0.1", "--no-dashboard"]
    paths = os.pathsep.join([str(PROJECT), str(PROJECT / "tests")])
    with ExitStack() as stack:

        def start(*words: str) -> subprocess.Popen[bytes]:
            process = subprocess.Popen(
                [sys.executable, "-m", *words],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONPATH": paths},
                cwd=tmp_path,
            )
            stack.callback(process.wait)
            stack.callback(process.terminate)
            return process

        free_port = ["--port", "0", "--dashboard-address", "127.0.0.1:0"]
        scheduler = start("distributed.cli.dask_scheduler", *here, *free_port)
        limit = time.monotonic() + 60
        while not file.is_file():
            assert time.monotonic() < limit
            time.sleep(0.05)
        start("distributed.cli.dask_worker", *here, "--nthreads", "1", "--nworkers", "2")
        yield file, scheduler


@pytest.mark.slow
def test_a_cluster_that_is_there_is_used_and_its_end_is_noticed(
    tmp_path: Path,
    cluster_elsewhere: tuple[Path, subprocess.Popen[bytes]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    file, scheduler = cluster_elsewhere
    root = tmp_path / "root"
    root.mkdir()

    def kill_in_the_middle() -> None:
        while not list(root.glob("begun*")):
            time.sleep(0.05)
        scheduler.kill()

    with existing_cluster(scheduler_file=file) as client:
        assert run_on_dask([step(root, "last", "nap 1,nap 2")], client)
        caplog.clear()
        threading.Thread(target=kill_in_the_middle, daemon=True).start()
        with caplog.at_level(logging.INFO, logger="fg3d"):
            assert not run_on_dask([step(root, "sleeps 1")], client)
        assert "not complete: the Dask scheduler is gone" in caplog.text
        with pytest.raises(EngineLostError, match="the Dask scheduler is gone"):
            run_on_dask([step(root, "nap 3")], client)


def test_a_cluster_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    missing = tmp_path / "scheduler.json"
    with (
        pytest.raises(EngineLostError, match="does not exist; a Dask scheduler writes it"),
        existing_cluster(scheduler_file=missing),
    ):
        raise AssertionError
    with (
        pytest.raises(EngineLostError, match="no Dask scheduler answers at nonsense"),
        existing_cluster("nonsense"),
    ):
        raise AssertionError
