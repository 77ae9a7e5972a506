"""Whether batches of reading processes fit into shared memory, through which they come.

Torch hands tensors of a `DataLoader`'s workers over in files of ``/dev/shm``. Containers give it
64 MiB unless told otherwise, and a worker that finds it full dies of a bus error in the middle of
an epoch, without a word about the reason.
"""

from __future__ import annotations

import os
from pathlib import Path

from torch import Tensor

SHARED_MEMORY = Path("/dev/shm")

PREFETCHED = 2
"""Batches that each worker of a `DataLoader` reads ahead; one more is in use."""

MIB = 1 << 20


def tensor_bytes(parts: object) -> int:
    """Bytes of all tensors in nested tuples."""
    if isinstance(parts, Tensor):
        return parts.numel() * parts.element_size()
    return sum(tensor_bytes(part) for part in parts) if isinstance(parts, tuple) else 0


def check_shared_memory(
    sample_bytes: int,
    batch_size: int,
    workers: int,
    processes: int = 1,
    folder: Path = SHARED_MEMORY,
) -> None:
    """Compare what workers will have under way with the room that is left.

    Parameters
    ----------
    sample_bytes : int
        Bytes of all tensors of a sample.
    batch_size, workers : int
        Samples of a batch, and processes that read for one process of the training.
    processes : int
        Processes of the training on this machine.
    folder : Path
        Where shared memory is mounted; without it (not Linux) nothing is checked.

    Raises
    ------
    ValueError
        Too little room; says what to do.
    """
    if not workers or not folder.is_dir():
        return
    room = os.statvfs(folder)
    free = room.f_bavail * room.f_frsize
    needed = sample_bytes * batch_size * (PREFETCHED * workers + 1) * processes
    if needed <= free:
        return
    raise ValueError(
        f"{folder} has {free / MIB:.0f} MiB free, and {workers} workers that read batches of "
        f"{batch_size} samples for {processes} process(es) need {needed / MIB:.0f} MiB of it: "
        f"train with --workers 0 or fewer, or start the container with "
        f"--shm-size={max(1, -(-2 * needed // (1 << 30)))}g"
    )
