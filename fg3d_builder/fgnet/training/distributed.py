"""One process per device, started by ``torchrun``; a single process without it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from typing import NamedTuple, TypeVar

import torch
from torch import Tensor, distributed, nn

PATIENCE = timedelta(days=1)
"""For what one process reads, makes or assesses while the others wait. A collective operation of
training itself gives up after ten minutes: then a process is lost, and the others should not
stay."""

Learnt = TypeVar("Learnt", bound=nn.Module)


class Processes(NamedTuple):
    """This process among those that train together.

    Attributes
    ----------
    rank, world : int
        Number of this one, and how many there are.
    device : torch.device
    local_rank, local_world : int
        Number of this one among those of this machine, and how many these are.
    patient : ProcessGroup, optional
        All processes, through main memory, with `PATIENCE`; None where there is one.
    """

    rank: int
    world: int
    device: torch.device
    local_rank: int = 0
    local_world: int = 1
    patient: distributed.ProcessGroup | None = None

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
    patient = distributed.new_group(backend="gloo", timeout=PATIENCE)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    try:
        yield Processes(rank, world, chosen, local, here, patient)
    finally:
        distributed.destroy_process_group()


@contextmanager
def one_first(at: Processes) -> Iterator[None]:
    """Run the block in one process of each machine, and after that in the others."""
    if at.world == 1:
        yield
        return
    if not at.leads_here:
        distributed.barrier(at.patient)
    yield
    if at.leads_here:
        distributed.barrier(at.patient)


def learnt_by_one(
    learn: Callable[[], Learnt], read: Callable[[dict[str, Tensor]], Learnt], at: Processes
) -> Learnt:
    """Have one process learn something, and the others get it from there, to the bit.

    Parameters
    ----------
    learn : callable
        Is called in the process that leads.
    read : callable
        Makes what was learnt of its ``state_dict``, in main memory.
    at : Processes
    """
    if at.world == 1:
        return learn()
    found = learn() if at.leads else None
    held = [None if found is None else found.state_dict()]
    distributed.broadcast_object_list(held, src=0, group=at.patient)
    if found is not None:
        return found
    assert held[0] is not None  # the leading process has sent it
    return read(held[0])


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


def without_averaging(network: nn.Module, skipped: bool) -> AbstractContextManager[object]:
    """Return the context of a backward pass whose gradients are averaged later, if `skipped`."""
    if skipped and isinstance(network, nn.parallel.DistributedDataParallel):
        return network.no_sync()
    return nullcontext()


def wait_for_all(at: Processes) -> None:
    """Return when every process has come here, however long one of them takes."""
    if at.world > 1:
        distributed.barrier(at.patient)
