"""One process per device, started by ``torchrun``; a single process without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn


class Processes(NamedTuple):
    """This process among those that train together.

    Attributes
    ----------
    rank, world : int
        Number of this one, and how many there are.
    device : torch.device
    """

    rank: int
    world: int
    device: torch.device

    @property
    def leads(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0


@contextmanager
def processes(device: str = "auto") -> Iterator[Processes]:
    """Join the other processes, as ``torchrun`` says in the environment.

    Parameters
    ----------
    device : str
        ``"cpu"``, ``"cuda"`` or ``"auto"``: CUDA where there is any.
    """
    if device not in ("auto", "cpu", "cuda"):
        raise ValueError(f"device: '{device}' is none of auto, cpu, cuda")
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device: cuda was asked for, and torch finds none")
    on_cuda = device != "cpu" and torch.cuda.is_available()
    rank, world = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    local = int(os.environ.get("LOCAL_RANK", "0"))
    chosen = torch.device("cuda", local) if on_cuda else torch.device("cpu")
    if on_cuda:
        torch.cuda.set_device(chosen)
    if world == 1:
        yield Processes(0, 1, chosen)
        return
    distributed.init_process_group("nccl" if on_cuda else "gloo")
    try:
        yield Processes(rank, world, chosen)
    finally:
        distributed.destroy_process_group()


def shared(network: nn.Module, at: Processes) -> nn.Module:
    """Wrap a network so that gradients are averaged over all processes."""
    if at.world == 1:
        return network
    ids = [at.device.index] if at.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(network, device_ids=ids)


def mean_over(value: Tensor, at: Processes) -> Tensor:
    """Average a tensor over all processes."""
    if at.world > 1:
        value = value.clone()
        distributed.all_reduce(value)
        value /= at.world
    return value


def wait_for_all(at: Processes) -> None:
    """Return when every process has come here."""
    if at.world > 1:
        distributed.barrier()
