"""The commands ``train`` and ``assess`` of ``python -m fg3d_builder.fgnet``."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fgnet.assessment import (
    FIT,
    PREDICTED,
    Assessment,
    assessment_text,
    save_assessment,
)
from fg3d_builder.fgnet.checkpoint import checkpoint_config, read_checkpoint
from fg3d_builder.fgnet.dataset import FaceDataset
from fg3d_builder.fgnet.distributed import Processes, processes
from fg3d_builder.fgnet.networks import FUSIONS, NETWORKS
from fg3d_builder.fgnet.pictures import save_error_maps
from fg3d_builder.fgnet.training import CHECKPOINT_NAME, Trainer
from fg3d_builder.fgnet.training_config import TRAIN_PRESETS, TrainConfig, with_network
from fg3d_builder.fgnet.view_sets import VIEW_SETS

MAP_LIMIT = 0.08
"""End of the colour scale of error maps, a fraction of the interocular distance."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return its exit status: 0, or 2 where it cannot run."""
    options = parser().parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    try:
        options.run(options)
    except (ConfigError, FileNotFoundError, ValueError) as error:
        sys.stderr.write(f"fgnet: {error}\n")
        return 2
    return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser; ``options.run(options)`` does what was asked."""
    top = argparse.ArgumentParser(prog="python -m fg3d_builder.fgnet", description=__doc__)
    commands = top.add_subparsers(required=True)
    train = commands.add_parser("train", help="train a network, or go on with a training")
    add_train_arguments(train)
    train.set_defaults(run=run_train)
    again = commands.add_parser("assess", help="compare a trained network with the 3DMM fit")
    add_assess_arguments(again)
    again.set_defaults(run=run_assess)
    return top


def add_train_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of ``train``."""
    command.add_argument("dataset", type=Path, help="folder with manifest.json")
    command.add_argument("--out", type=Path, required=True, help="folder of the training")
    command.add_argument("--preset", choices=list(TRAIN_PRESETS), default="small")
    command.add_argument("--network", choices=NETWORKS)
    command.add_argument("--view-set", choices=list(VIEW_SETS))
    command.add_argument("--fusion", choices=FUSIONS)
    for name in ("mse", "psd", "vgd"):
        command.add_argument(f"--{name}", type=float, help=f"weight of {name.upper()} in the loss")
    command.add_argument("--epochs", type=int, help="the drops of the rate move with it")
    command.add_argument("--batch-size", type=int, help="samples a step and process")
    command.add_argument("--learning-rate", type=float)
    command.add_argument("--workers", type=int, help="processes that read samples")
    command.add_argument("--seed", type=int)
    command.add_argument("--compile", action="store_true", default=None)
    _add_common(command)


def add_assess_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of ``assess``."""
    command.add_argument("dataset", type=Path, help="folder with manifest.json")
    command.add_argument("training", type=Path, help="folder of the training")
    command.add_argument("--split", choices=("train", "test"), default="test")
    _add_common(command)


def run_train(options: argparse.Namespace) -> None:
    """Train, then compare with the 3DMM fit on the test split; say where everything lies."""
    config = configuration(options)
    model = load_model(options.facemodel) if options.facemodel else None
    with processes(options.device) as at:
        data = FaceDataset(options.dataset, "train", config.confidence_floor, model)
        test = FaceDataset(options.dataset, "test", config.confidence_floor, model)
        _say(at, f"{len(data)} training samples, {len(test)} test samples, {at.device}")
        trainer = Trainer(config, data, options.out, at, test)
        began = time.monotonic()
        trainer.run()
        _say(at, f"trained for {time.monotonic() - began:.0f} s")
        if at.leads and len(test):
            _report(trainer.assess(test), trainer, options.out, "test")


def run_assess(options: argparse.Namespace) -> None:
    """Compare a finished or unfinished training with the 3DMM fit."""
    path = options.training / CHECKPOINT_NAME
    config = checkpoint_config(read_checkpoint(path), path)
    model = load_model(options.facemodel) if options.facemodel else None
    with processes(options.device) as at:
        data = FaceDataset(options.dataset, options.split, config.confidence_floor, model)
        trainer = Trainer(config, data, options.training, at)
        _report(trainer.assess(data), trainer, options.training, options.split)


def configuration(options: argparse.Namespace) -> TrainConfig:
    """Return the preset with what the command line changes."""
    config = TRAIN_PRESETS[options.preset]
    wanted = {"network": options.network, "view_set": options.view_set, "fusion": options.fusion}
    config = with_network(config, **{n: v for n, v in wanted.items() if v is not None})
    weights = {n: getattr(options, n) for n in ("mse", "psd", "vgd")}
    if any(weight is not None for weight in weights.values()):
        # Naming one term means these terms alone, not these beside the preset's.
        named: dict[str, Any] = {n: weight or 0.0 for n, weight in weights.items()}
        config = dataclasses.replace(config, loss=dataclasses.replace(config.loss, **named))
    if options.epochs is not None:
        share = options.epochs / config.epochs
        drops = tuple(round(epoch * share) for epoch in config.drop_epochs)
        config = dataclasses.replace(config, epochs=options.epochs, drop_epochs=drops)
    plain = ("batch_size", "learning_rate", "workers", "seed", "compile")
    given = {n: getattr(options, n) for n in plain if getattr(options, n) is not None}
    return dataclasses.replace(config, **given)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command.add_argument(
        "--facemodel", type=Path, help="model file, where its licence keeps it out of the dataset"
    )


def _report(assessment: Assessment, trainer: Trainer, out: Path, split: str) -> None:
    folder = out / f"assessment-{split}"
    about = {
        "split": split,
        "topology_hash": trainer.model.topology_hash,
        "network": dataclasses.asdict(trainer.config.network),
        "seed": trainer.config.seed,
        "torch": torch.__version__,
        "steps": trainer.progress.step,
    }
    save_assessment(assessment, folder, about)
    maps = {FIT: assessment.fit_map, PREDICTED: assessment.predicted_map}
    save_error_maps(folder / "error-maps.png", trainer.model, maps, MAP_LIMIT)
    sys.stdout.write(f"\n{assessment_text(assessment)}\n")
    last = sorted((out / "pictures").glob("epoch-*.png"))[-1:]
    found = [folder / "assessment.md", folder / "error-maps.png", out / "curves.png", *last]
    for path in found:
        if path.exists():
            sys.stdout.write(f"{path}\n")


def _say(at: Processes, text: str) -> None:
    if at.leads:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
