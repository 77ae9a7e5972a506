"""`TrainFGNet` and `EvaluateFGNet`: training runs and their assessment, as tasks.

Both run a command in a process of its own: ``fg3d train`` goes on with an interrupted run, and
torch stays out of the processes that build.
"""

from __future__ import annotations

import multiprocessing
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

import luigi

from fg3d_builder.config import load_preset
from fg3d_builder.fgnet.training.names import (
    ASSESSMENT_NAME,
    CHECKPOINT_NAME,
    PRESETS,
    assessment_folder,
)
from fg3d_builder.files.own_package import finds_this_package
from fg3d_builder.files.sealed_object import read_sealed_object, write_sealed_object
from fg3d_builder.guidance import POINTER
from fg3d_builder.layout import BuildLayout
from fg3d_builder.shards.manifest import MANIFEST_NAME, read_manifest
from fg3d_builder.tasks.base import log
from fg3d_builder.tasks.build import BuildFG3D
from fg3d_builder.tasks.by_luigi import PresetParameter
from fg3d_builder.tasks.finding import complete_dataset, layout_of
from fg3d_builder.tasks.running import say_failure

if TYPE_CHECKING:
    from fg3d_builder.fgnet.training.settings import TrainConfig

LOG_NAME, FAILED_NAME = "run.log", "failed.json"
LAST_LINES = 20
"""Lines of the log that `FAILED_NAME` holds."""


class RunFailedError(RuntimeError):
    """A ``fg3d`` command that a task has run has failed."""


class NetworkTask(luigi.Task):
    """What training and assessment share: dataset, settings, folder, and where they compute."""

    preset = PresetParameter(default="tasks/demo.toml", description="build preset (TOML)")
    out = luigi.Parameter(default="", description="folder of the build; build/NAME if empty")
    dataset = luigi.Parameter(
        default="", description="folder of a dataset, in place of the build preset's"
    )
    settings = luigi.Parameter(
        default="small", description="tiny, small, paper, or a file (TOML), see docs/training.md"
    )
    seed = luigi.IntParameter(default=-1, description="of weights and order; -1: the settings'")
    run_folder = luigi.Parameter(
        default="", description="folder of the run; BUILD/training-SETTINGS if empty"
    )
    facemodel = luigi.Parameter(
        default="", significant=False, description="model file, where the dataset does not hold it"
    )
    inputs = luigi.Parameter(
        default="", significant=False, description="folder of simulated inputs that runs share"
    )
    device = luigi.Parameter(default="auto", significant=False, description="auto, cpu or cuda")
    gpu = luigi.IntParameter(default=-1, significant=False, description="number; -1: all of them")
    threads = luigi.IntParameter(
        default=0, significant=False, description="of torch on a CPU; 0: all cores"
    )
    quiet = luigi.BoolParameter(significant=False, description="write to the run's log alone")

    @property
    def resources(self) -> dict[str, int]:  # type: ignore[override]
        """One run at a time on each numbered GPU, unless Luigi's configuration allows more."""
        return {} if self.gpu < 0 else {f"gpu-{self.gpu}": 1}

    @cached_property
    def layout(self) -> BuildLayout:
        """Paths of the build."""
        return layout_of(load_preset(self.preset), self.out)

    @property
    def folder(self) -> Path:
        """Folder of the run."""
        if self.run_folder:
            return Path(self.run_folder)
        return self.layout.root / f"training-{Path(self.settings).stem}"

    def find_dataset(self) -> Path | None:
        """Return the folder of the dataset that the run trains on; None where it is not built."""
        if not self.dataset:
            return complete_dataset(self.layout)
        folder = Path(self.dataset)
        return folder if (folder / MANIFEST_NAME).is_file() else None

    def built_dataset(self) -> Path:
        """Return the folder of the dataset that the run trains on.

        Raises
        ------
        FileNotFoundError
            The build preset's has to be built first.
        """
        found = Path(self.dataset) if self.dataset else self.find_dataset()
        if found is None:
            raise FileNotFoundError(f"no dataset of {self.preset} in {self.layout.root}")
        return found

    def shared_words(self, dataset: Path) -> list[str]:
        """Return the options that name the device and, where a dataset lacks it, the face model."""
        words = ["--device", self.device]
        if self.facemodel:
            return [*words, "--facemodel", self.facemodel]
        if self.dataset or read_manifest(dataset)["facemodel"]["file"]:
            return words
        return [*words, "--facemodel", str(self.layout.facemodel)]

    def call(self, words: Sequence[str]) -> None:
        """Run a ``fg3d`` command; its output goes to the run's log.

        Raises
        ------
        RunFailedError
            It fails; `FAILED_NAME` in the run's folder says how.
        """
        environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
        environment["OMP_NUM_THREADS"] = str(self.threads or len(os.sched_getaffinity(0)))
        if self.gpu >= 0:
            environment["CUDA_VISIBLE_DEVICES"] = str(self.gpu)
        command = shlex.join(["fg3d", *words])
        log.info("%s", command)
        record = self.folder / LOG_NAME
        record.parent.mkdir(parents=True, exist_ok=True)
        with record.open("a", encoding="utf-8") as file:
            file.write(f"$ {command}\n")
        (self.folder / FAILED_NAME).unlink(missing_ok=True)
        status = run_command(words, record, environment, self.quiet)
        if status:
            lines = record.read_text(encoding="utf-8", errors="replace").splitlines()
            last = [line for line in lines if line.strip()][-LAST_LINES:]
            value = {"command": command, "status": status, "last_lines": last}
            write_sealed_object(self.folder / FAILED_NAME, value)
            raise RunFailedError(f"exit status {status} of: {command}")


