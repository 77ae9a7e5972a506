"""A training run and an assessment from folder to folder, as ``fg3d train`` and ``fg3d assess``.

What happens is logged, one line a message, by the process that writes files.
"""

from __future__ import annotations

import dataclasses
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fgnet.calibration import Calibration
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.data.feeding import Feeder
from fg3d_builder.fgnet.data.kept_inputs import Fed
from fg3d_builder.fgnet.first_look import FirstLook
from fg3d_builder.fgnet.trained import keep_what_prediction_needs, read_description
from fg3d_builder.fgnet.training.assessment import (
    Assessment,
    Predictor,
    assess,
    assessment_text,
    methods,
    save_assessment,
)
from fg3d_builder.fgnet.training.checkpoint import (
    load_calibration,
    load_first_look,
    read_checkpoint,
)
from fg3d_builder.fgnet.training.distributed import Processes, one_first, processes
from fg3d_builder.fgnet.training.loop import Trainer
from fg3d_builder.fgnet.training.method_errors import SharedErrors
from fg3d_builder.fgnet.training.names import (
    CHECKPOINT_NAME,
    ERROR_MAPS_NAME,
    assessment_folder,
)
from fg3d_builder.fgnet.training.pictures import save_error_maps, save_grid
from fg3d_builder.fgnet.training.reconstruction import Reconstructor
from fg3d_builder.fgnet.training.run_status import note_dataset
from fg3d_builder.fgnet.training.settings import TrainConfig
from fg3d_builder.shards.manifest import altered_files
from fg3d_builder.wording import counted

log = logging.getLogger(__name__)

WORST_DRAWN = 8
"""Samples that an assessment draws: those of which the network's error is largest."""


def train(
    dataset: Path,
    run: Path,
    config: TrainConfig,
    device: str = "auto",
    facemodel: Path | None = None,
    inputs: Path | None = None,
    after_epoch: Callable[[], object] = lambda: None,
) -> None:
    """Train a network, or go on training it; then assess it on the test split.

    While it trains its errors are measured on the split ``val``, where the dataset has samples in
    it, so that who chooses settings by them has not seen the test split; else on ``test``.

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
        Folder of simulated inputs, and of errors of what looks at no pixel, that runs share.
    after_epoch : callable
        Called when the files of an epoch are written, and at the end.

    Raises
    ------
    FileNotFoundError
        No dataset.
    ValueError
        `run` holds a run with other settings or on another dataset, shards are not those that
        the dataset's manifest describes, or the training split is empty.
    """
    model = load_model(facemodel) if facemodel else None
    with processes(device) as at:
        floor, selection = config.confidence_floor, config.selection
        data = FaceDataset(dataset, "train", floor, model, selection=selection)
        if not len(data):
            raise ValueError(
                f"{dataset} has no sample to train on: its train split is empty. All captures of "
                "a subject are in one split, so it needs two subjects or more, and a split that "
                "leaves some to train: shards.split_salt and shards.test_fraction of the build, or "
                "fg3d split"
            )
        test = FaceDataset(dataset, "test", floor, model, selection=config.tested)
        val = _val_split(dataset, test, floor, model)
        check_shards((data, test) if val is None else (data, val, test), at)
        trainer = Trainer(config, data, run, at, test if val is None else val, inputs)
        if at.leads:
            counts = [counted(len(data), "training sample"), counted(len(test), "test sample")]
            if val is not None:
                counts.append(f"{counted(len(val), 'val sample')}, which are watched")
            log.info("%s, %s", ", ".join(counts), at.device)
            keep_what_prediction_needs(dataset, run)
            note_dataset(run, dataset, facemodel, inputs, len(test))
        began = time.monotonic()
        trainer.run(after_epoch=after_epoch)
        if not at.leads:
            return
        log.info("trained for %.0f s", time.monotonic() - began)
        if len(test):
            found = trainer.assess(test, with_dace=True, with_psd=True)
            feeder = Feeder(test, trainer.simulator, trainer.network.needs, at.device)
            folder = assessment_folder(run)
            worst = draw_worst(found, folder, trainer.predict, test, feeder)
            report(found, folder, config, test, worst, len(data))
            after_epoch()
            for path in (run / "curves.png", *sorted((run / "pictures").glob("epoch-*.png"))[-1:]):
                log.info("%s", path)


