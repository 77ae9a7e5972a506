"""What a trained network needs besides its weights: the face model, how photos become inputs.

All are those of the dataset that it was trained on. A training run leaves them next to its
checkpoint, so that its folder can be taken anywhere and used there. A face model whose licence
keeps it out of the dataset stays out of this folder, too, and is named by path.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any, NamedTuple

import torch

from fg3d_builder.config import ALL_LOOKS, FitConfig, LandmarkConfig, from_table
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fgnet.training.reconstruction import Reconstructor
from fg3d_builder.fgnet.training.settings import TrainConfig
from fg3d_builder.files.atomic import replacing
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.sealed_object import read_sealed_object, write_sealed_object
from fg3d_builder.shards.manifest import MODEL_NAME, read_manifest

DESCRIPTION_NAME = "trained-on.json"
SCHEMA = "fg3d-trained-on-1"


class CropSettings(NamedTuple):
    """How the training images were cut out; photos are cut out alike.

    Attributes
    ----------
    margin : float
        The larger side of the fitted face's box is enlarged by it.
    size : int
        Side of the crop in pixels.
    """

    margin: float
    size: int


class Trained(NamedTuple):
    """A network that is ready for photos.

    Attributes
    ----------
    model : FaceModel
    reconstructor : Reconstructor
    config : TrainConfig
    crop : CropSettings
    looks : int
        How often the detector looked at the views that it was trained on, for the fits that it
        was given; photos are to be looked at as often.
    checkpoint : Path
    """

    model: FaceModel
    reconstructor: Reconstructor
    config: TrainConfig
    crop: CropSettings
    looks: int
    checkpoint: Path
    landmarks: LandmarkConfig = LandmarkConfig()
    fit: FitConfig = FitConfig()


def keep_what_prediction_needs(dataset: Path, training: Path) -> None:
    """Put the dataset's face model and crop settings next to the checkpoint of a run.

    Parameters
    ----------
    dataset : Path
        Folder with ``manifest.json``.
    training : Path
        Folder of the run; gets ``trained-on.json`` and, where the dataset holds it,
        ``facemodel.h5``.

    Raises
    ------
    ValueError
        The dataset's copy of the face model is not the one that its manifest names.
    """
    manifest = read_manifest(dataset)
    model, config = manifest["facemodel"], manifest["config"]
    kept = training / MODEL_NAME
    if model["file"] and not (kept.is_file() and file_sha256(kept) == model["sha256"]):
        with replacing(kept) as temporary:
            shutil.copyfile(dataset / model["file"], temporary)
            if file_sha256(temporary) != model["sha256"]:
                raise ValueError(
                    f"{dataset / model['file']}: SHA-256 differs from the manifest's; "
                    f"`fg3d verify {dataset}` says how to repair it"
                )
    value = {
        "schema": SCHEMA,
        "content_sha256": manifest["content_sha256"],
        "facemodel": {name: model[name] for name in ("name", "topology_hash", "sha256")},
        "crop_margin": config["shards"]["crop_margin"],
        "image_size": config["shards"]["image_size"],
        "looks": _looks(config["fullview"]),
        "landmarks": {name: config["landmarks"][name] for name in _OF_LANDMARKS},
        "fit": config["fit"],
    }
    write_sealed_object(training / DESCRIPTION_NAME, value)


def read_description(run: Path) -> dict[str, Any]:
    """Read what `keep_what_prediction_needs` noted down in the folder of a run.

    Raises
    ------
    FileNotFoundError
    ValueError
        It does not fit its seal.
    """
    return read_sealed_object(run / DESCRIPTION_NAME, SCHEMA)


def load_trained(checkpoint: Path, device: torch.device, facemodel: Path | None = None) -> Trained:
    """Read a trained network with all that it needs.

    Parameters
    ----------
    checkpoint : Path
        In the folder of its run.
    device : torch.device
    facemodel : Path, optional
        Model file, where its licence keeps it away from the checkpoint.

    Raises
    ------
    FileNotFoundError
        No checkpoint, or nothing next to it that tells what it was trained on.
    ConfigError
        The face model is not there and not named.
    ValueError
        No checkpoint, one that does not fit its seal, a description that does not, or another
        face model than the one that it was trained with.
    """
    if not checkpoint.is_file():
        raise FileNotFoundError(
            f"no checkpoint at {checkpoint}, counted from the current folder; --checkpoint "
            "names another, `make train` makes the demo's"
        )
    folder = checkpoint.parent
    path = folder / DESCRIPTION_NAME
    if not path.is_file():
        raise FileNotFoundError(
            f"{checkpoint} has no {DESCRIPTION_NAME} next to it, which tells how photos are "
            "cropped; copy the whole folder of the run"
        )
    value = read_description(folder)
    wanted = value["facemodel"]
    file = facemodel or folder / MODEL_NAME
    if not file.is_file():
        raise ConfigError(
            f"the network needs the face model '{wanted['name']}', and there is none at {file}; "
            "name its file with --facemodel"
        )
    # The topology would not tell models apart that were learned on one template.
    if file_sha256(file) != wanted["sha256"]:
        raise ValueError(
            f"{file} is not the face model file '{wanted['name']}' that the dataset was built with"
        )
    model = load_model(file)
    reconstructor, config = Reconstructor.load(checkpoint, model, device)
    crop = CropSettings(float(value["crop_margin"]), int(value["image_size"]))
    landmarks = from_table(LandmarkConfig, value.get("landmarks", {}), str(path))
    fit = from_table(FitConfig, value.get("fit", {}), str(path))
    return Trained(model, reconstructor, config, crop, _looks(value), checkpoint, landmarks, fit)


_OF_LANDMARKS = ("detector", "min_confidence")


def _looks(described: dict[str, Any]) -> int:
    """Of a description that has none, it is what there was before there was a choice."""
    return int(described.get("looks", ALL_LOOKS))