@NetworkTask.event_handler(luigi.Event.BROKEN_TASK)
@NetworkTask.event_handler(luigi.Event.FAILURE)
def say_failed_run(task: NetworkTask, error: BaseException) -> None:
    """Say in a sentence why a run failed."""
    if isinstance(error, RunFailedError):
        log.error("%s: %s; see %s", task.task_family, error, task.folder / LOG_NAME)
    else:
        say_failure(task, error)


class TrainFGNet(NetworkTask):
    """Trains a network on a dataset, which is built if it is a preset's and not there.

    Complete when the checkpoint is that of the last epoch, of these settings and this dataset.
    """

    def requires(self) -> list[luigi.Task]:
        """Need the dataset.

        `BuildFG3D` is complete only in the process that has run it, and training runs may be
        started by another one: it is required only where the dataset is not there.
        """
        if self.dataset or self.find_dataset() is not None:
            return []
        return [BuildFG3D(preset=self.preset, out=self.out)]

    def complete(self) -> bool:
        """Whether the run has come to its end."""
        from fg3d_builder.fgnet.training.checkpoint import (
            DamagedCheckpointError,
            checkpoint_config,
            read_checkpoint,
        )

        dataset, checkpoint = self.find_dataset(), self.folder / CHECKPOINT_NAME
        if dataset is None or not checkpoint.is_file():
            return False
        try:
            state, wanted = read_checkpoint(checkpoint), self.config()
        except DamagedCheckpointError:  # the run goes on from the one before
            return False
        same = checkpoint_config(state, checkpoint) == wanted
        content = read_manifest(dataset)["content_sha256"]
        on_it = state["identity"].get("content_sha256") == content
        return bool(same and on_it and state["progress"]["epoch"] >= wanted.epochs)

    def run(self) -> None:
        """Train, or go on training."""
        self.call(self.words(self.built_dataset()))

    def words(self, dataset: Path) -> list[str]:
        """Return the words of the command after ``fg3d``."""
        known = "--preset" if self.settings in PRESETS else "--settings"
        words = ["train", str(dataset), "--out", str(self.folder), known, self.settings]
        words += [] if self.seed < 0 else ["--seed", str(self.seed)]
        words += ["--inputs", self.inputs] if self.inputs else []
        return [*words, *self.shared_words(dataset)]

    def config(self) -> TrainConfig:
        """Return the settings of the run."""
        from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS, changed, read_settings

        known = self.settings in PRESETS
        config = TRAIN_PRESETS[self.settings] if known else read_settings(Path(self.settings))
        return config if self.seed < 0 else changed(config, {"seed": self.seed}, self.settings)


