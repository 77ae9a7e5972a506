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
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.data.feeding import Feeder
from fg3d_builder.fgnet.networks.architectures import FUSIONS, NETWORKS
from fg3d_builder.fgnet.trained import keep_what_prediction_needs
from fg3d_builder.fgnet.training.assessment import (
    FIT,
    PREDICTED,
    Assessment,
    assess,
    assessment_text,
    save_assessment,
)
from fg3d_builder.fgnet.training.distributed import Processes, processes
from fg3d_builder.fgnet.training.loop import CHECKPOINT_NAME, Trainer
from fg3d_builder.fgnet.training.pictures import save_error_maps
from fg3d_builder.fgnet.training.reconstruction import Reconstructor
from fg3d_builder.fgnet.training.settings import TRAIN_PRESETS, TrainConfig, with_network
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
    command.add_argument("--perturbation", type=float, help="photometric, 0 (none) to 1")
    command.add_argument("--transforms", type=int, help="transformed shapes a capture; -1: all")
    command.add_argument("--limit", type=int, help="train on so many samples; 0: all")
    command.add_argument("--workers", type=int, help="processes that read samples")
    command.add_argument("--seed", type=int)
    command.add_argument(
        "--inputs", type=Path, help="folder of simulated inputs, made once for all trainings"
    )
    command.add_argument("--compile", action="store_true", default=None)
    _add_common(command)


def add_assess_arguments(command: argparse.ArgumentParser) -> None:
    """Add the arguments of ``assess``."""
    command.add_argument("dataset", type=Path, help="folder with manifest.json")
    command.add_argument("training", type=Path, help="folder of the training")
    command.add_argument("--split", choices=("train", "test"), default="test")
    command.add_argument("--out", type=Path, help="folder for the result; in the training's else")
    _add_common(command)


def run_train(options: argparse.Namespace) -> None:
    """Train, then compare with the 3DMM fit on the test split; say where everything lies."""
    config = configuration(options)
    model = load_model(options.facemodel) if options.facemodel else None
    with processes(options.device) as at:
        data = FaceDataset(
            *(options.dataset, "train", config.confidence_floor, model), selection=config.selection
        )
        test = FaceDataset(options.dataset, "test", config.confidence_floor, model)
        _say(at, f"{len(data)} training samples, {len(test)} test samples, {at.device}")
        trainer = Trainer(config, data, options.out, at, test, options.inputs)
        if at.leads:
            keep_what_prediction_needs(options.dataset, options.out)
        began = time.monotonic()
        trainer.run()
        _say(at, f"trained for {time.monotonic() - began:.0f} s")
        if at.leads and len(test):
            found = trainer.assess(test, with_dace=True)
            report(found, options.out / "assessment-test", config, test, len(data))
            last = sorted((options.out / "pictures").glob("epoch-*.png"))[-1:]
            for path in (options.out / "curves.png", *last):
                _say(at, str(path))


def run_assess(options: argparse.Namespace) -> None:
    """Compare a trained network with the 3DMM fit, on any dataset of its face model."""
    path = options.training / CHECKPOINT_NAME
    model = load_model(options.facemodel) if options.facemodel else None
    with processes(options.device) as at:
        data = FaceDataset(options.dataset, options.split, model=model)
        reconstructor, config = Reconstructor.load(path, data.model, at.device)
        feeder = Feeder(
            *(data, reconstructor.simulator, reconstructor.network.needs, at.device),
            workers=config.workers,
        )
        found = assess(
            lambda fed: reconstructor.predict(fed.given, fed.shape_mm),
            *(data, feeder, config.batch_size),
            with_dace=True,
        )
        folder = options.out or options.training / f"assessment-{options.split}"
        report(found, folder, config, data)


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
    chosen = {n: getattr(options, n) for n in ("transforms", "limit")}
    selection = dataclasses.replace(
        config.selection, **{n: v for n, v in chosen.items() if v is not None}
    )
    config = dataclasses.replace(config, selection=selection)
    plain = ("batch_size", "learning_rate", "perturbation", "workers", "seed", "compile")
    given = {n: getattr(options, n) for n in plain if getattr(options, n) is not None}
    return dataclasses.replace(config, **given)


def _add_common(command: argparse.ArgumentParser) -> None:
    command.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    command.add_argument(
        "--facemodel", type=Path, help="model file, where its licence keeps it out of the dataset"
    )


def report(
    found: Assessment,
    folder: Path,
    config: TrainConfig,
    data: FaceDataset,
    training_samples: int | None = None,
) -> list[Path]:
    """Write an assessment with its pictures into `folder`, print it, return what was written.

    `training_samples` is how many the network was trained on, where that is known.
    """
    about = {
        "training_samples": training_samples,
        "split": data.reader.split,
        **data.identity,
        "network": dataclasses.asdict(config.network),
        "seed": config.seed,
        "torch": torch.__version__,
    }
    save_assessment(found, folder, about)
    maps = {FIT: found.fit_map, PREDICTED: found.predicted_map}
    pictures = folder / "error-maps.png"
    save_error_maps(pictures, data.model, maps, MAP_LIMIT)
    sys.stdout.write(f"\n{assessment_text(found)}\n")
    written = [folder / "assessment.md", folder / "assessment.json", pictures]
    sys.stdout.write("".join(f"{path}\n" for path in written))
    return written


def _say(at: Processes, text: str) -> None:
    if at.leads:
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()
