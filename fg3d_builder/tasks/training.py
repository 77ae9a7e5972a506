"""`TrainFGNet` and `EvaluateFGNet`: what follows a build, as tasks.

Both run a command of ``python -m fg3d_builder.fgnet`` in a process of its own: it goes on with an
interrupted training, and keeps torch out of the processes that build.
"""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import luigi

from fg3d_builder.config import load_preset
from fg3d_builder.layout import BuildLayout, default_root
from fg3d_builder.shards.manifest import MANIFEST_NAME
from fg3d_builder.shards.reader import read_manifest
from fg3d_builder.tasks.base import log
from fg3d_builder.tasks.build import BuildFG3D
from fg3d_builder.tasks.finding import complete_dataset

if TYPE_CHECKING:
    from fg3d_builder.fgnet.training.settings import TrainConfig

ASSESSMENT_NAME = "assessment.json"


class NetworkTask(luigi.Task):
    """What training and assessment share: captures, network, folder, device."""

    preset = luigi.Parameter(default="tasks/demo.toml", description="build preset (TOML)")
    out = luigi.Parameter(default="", description="folder of the build; build/NAME if empty")
    training_preset = luigi.Parameter(default="small", description="tiny, small or paper")
    training = luigi.Parameter(
        default="", description="folder of the training; BUILD/training-PRESET if empty"
    )
    arguments = luigi.Parameter(
        default="",
        description="more of `python -m fg3d_builder.fgnet train`, e.g. '--network cvn --seed 1'",
    )
    device = luigi.Parameter(default="auto", description="auto, cpu or cuda")
    readers = luigi.IntParameter(
        default=-1, description="processes that read samples; -1: the preset's"
    )
    threads = luigi.IntParameter(default=0, description="of torch on a CPU; 0: all cores")

    @cached_property
    def layout(self) -> BuildLayout:
        """Paths of the build."""
        config = load_preset(self.preset)
        return BuildLayout(Path(self.out or default_root(config)).resolve(), config)

    @property
    def folder(self) -> Path:
        """Folder of the training."""
        named = self.layout.root / f"training-{self.training_preset}"
        return Path(self.training).resolve() if self.training else named

    def dataset(self) -> Path:
        """Return the folder of the dataset.

        Raises
        ------
        FileNotFoundError
            It has to be built first.
        """
        found = complete_dataset(self.layout)
        if found is None:
            raise FileNotFoundError(f"no dataset of {self.preset} in {self.layout.root}")
        return found

    def facemodel(self, dataset: Path) -> list[str]:
        """Arguments that name the face model where its licence keeps it out of a dataset."""
        held = read_manifest(dataset)["facemodel"]["file"]
        return [] if held else ["--facemodel", str(self.layout.facemodel)]

    def call(self, words: list[str]) -> None:
        """Run a command of ``python -m fg3d_builder.fgnet``.

        Raises
        ------
        RuntimeError
            It fails; what it says stands in the log.
        """
        threads = self.threads or len(os.sched_getaffinity(0))
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        program = ["-m", "fg3d_builder.fgnet"]
        command = shlex.join(["python", *program, *words])
        log.info("%s", command)
        done = subprocess.run([sys.executable, *program, *words], check=False, env=environment)
        if done.returncode:
            raise RuntimeError(f"exit status {done.returncode} of: {command}")


class TrainFGNet(NetworkTask):
    """Trains a network on the dataset of a preset, which is built if it is not there.

    Complete when the checkpoint is that of the last epoch, of this configuration and dataset.
    """

    def requires(self) -> list[luigi.Task]:
        """Need the dataset.

        Asked for only where it is not there: `BuildFG3D` is complete in the process alone that
        has run it, and trainings may be started by another one.
        """
        if complete_dataset(self.layout) is not None:
            return []
        return [BuildFG3D(preset=self.preset, out=self.out)]

    def complete(self) -> bool:
        """Whether the training has come to its end."""
        from fg3d_builder.fgnet.training.checkpoint import checkpoint_config, read_checkpoint
        from fg3d_builder.fgnet.training.loop import CHECKPOINT_NAME

        dataset, checkpoint = complete_dataset(self.layout), self.folder / CHECKPOINT_NAME
        if dataset is None or not checkpoint.is_file():
            return False
        state, wanted = read_checkpoint(checkpoint), self.configuration(dataset)
        same = checkpoint_config(state, checkpoint) == wanted
        content = read_manifest(dataset)["content_sha256"]
        on_it = state["identity"].get("content_sha256") == content
        return bool(same and on_it and state["progress"]["epoch"] >= wanted.epochs)

    def run(self) -> None:
        """Train, or go on training."""
        self.call(self.words(self.dataset()))

    def words(self, dataset: Path) -> list[str]:
        """Return the words of the command after ``python -m fg3d_builder.fgnet``."""
        words = ["train", str(dataset), "--out", str(self.folder)]
        words += ["--preset", self.training_preset, *shlex.split(self.arguments)]
        words += ["--workers", str(self.readers)] if self.readers >= 0 else []
        return [*words, "--device", self.device, *self.facemodel(dataset)]

    def configuration(self, dataset: Path) -> TrainConfig:
        """Return what the command line says."""
        from fg3d_builder.fgnet.command import configuration, parser

        return configuration(parser().parse_args(self.words(dataset)))


class EvaluateFGNet(NetworkTask):
    """Compares a trained network with the 3DMM fit, on the test split or on another dataset.

    Writes ``assessment.json`` and ``assessment.md`` with error maps into the training's folder.
    """

    split = luigi.Parameter(default="test", description="test or train")
    other_dataset = luigi.Parameter(default="", description="dataset folder; the training's else")

    def requires(self) -> list[luigi.Task]:
        """Need the network."""
        shared = {n: getattr(self, n) for n, _ in NetworkTask.get_params()}
        return [TrainFGNet(**shared)]

    def assessed(self) -> Path:
        """Return the dataset to assess on."""
        return Path(self.other_dataset).resolve() if self.other_dataset else self.dataset()

    def result(self) -> Path:
        """Return the folder of the result; the dataset must be there."""
        if not self.other_dataset:
            return self.folder / f"assessment-{self.split}"
        content = read_manifest(self.assessed())["content_sha256"]
        return self.folder / f"assessment-{self.split}-{content[:12]}"

    def complete(self) -> bool:
        """Whether this network has been assessed on this dataset."""
        if not all(task.complete() for task in self.requires()):
            return False
        if not (self.assessed() / MANIFEST_NAME).is_file():
            return False
        file = self.result() / ASSESSMENT_NAME
        if not file.is_file():
            return False
        about = json.loads(file.read_text(encoding="utf-8"))["about"]
        return bool(about["content_sha256"] == read_manifest(self.assessed())["content_sha256"])

    def run(self) -> None:
        """Assess, unless the training has: it ends with an assessment on its own test split."""
        if self.complete():
            return
        dataset = self.assessed()
        words = ["assess", str(dataset), str(self.folder), "--split", self.split]
        words += ["--out", str(self.result()), "--device", self.device]
        self.call([*words, *self.facemodel(dataset)])
