"""Checkpoints from which a training run goes on as if it had never stopped."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fg3d_builder.config import to_table
from fg3d_builder.fgnet.training.settings import TrainConfig, train_config
from fg3d_builder.files.atomic import replacing

SCHEMA = "fg3d-checkpoint-1"


@dataclass
class Progress:
    """How far a training run is.

    Attributes
    ----------
    epoch, batch : int
        Epoch of the next step, and the batch of that epoch that it takes.
    step : int
        Steps done.
    sums : dict of str to float
        Sums of the loss's terms over the epoch so far.
    """

    epoch: int = 0
    batch: int = 0
    step: int = 0
    sums: dict[str, float] = field(default_factory=dict)


def save_checkpoint(
    path: Path,
    config: TrainConfig,
    identity: dict[str, str],
    progress: Progress,
    parts: dict[str, Any],
) -> None:
    """Write everything that the next step depends on, or nothing.

    Parameters
    ----------
    path : Path
    config : TrainConfig
    identity : dict of str to str
        What it was trained on and answers for, see `FaceDataset.identity`.
    progress : Progress
    parts : dict
        Objects with ``state_dict``: network, optimiser, schedule, loss scaler.
    """
    state = {
        "schema": SCHEMA,
        "config": to_table(config),
        "identity": identity,
        "progress": vars(progress),
        "parts": {name: part.state_dict() for name, part in parts.items()},
        "random": random_state(),
    }
    with replacing(path) as temporary:
        torch.save(state, temporary)


def read_checkpoint(path: Path, mapped: bool = False) -> dict[str, Any]:
    """Read a checkpoint into main memory.

    Parameters
    ----------
    path : Path
    mapped : bool
        Leave weights in the file until they are used: for looking at settings and progress.

    Raises
    ------
    FileNotFoundError
    ValueError
        Another kind of file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    try:
        state = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except Exception as error:  # torch raises whatever its readers meet
        raise ValueError(f"{path} is no checkpoint: {error}") from None
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no checkpoint of schema '{SCHEMA}'")
    return state


def checkpoint_config(state: dict[str, Any], path: Path) -> TrainConfig:
    """Return the configuration that a checkpoint was trained with."""
    return train_config(state["config"], str(path))


def restore(state: dict[str, Any], parts: dict[str, Any]) -> Progress:
    """Put `parts` and the random generators back where they were; return the progress."""
    for name, part in parts.items():
        part.load_state_dict(state["parts"][name])
    set_random_state(state["random"])
    return Progress(**state["progress"])


def load_weights(state: dict[str, Any], network: nn.Module) -> None:
    """Give a network the weights of a checkpoint."""
    network.load_state_dict(state["parts"]["network"])


def random_state() -> dict[str, Any]:
    """Return the state of every generator that code in this process may draw from."""
    legacy: Any = np.random.get_state()  # noqa: NPY002
    kind, keys, position, has_gauss, gauss = legacy
    version, internal, gauss_next = random.getstate()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss],
        "python": [version, list(internal), gauss_next],
    }


def set_random_state(state: dict[str, Any]) -> None:
    """Undo what was drawn since `random_state`."""
    torch.set_rng_state(state["torch"])
    # A machine with another number of devices seeds its own; training draws nothing from them.
    if torch.cuda.is_available() and len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002
    version, internal, gauss_next = state["python"]
    random.setstate((version, tuple(internal), gauss_next))
