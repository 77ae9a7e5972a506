"""Names of presets and of the files of a training run, for code that does without torch."""

from __future__ import annotations

from pathlib import Path

PRESETS = ("tiny", "small", "paper")
"""Keys of `TRAIN_PRESETS`."""

CHECKPOINT_NAME, BEFORE_NAME = "checkpoint.pt", "checkpoint-before.pt"
"""The newest checkpoint, and the one that was the newest before."""
CONFIG_NAME = "config.json"
"""Settings of the run in full; `read_settings` reads them back."""
BEGUN_NAME = "begun.json"
"""File of a run that says which dataset it was last given."""
ASSESSMENT_NAME, ASSESSMENT_PAGE_NAME = "assessment.json", "assessment.md"
FIT, CONSTANT, CALIBRATED, LOOK = "3DMM fit", "constant", "ridge", "first look"
PREDICTED = "network"
"""The methods that an assessment compares: the fit; the fit with the mean displacement of the
training samples; with what a ridge regression on its coefficients answers; with what one that sees
the network's pictures, too, answers, where the network adds to that; the network."""
KEYS = {
    FIT: "fit",
    CONSTANT: "constant",
    CALIBRATED: "ridge",
    LOOK: "look",
    PREDICTED: "predicted",
}
"""What they are called in an assessment's file."""
LOG_NAME, ERROR_MAPS_NAME = "log.csv", "error-maps.png"
BOARD_NAME = "tensorboard"
"""Folder of a run that TensorBoard reads, where that is installed."""
REPORT_NAME = "report.html"
"""The page of a run, see `report.training_page`."""


def is_run(folder: Path) -> bool:
    """Whether a training run has begun in a folder: its page can be written from less."""
    names = (CHECKPOINT_NAME, BEFORE_NAME, BEGUN_NAME)
    return any((folder / name).is_file() for name in names)


def assessment_folder(run: Path, split: str = "test", content_sha256: str = "") -> Path:
    """Return where the assessment of a run is.

    Parameters
    ----------
    run : Path
        Folder of the training run.
    split : str
    content_sha256 : str
        Content of the assessed dataset, where it is not the one that the run trained on.
    """
    name = f"assessment-{split}"
    return run / (f"{name}-{content_sha256[:12]}" if content_sha256 else name)