class EvaluateFGNet(NetworkTask):
    """Compares a trained network with the 3DMM fit, on the test split or on another dataset.

    Writes an assessment with error maps into the run's folder.
    """

    split = luigi.Parameter(default="test", description="test or train")
    other_dataset = luigi.Parameter(
        default="", description="folder of a dataset; the one trained on if empty"
    )

    @property
    def training(self) -> TrainFGNet:
        """The task that trains the network."""
        return TrainFGNet(**{name: getattr(self, name) for name, _ in NetworkTask.get_params()})

    def requires(self) -> list[luigi.Task]:
        """Need the network."""
        return [self.training]

    def assessed(self) -> Path:
        """Return the dataset to assess on."""
        return Path(self.other_dataset).resolve() if self.other_dataset else self.built_dataset()

    def result(self) -> Path:
        """Return the file of the result; the datasets must be there."""
        trained_on, content = (
            str(read_manifest(folder)["content_sha256"])
            for folder in (self.built_dataset(), self.assessed())
        )
        other = "" if content == trained_on else content
        return assessment_folder(self.folder, self.split, other) / ASSESSMENT_NAME

    def complete(self) -> bool:
        """Whether this network has been assessed on this dataset."""
        if not self.training.complete() or not (self.assessed() / MANIFEST_NAME).is_file():
            return False
        file = self.result()
        if not file.is_file():
            return False
        try:
            about = read_sealed_object(file)["about"]
        except ValueError:  # damaged: assessed again
            return False
        return bool(about["content_sha256"] == read_manifest(self.assessed())["content_sha256"])

    def run(self) -> None:
        """Assess, unless the training run has: it ends with its own test split's assessment."""
        if not self.complete():
            self.call(self.words(self.assessed()))

    def words(self, dataset: Path) -> list[str]:
        """Return the words of the command after ``fg3d``."""
        words = ["assess", str(dataset), str(self.folder), "--split", self.split]
        words += ["--inputs", self.inputs] if self.inputs else []
        return [*words, *self.shared_words(dataset)]

    def commands(self) -> list[list[str]]:
        """Return the words of all commands: training, and assessment where that is apart."""
        train = self.training.words(self.built_dataset())
        apart = self.other_dataset or self.split != "test"
        return [train, self.words(self.assessed())] if apart else [train]


def last_failure(run: Path) -> str:
    """Return what a failed run has said at its end; empty where it has not failed."""
    file = run / FAILED_NAME
    if not file.is_file():
        return ""
    try:
        lines = [str(line) for line in read_sealed_object(file)["last_lines"]]
        # Below the sentence that says what is wrong stands the page of the guide.
        return next((line for line in reversed(lines) if not line.startswith(POINTER)), "")
    except ValueError as error:
        return str(error)


def run_command(
    words: Sequence[str], record: Path, environment: Mapping[str, str], quiet: bool
) -> int:
    """Run a ``fg3d`` command to its end, or until this process is interrupted.

    Parameters
    ----------
    words : sequence of str
        After ``fg3d``.
    record : Path
        File that its output is added to.
    environment : mapping
    quiet : bool
        Do not print its output as well.

    Returns
    -------
    int
        Exit status.
    """
    program = [sys.executable, "-m", "fg3d_builder.cli", *words]
    with (
        interruptible(),
        record.open("a", encoding="utf-8") as file,
        subprocess.Popen(
            program,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=finds_this_package(environment),
            encoding="utf-8",
            errors="replace",
        ) as child,
    ):
        assert child.stdout is not None  # it is a pipe
        try:
            for line in child.stdout:
                file.write(line)
                file.flush()
                if not quiet:
                    sys.stdout.write(line)
                    sys.stdout.flush()
            return child.wait()
        finally:
            child.terminate()


@contextmanager
def interruptible() -> Iterator[None]:
    """Raise an exception where this process gets ``SIGINT`` or ``SIGTERM``.

    Otherwise a process that ``SIGTERM`` ends leaves its children behind.
    """

    def stop(_number: int, _frame: FrameType | None) -> None:
        # Luigi's worker processes take other exceptions for a failed task and end quietly.
        raise SystemExit(1) if multiprocessing.parent_process() else KeyboardInterrupt

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
