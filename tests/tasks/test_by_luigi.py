"""Luigi's own command, from a folder without its configuration, as docs/guides/build.md has it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import luigi
import psutil
import pytest
from toy_build import write_toy_build

from fg3d_builder.shards.verify import verify_dataset
from fg3d_builder.tasks.by_luigi import PresetParameter, set_defaults

PROJECT = Path(__file__).resolve().parents[2]


def run_luigi(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "luigi", "--module", "fg3d_builder.tasks", *words]
    python_path = {"PYTHONPATH": str(PROJECT)}
    environment = {**os.environ, **python_path}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def test_a_build_from_another_folder(tmp_path: Path) -> None:
    write_toy_build(tmp_path / "data", subjects=2, captures=1)
    here = tmp_path / "here"
    here.mkdir()
    done = run_luigi(here, "BuildFG3D", "--preset", "../data/toy.toml")
    assert done.returncode == 0, done.stderr
    assert "toy: 2 of 2 captures registered" in done.stderr
    assert verify_dataset(here / "build/toy/dataset").ok


@pytest.mark.parametrize("task", ["BuildFG3D", "TrainFGNet"])
def test_a_wrong_preset_is_one_sentence(task: str, tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("sources = [{}]\nchunk_size = 0\n")
    for name, said in (
        ("none.toml", "luigi: cannot read preset none.toml: No such file or directory\n"),
        ("bad.toml", "luigi: preset bad.toml: chunk_size = 0: expected a whole number from 1 to "),
    ):
        done = run_luigi(tmp_path, task, "--preset", name)
        assert done.returncode != 0
        assert done.stderr.startswith(said)
        assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("task", "words", "said"),
    [
        ("BuildFG3D", [], "ConfigError: sources.path: {here}/captures does not exist"),
        ("BuildFG3D", ["--workers", "0"], "BuildFG3D: --workers 0: expected a whole number from 1"),
        (
            "TrainFGNet",
            ["--dataset", "nowhere"],
            "TrainFGNet: exit status 2 of: fg3d train nowhere ",
        ),
    ],
)
def test_what_goes_wrong_is_a_sentence_without_a_traceback(
    task: str, words: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "toy.toml").write_text('[[sources]]\nkind = "folder"\npath = "captures"\n')
    if words:
        write_toy_build(tmp_path, subjects=1, captures=1)
    done = run_luigi(tmp_path, task, "--preset", "toy.toml", *words)
    assert done.returncode != 0
    assert said.format(here=tmp_path) in done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.splitlines()) <= 5


SLEEPING = """
import time
from pathlib import Path
import luigi
import fg3d_builder.tasks

class Sleep(luigi.Task):
    folder = luigi.Parameter()
    def complete(self):
        return False
    def run(self):
        Path(self.folder, "begun").touch()
        time.sleep(60)
"""


@pytest.mark.parametrize(
    ("how", "workers"), [("SIGINT", 1), ("SIGINT", 2), ("SIGTERM", 1), ("SIGTERM", 2)]
)
def test_a_stop_is_one_line_and_leaves_no_process(how: str, workers: int, tmp_path: Path) -> None:
    """As in ``make train``."""
    (tmp_path / "sleeping.py").write_text(SLEEPING)
    words = ["-m", "luigi", "--module", "sleeping", "Sleep", "--folder", str(tmp_path)]
    process = subprocess.Popen(
        [sys.executable, *words, "--workers", str(workers)],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), str(tmp_path)])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    limit = time.monotonic() + 240
    while not (tmp_path / "begun").is_file():
        assert process.poll() is None
        assert time.monotonic() < limit
        time.sleep(0.05)
    children = psutil.Process(process.pid).children(recursive=True)
    os.killpg(process.pid, getattr(signal, how))
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert said == "fg3d: stopped; the same command goes on\n"
    # An orphan that has ended stays in the table where the machine's first process is no init.
    living = [c for c in children if c.is_running() and c.status() != psutil.STATUS_ZOMBIE]
    assert not living


def test_a_program_that_imports_the_tasks_keeps_its_own_ends() -> None:
    code = (
        "import signal, sys; before = sys.excepthook, signal.getsignal(signal.SIGTERM)\n"
        "import fg3d_builder.tasks\n"
        "assert before == (sys.excepthook, signal.getsignal(signal.SIGTERM))"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_defaults_leave_alone_what_a_configuration_says() -> None:
    config = luigi.configuration.get_config()
    before = config.get("core", "local_scheduler", None)
    try:
        config.set("core", "local_scheduler", "false")
        set_defaults()
        assert config.get("core", "local_scheduler") == "false"
        assert Path(config.get("core", "logging_conf_file")).name == "logging.cfg"
    finally:
        config.set("core", "local_scheduler", before or "true")


def test_the_default_preset_is_the_projects() -> None:
    assert PresetParameter().parse("tasks/demo.toml") == "tasks/demo.toml"
