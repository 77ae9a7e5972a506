"""One process per device, started by ``torchrun``; a single process without it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn

_PATIENCE = timedelta(days=1)
"""For what one process of a machine reads or makes while the others wait."""


class Processes(NamedTuple):
    """This process among those that train together.

    Attributes
    ----------
    rank, world : int
        Number of this one, and how many there are.
    device : torch.device
    local_rank : int
        Number of this one among those of this machine.
    """

    rank: int
    world: int
    device: torch.device
    local_rank: int = 0

    @property
    def leads(self) -> bool:
        """Whether this process writes files."""
        return self.rank == 0

    @property
    def leads_here(self) -> bool:
        """Whether this process does what is done once on each machine."""
        return self.local_rank == 0


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
        yield Processes(rank, world, chosen, local)
    finally:
        distributed.destroy_process_group()


@contextmanager
def one_first(at: Processes) -> Iterator[None]:
    """Run the block in one process of each machine, and after that in the others."""
    if at.world == 1:
        yield
        return
    # A group of its own: the others wait longer for files than for a step of training.
    group = distributed.new_group(backend="gloo", timeout=_PATIENCE)
    if not at.leads_here:
        distributed.barrier(group)
    yield
    if at.leads_here:
        distributed.barrier(group)


def shared(network: nn.Module, at: Processes) -> nn.Module:
    """Wrap a network so that gradients are averaged over all processes."""
    if at.world == 1:
        return network
    ids = [at.device.index] if at.device.type == "cuda" else None
    return nn.parallel.DistributedDataParallel(network, device_ids=ids)


def mean_over(value: Tensor, at: Processes) -> Tensor:
    """Average a tensor over all processes.

    `value` has the same shape, any, in all of them.
    """
    if at.world > 1:
        value = value.clone()
        distributed.all_reduce(value)
        value /= at.world
    return value


def wait_for_all(at: Processes) -> None:
    """Return when every process has come here."""
    if at.world > 1:
        distributed.barrier()
