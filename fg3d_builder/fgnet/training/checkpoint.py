"""Checkpoints from which a training run goes on as if it had never stopped.

A checkpoint is what `torch.save` writes, behind a seal (`fg3d_builder.files.sealed`): the first
`BLOCK` bytes. The one before the newest is kept beside it, for the day that the newest is damaged.
"""

from __future__ import annotations

import io
import logging
import os
import random
import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fg3d_builder.config import to_table
from fg3d_builder.fgnet.calibration import Calibration
from fg3d_builder.fgnet.first_look import FirstLook
from fg3d_builder.fgnet.training.names import BEFORE_NAME
from fg3d_builder.fgnet.training.settings import TrainConfig, train_config
from fg3d_builder.files.atomic import replacing
from fg3d_builder.files.sealed import BLOCK, data_problem, write_sealed

SCHEMA = "fg3d-checkpoint-3"
_EARLIER = (b"fg3d-checkpoint-1 ", b"fg3d-checkpoint-2 ")
"""Begin the seals of checkpoints without a calibration, and with a first look that is linear."""
_UNSEALED = b"PK"
"""Begins what `torch.save` writes."""

log = logging.getLogger(__name__)


class DamagedCheckpointError(ValueError):
    """A checkpoint does not fit its seal; the message names it."""


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
    """Write everything that the next step depends on, or nothing; keep the one before.

    Parameters
    ----------
    path : Path
    config : TrainConfig
    identity : dict of str to str
        What it was trained on and answers for, see `FaceDataset.identity`.
    progress : Progress
    parts : dict
        Objects with ``state_dict``: network, calibration, first look where there is one, optimiser,
        schedule, loss scaler.
    """
    state = {
        "schema": SCHEMA,
        "config": to_table(config),
        "identity": identity,
        "progress": vars(progress),
        "parts": {name: part.state_dict() for name, part in parts.items()},
        "random": random_state(),
    }
    content = io.BytesIO()
    torch.save(state, content)
    if path.is_file():
        _keep_before(path)
    write_sealed(path, SCHEMA, content.getvalue())


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint into main memory, after checking its seal.

    Raises
    ------
    FileNotFoundError
    DamagedCheckpointError
        It does not fit its seal. The file stays where it is.
    ValueError
        Another kind of file.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no checkpoint at {path}")
    data = path.read_bytes()
    if data.startswith(_UNSEALED):
        raise ValueError(f"{path} has no seal: an earlier version wrote it, and only that reads it")
    if data.startswith(_EARLIER):
        raise ValueError(
            f"{path}: an earlier version wrote it, and only that reads it; train in another folder"
        )
    why = data_problem(data, SCHEMA)
    if why:
        before = path.with_name(BEFORE_NAME)
        hint = f"; {before} is the one before it" if path != before and before.is_file() else ""
        raise DamagedCheckpointError(f"{path} is no sound checkpoint: {why}{hint}")
    try:
        state = torch.load(
            io.BytesIO(memoryview(data)[BLOCK:]), map_location="cpu", weights_only=True
        )
    except Exception as error:  # torch raises whatever its readers meet
        raise ValueError(f"{path} is no checkpoint: {error}") from None
    if not isinstance(state, dict) or state.get("schema") != SCHEMA:
        raise ValueError(f"{path} is no checkpoint of schema '{SCHEMA}'")
    return state


def newest_checkpoint(path: Path) -> tuple[dict[str, Any] | None, list[Path]]:
    """Read the newest checkpoint of a run that fits its seal.

    Parameters
    ----------
    path : Path
        Of the newest one.

    Returns
    -------
    state : dict or None
        None where there is no sound one.
    damaged : list of Path
        Checkpoints newer than it that do not fit their seals. They stay where they are.

    Raises
    ------
    ValueError
        Another kind of file.
    """
    damaged: list[Path] = []
    for file in (path, path.with_name(BEFORE_NAME)):
        try:
            state = read_checkpoint(file)
        except DamagedCheckpointError as error:
            log.warning("%s", error)
            damaged.append(file)
        except FileNotFoundError:
            continue
        else:
            if file != path:
                log.warning("going on from %s, the checkpoint before", file)
            return state, damaged
    return None, damaged


def _keep_before(path: Path) -> None:
    """Give the newest checkpoint its second name, so that at every moment one is there."""
    with replacing(path.with_name(BEFORE_NAME)) as temporary:
        temporary.unlink(missing_ok=True)  # of a process that died; it may be the newest itself
        try:
            os.link(path, temporary)
        except OSError:  # a file system without hard links
            shutil.copyfile(path, temporary)


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


def load_calibration(state: dict[str, Any]) -> Calibration:
    """Return the calibration that a network of a checkpoint was trained with."""
    return Calibration.from_state(state["parts"]["calibration"])


def load_first_look(state: dict[str, Any]) -> FirstLook | None:
    """Return the first look that a network of a checkpoint adds to, if it does."""
    held = state["parts"].get("first_look")
    return None if held is None else FirstLook.from_state(held)


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
