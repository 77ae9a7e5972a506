"""A training run and an assessment from folder to folder, as ``fg3d train`` and ``fg3d assess``.

What happens is logged, one line a message, by the process that writes files.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Sequence
from pathlib import Path

import torch

from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.data.feeding import Feeder
from fg3d_builder.fgnet.trained import keep_what_prediction_needs
from fg3d_builder.fgnet.training.assessment import (
    FIT,
    PREDICTED,
    Assessment,
    assess,
    assessment_text,
    save_assessment,
)
from fg3d_builder.fgnet.training.checkpoint import read_checkpoint
from fg3d_builder.fgnet.training.distributed import Processes, one_first, processes
from fg3d_builder.fgnet.training.loop import Trainer
from fg3d_builder.fgnet.training.names import CHECKPOINT_NAME, assessment_folder
from fg3d_builder.fgnet.training.pictures import save_error_maps
from fg3d_builder.fgnet.training.reconstruction import Reconstructor
from fg3d_builder.fgnet.training.run_status import note_dataset
from fg3d_builder.fgnet.training.settings import TrainConfig
from fg3d_builder.shards.manifest import altered_files

log = logging.getLogger(__name__)

MAP_LIMIT = 0.08
"""End of the colour scale of error maps, a fraction of the interocular distance."""


def train(
    dataset: Path,
    run: Path,
    config: TrainConfig,
    device: str = "auto",
    facemodel: Path | None = None,
    inputs: Path | None = None,
) -> None:
    """Train a network, or go on training it; then assess it on the test split.

    Parameters
    ----------
    dataset : Path
        Folder with ``manifest.json``.
    run : Path
        Folder of the run.
    config : TrainConfig
    device : str
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    facemodel : Path, optional
        Model file, where its licence keeps it out of the dataset.
    inputs : Path, optional
        Folder of simulated inputs that runs share.

    Raises
    ------
    FileNotFoundError
        No dataset.
    ValueError
        `run` holds a run with other settings or on another dataset, or shards are not those that
        the dataset's manifest describes.
    """
    model = load_model(facemodel) if facemodel else None
    with processes(device) as at:
        floor, selection = config.confidence_floor, config.selection
        data = FaceDataset(dataset, "train", floor, model, selection=selection)
        test = FaceDataset(dataset, "test", floor, model)
        check_shards((data, test), at)
        trainer = Trainer(config, data, run, at, test, inputs)
        if at.leads:
            log.info("%d training samples, %d test samples, %s", len(data), len(test), at.device)
            keep_what_prediction_needs(dataset, run)
            note_dataset(run, dataset, facemodel, inputs)
        began = time.monotonic()
        trainer.run()
        if not at.leads:
            return
        log.info("trained for %.0f s", time.monotonic() - began)
        if len(test):
            found = trainer.assess(test, with_dace=True)
            report(found, assessment_folder(run), config, test, len(data))
            for path in (run / "curves.png", *sorted((run / "pictures").glob("epoch-*.png"))[-1:]):
                log.info("%s", path)


def assess_run(
    dataset: Path,
    run: Path,
    split: str = "test",
    out: Path | None = None,
    device: str = "auto",
    facemodel: Path | None = None,
) -> None:
    """Compare a trained network with the 3DMM fit, on any dataset of its face model.

    Parameters
    ----------
    dataset : Path
        Folder with ``manifest.json``.
    run : Path
        Folder of the training run.
    split : str
    out : Path, optional
        Folder of the result, in place of `assessment_folder`.
    device : str
        ``"cpu"``, ``"cuda"`` or ``"auto"``.
    facemodel : Path, optional
        Model file, where its licence keeps it out of the dataset.
    """
    model = load_model(facemodel) if facemodel else None
    with processes(device) as at:
        data = FaceDataset(dataset, split, model=model)
        check_shards((data,), at)
        reconstructor, config = Reconstructor.load(run / CHECKPOINT_NAME, data.model, at.device)
        simulator, needs = reconstructor.simulator, reconstructor.network.needs
        found = assess(
            lambda fed: reconstructor.predict(fed.given, fed.shape_mm),
            data,
            Feeder(data, simulator, needs, at.device, workers=config.workers),
            config.batch_size,
            with_dace=True,
        )
        trained_on = read_checkpoint(run / CHECKPOINT_NAME)["identity"]["content_sha256"]
        content = data.identity["content_sha256"]
        other = "" if content == trained_on else content
        report(found, out or assessment_folder(run, split, other), config, data)


def check_shards(parts: Sequence[FaceDataset], at: Processes) -> None:
    """Compare the shards of splits with the hashes in the manifest, once on every machine.

    Raises
    ------
    ValueError
        Names the shards that differ.
    """
    with one_first(at):
        if not at.leads_here:
            return
        began = time.monotonic()
        for part in parts:
            folder, names = part.reader.folder, part.reader.shards
            altered = altered_files(folder, names)
            if altered:
                raise ValueError(
                    f"{folder}: {', '.join(altered)}: SHA-256 differs from the manifest's; "
                    f"`fg3d verify {folder}` says how to repair the dataset"
                )
        count = sum(len(part.reader.shards) for part in parts)
        if at.leads:
            log.info("%d shards checked in %.1f s", count, time.monotonic() - began)


def report(
    found: Assessment,
    folder: Path,
    config: TrainConfig,
    data: FaceDataset,
    training_samples: int | None = None,
) -> None:
    """Write an assessment with its error maps, and log it.

    Parameters
    ----------
    found : Assessment
    folder : Path
    config : TrainConfig
        The network was trained with it.
    data : FaceDataset
        The network was assessed on it.
    training_samples : int, optional
        How many the network was trained on, where that is known.
    """
    about = {
        "training_samples": training_samples,
        "split": data.reader.split,
        **data.identity,
        "network": dataclasses.asdict(config.network),
        "seed": config.seed,
        "torch": torch.__version__,
    }
    pictures = folder / "error-maps.png"
    maps = {FIT: found.fit_map, PREDICTED: found.predicted_map}
    save_error_maps(pictures, data.model, maps, MAP_LIMIT)
    written = [*save_assessment(found, folder, about), pictures]
    log.info("\n%s", assessment_text(found))
    for path in written:
        log.info("%s", path)
