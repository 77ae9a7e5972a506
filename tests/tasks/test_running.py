"""What the end of Luigi means, and what is said of it."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import luigi
import psutil
import pytest
from luigi.retcodes import retcode
from told_steps import LOADED, step

from fg3d_builder.tasks import running
from fg3d_builder.tasks.build import TooManyFailuresError
from fg3d_builder.tasks.running import MOST_REPAIRS, run_tasks
from fg3d_builder.tasks.workers import MOST_RUNS, CarefulWorker


@pytest.mark.parametrize("workers", [1, 2])
def test_success_is_when_everything_is_there(tmp_path: Path, workers: int) -> None:
    assert run_tasks([step(tmp_path, "last", "first")], workers)
    assert step(tmp_path, "last", "first").file.is_file()
    assert run_tasks([step(tmp_path, "last", "first")], workers)  # nothing to do


@pytest.mark.parametrize("workers", [1, 2])
def test_forked_processes_inherit_what_was_loaded(tmp_path: Path, workers: int) -> None:
    """Nothing is loaded where nothing is forked; an error is left to the task itself."""
    LOADED.clear()
    assert run_tasks([step(tmp_path, "inherits", "unloadable")], workers)
    process, _, loaded = step(tmp_path, "inherits", "unloadable").file.read_text().partition(" ")
    here = os.getpid()
    assert (int(process) == here) == (workers == 1)
    assert loaded == str([here, here] if workers > 1 else [])


def test_an_error_that_a_page_explains_names_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running.say_failure(step(tmp_path, "last"), TooManyFailuresError("3 of 4 captures failed"))
    assert "Step: 3 of 4 captures failed; see docs/troubleshooting.md#too-many" in caplog.text


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("does", ["refused", "unplanned"])
def test_what_fails_or_cannot_be_planned_is_no_success(
    tmp_path: Path, does: str, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert not run_tasks([step(tmp_path, "last", does)], workers)
    assert not step(tmp_path, "last", does).file.is_file()
    assert "not complete" in caplog.text
    if does == "unplanned":
        assert "Step: cannot tell" in caplog.text
    assert "Traceback" not in caplog.text
    if does == "refused" and workers == 1:  # else another process says it
        assert "Step: sources: nothing there" in caplog.text


@pytest.mark.parametrize("workers", [1, 2])
def test_what_is_damaged_whenever_it_is_made_ends_the_build(
    tmp_path: Path, workers: int, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert not run_tasks([step(tmp_path, "last", "never")], workers)
    made = len((tmp_path / "made").read_text())
    assert 2 <= made <= MOST_REPAIRS * workers + 2
    assert len(caplog.records) <= made + 1  # a line each time, and one at the end


def test_what_goes_away_in_between_is_made_again_at_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Luigi alone would start what waits for it again and again, for ten seconds."""
    step(tmp_path, "first").file.touch()
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert run_tasks([step(tmp_path, "last", "first,spoils")], 1)
    assert step(tmp_path, "first").file.is_file()
    assert [r.getMessage() for r in caplog.records] == ["Step waits for what is made again"]


def test_a_killed_worker_is_named_and_nothing_hangs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert not run_tasks([step(tmp_path, "killed"), step(tmp_path, "other")], 2)
    assert step(tmp_path, "other").file.is_file()
    said = [record.getMessage() for record in caplog.records]
    killed = [line for line in said if "was killed by SIGKILL" in line]
    assert len(killed) == MOST_RUNS
    assert all(line.endswith("memory runs out; it is done again") for line in killed[:-1])
    assert killed[-1].endswith("memory runs out; run the same command again")


def test_what_a_killed_process_was_doing_is_done_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert run_tasks([step(tmp_path, "last", "killed once,other")], 2)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith("Step: its process was killed by SIGKILL")