def _val_split(
    dataset: Path, test: FaceDataset, floor: float, model: FaceModel | None
) -> FaceDataset | None:
    """Return the split ``val``; None where the dataset has none, or no sample in it."""
    split = test.reader.manifest["splits"].get("val", {"samples": 0})
    return FaceDataset(dataset, "val", floor, model) if split["samples"] else None


def assess_run(
    dataset: Path,
    run: Path,
    split: str = "test",
    out: Path | None = None,
    device: str = "auto",
    facemodel: Path | None = None,
    inputs: Path | None = None,
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
    inputs : Path, optional
        As in `train`.
    """
    model = load_model(facemodel) if facemodel else None
    with processes(device) as at:
        data = FaceDataset(dataset, split, model=model)
        check_model(run, data)
        check_shards((data,), at)
        reconstructor, config = Reconstructor.load(run / CHECKPOINT_NAME, data.model, at.device)
        if split == "test":
            data = FaceDataset(dataset, split, model=model, selection=config.tested)
        simulator, needs = reconstructor.simulator, reconstructor.network.needs

        def predict(fed: Fed) -> Tensor:
            return reconstructor.predict(fed.given, fed.shape_mm, fed.features)

        feeder = Feeder(data, simulator, needs, at.device, workers=config.workers)
        state = read_checkpoint(run / CHECKPOINT_NAME)
        calibration, look = baselines(state, at.device)
        known = None
        if inputs is not None:
            feeder.share(inputs)
            known = SharedErrors(inputs, calibration)
        compared = methods(predict, calibration, look)
        found = assess(compared, data, feeder, config.batch_size, True, with_psd=True, shared=known)
        trained_on = state["identity"]["content_sha256"]
        content = data.identity["content_sha256"]
        other = "" if content == trained_on else content
        folder = out or assessment_folder(run, split, other)
        few = Feeder(data, simulator, needs, at.device)
        report(found, folder, config, data, draw_worst(found, folder, predict, data, few))


def check_model(run: Path, data: FaceDataset) -> None:
    """Refuse a dataset of another face model than the one that a run was trained with.

    Models that were learnt on one template share its topology, but not what coefficients mean.

    Raises
    ------
    ValueError
        Names both.
    """
    try:
        wanted = read_description(run)["facemodel"]
    except FileNotFoundError:  # a run that ended before it noted it down
        return
    found = data.reader.manifest["facemodel"]
    if found["sha256"] != wanted["sha256"]:
        raise ValueError(
            f"{data.reader.folder}: its face model is '{found['name']}', another one than the "
            f"'{wanted['name']}' that {run} was trained with"
        )


def baselines(state: dict[str, Any], device: torch.device) -> tuple[Calibration, FirstLook | None]:
    """Return what a run's network is compared with, of the state of its checkpoint."""
    look = load_first_look(state)
    return load_calibration(state).to(device), None if look is None else look.to(device)


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
            log.info("%s checked in %.1f s", counted(count, "shard"), time.monotonic() - began)


def draw_worst(
    found: Assessment, folder: Path, predict: Predictor, data: FaceDataset, feeder: Feeder
) -> dict[int, str]:
    """Draw the samples of which the network's error is largest, the worst first.

    Parameters
    ----------
    found : Assessment
        Of all samples of `data`.
    folder : Path
        Gets the pictures.
    predict : callable
        Returns the shapes (B, n, 3) of a batch.
    data : FaceDataset
    feeder : Feeder
        Gives batches of `data`.

    Returns
    -------
    dict of int to str
        Names of the pictures by the numbers of the samples.
    """
    numbers = found.worst(WORST_DRAWN)
    drawn = {number: f"worst-{place}.png" for place, number in enumerate(numbers, start=1)}
    for fed in feeder.batches([[number] for number in numbers]):
        (number,) = fed.number.tolist()
        photo = data[number].fit.image[None]
        save_grid(folder / drawn[number], data.model, photo, fed, predict(fed))
    return drawn


def report(
    found: Assessment,
    folder: Path,
    config: TrainConfig,
    data: FaceDataset,
    worst: Mapping[int, str],
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
    worst : mapping of int to str
        See `draw_worst`.
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
    pictures = folder / ERROR_MAPS_NAME
    save_error_maps(pictures, data.model, found.maps_mm)
    written = [*save_assessment(found, folder, about, worst), pictures]
    log.info("\n%s", assessment_text(found))
    for path in written:
        log.info("%s", path)