def test_a_killed_worker_is_named_once_each_time_however_slow_its_result_is(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    class OftenLooking(CarefulWorker):
        def _purge_children(self) -> None:
            for _ in range(3):  # as where nothing has come through the queue yet
                super()._purge_children()

    monkeypatch.setattr(running, "CarefulWorker", OftenLooking)
    with caplog.at_level(logging.INFO, logger="fg3d"):
        assert not run_tasks([step(tmp_path, "killed"), step(tmp_path, "other")], 2)
    said = [record.getMessage() for record in caplog.records]
    assert sum("was killed by SIGKILL" in line for line in said) == MOST_RUNS


def test_with_a_central_scheduler_tasks_know_that_no_lock_is_needed(
    tmp_path: Path, central: int
) -> None:
    """Else the second machine that takes part in a build would be refused."""
    assert run_tasks([step(tmp_path, "last", "asks")], 1, "127.0.0.1")
    assert step(tmp_path, "asks").file.read_text() == "False"
    assert run_tasks([step(tmp_path, "asks", "last")], 1)
    assert step(tmp_path, "asks", "last").file.read_text() == "True"


def test_what_another_machine_has_run_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Luigi says "not all tasks have run" of tasks that others have run."""
    task = step(tmp_path, "first")

    def ended(*_: object, **__: object) -> SimpleNamespace:
        return SimpleNamespace(status=luigi.LuigiStatusCode.NOT_RUN)

    monkeypatch.setattr(luigi, "build", ended)
    assert not run_tasks([task], 1, "elsewhere")
    task.file.touch()
    assert run_tasks([task], 1, "elsewhere")
    assert not run_tasks([task], 1)  # nobody else can have


def test_a_central_scheduler_that_is_not_there_is_a_sentence(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    settings = luigi.configuration.get_config()
    before = settings.get("core", "local_scheduler", "true")
    settings.set("core", "rpc_retry_attempts", "1")
    settings.set("core", "rpc_retry_wait", "0")
    try:
        with caplog.at_level(logging.INFO, logger="fg3d"):
            assert not run_tasks([step(tmp_path, "first")], 1, "no-such-host.invalid")
    finally:
        settings.remove_option("core", "rpc_retry_attempts")
        settings.remove_option("core", "rpc_retry_wait")
        settings.set("core", "local_scheduler", before)
    assert "no-such-host.invalid" in caplog.text
    assert "no luigid answers on no-such-host.invalid" in caplog.text
    assert "Traceback" not in caplog.text


def test_the_luigi_command_fails_where_a_task_fails() -> None:
    statuses = retcode()
    assert statuses.task_failed == 30
    assert statuses.scheduling_error == 35
    assert statuses.not_run == 25
    assert statuses.missing_data == 20


STOPPED = """
import sys, time
from pathlib import Path
import luigi
from fg3d_builder.cli import main
from fg3d_builder.commands import build
from fg3d_builder.tasks.base import BuildTask
from fg3d_builder.tasks.running import run_tasks

class Sleep(BuildTask):
    name = luigi.Parameter()
    def complete(self):
        return False
    def run(self):
        Path(self.root, self.name).touch()
        time.sleep(60)

def long_build(options):
    tasks = [Sleep(root=sys.argv[1], config="none", name=str(i)) for i in range(2)]
    return int(not run_tasks(tasks, int(sys.argv[2])))

build.run = long_build
sys.exit(main(["build"]))
"""


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize("how", ["group", "parent", "term"])
def test_a_stop_is_one_line_and_leaves_no_process(tmp_path: Path, how: str, workers: int) -> None:
    run = [sys.executable, "-c", STOPPED, str(tmp_path), str(workers)]
    process = subprocess.Popen(
        run, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    limit = time.monotonic() + 120
    while len(list(tmp_path.iterdir())) < workers:
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    assert len(children) == (0 if workers == 1 else 2)
    if how == "group":
        os.killpg(process.pid, signal.SIGINT)
    else:
        process.send_signal(signal.SIGINT if how == "parent" else signal.SIGTERM)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "fg3d: stopped; the same command goes on\n"
    # An orphan that has ended stays in the table where the machine's first process is no init.
    living = [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]
    assert not living


def test_a_scheduler_that_does_not_answer_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def build(*_: object, **__: object) -> NoReturn:
        raise luigi.rpc.RPCError("Errors (3 attempts) when connecting")

    monkeypatch.setattr(luigi, "build", build)
    assert not run_tasks([step(tmp_path, "good")], 1, "far.away")
    assert "no luigid answers on far.away; start one there" in caplog.text
    assert "Traceback" not in caplog.text
