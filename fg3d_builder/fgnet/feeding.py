"""From samples to what a step of training takes, simulated on the device that trains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from fg3d_builder.fgnet.dataset import FaceDataset, fit_batch
from fg3d_builder.fgnet.networks import NetworkInput
from fg3d_builder.fgnet.simulation import MultiviewSimulator

MIB = 1 << 20


class Fed(NamedTuple):
    """One batch.

    Attributes
    ----------
    number : (B,) int64
        Numbers of the samples in their split.
    given : NetworkInput
    shape_mm, target_mm : (B, n, 3) float32
        The fit ``S``, and ``S*`` brought onto it.
    confidence : (B, n) float32
    """

    number: Tensor
    given: NetworkInput
    shape_mm: Tensor
    target_mm: Tensor
    confidence: Tensor


class Feeder:
    """Gives batches of a dataset on a device.

    Parameters
    ----------
    dataset : FaceDataset
    simulator : MultiviewSimulator
        On the device.
    needs : frozenset of str
        Fields of `NetworkInput` that the network takes.
    device : torch.device
    workers : int
        Processes that read; 0 reads in this one.
    keep_mib : int
        If all inputs fit into so much memory, they are simulated once and kept on the device.
    """

    def __init__(
        self,
        dataset: FaceDataset,
        simulator: MultiviewSimulator,
        needs: frozenset[str],
        device: torch.device,
        workers: int = 0,
        keep_mib: int = 0,
    ) -> None:
        self._dataset, self._simulator, self._needs = dataset, simulator, needs
        self._device, self._workers = device, workers
        self._kept: dict[int, Fed] = {}
        self._keeps: bool | None = None if keep_mib > 0 else False
        self._keep_bytes = keep_mib * MIB

    def batches(self, indices: Sequence[Sequence[int]]) -> Iterator[Fed]:
        """Give the batches of samples with these numbers, in this order."""
        if self._keeps is False:
            yield from self._streamed(indices)
            return
        for wanted in indices:
            # One by one, in the order of the numbers: a kept input depends on no batch.
            missing = [[i] for i in sorted(set(wanted) - self._kept.keys())]
            for fed in self._streamed(missing, workers=0):
                self._keep(fed)
            if self._keeps is False:
                yield from self._streamed([wanted], workers=0)
            else:
                yield joined([self._kept[i] for i in wanted])

    def _keep(self, fed: Fed) -> None:
        if self._keeps is None:
            size = sum(t.numel() * t.element_size() for t in _tensors(fed))
            self._keeps = size * len(self._dataset) <= self._keep_bytes
        if self._keeps:
            self._kept[int(fed.number[0])] = fed

    def _streamed(
        self, indices: Sequence[Sequence[int]], workers: int | None = None
    ) -> Iterator[Fed]:
        workers = self._workers if workers is None else workers
        loader = DataLoader(
            self._dataset,
            batch_sampler=indices,  # type: ignore[arg-type]  # any iterable of lists does
            num_workers=min(workers, len(indices)),
            pin_memory=self._device.type == "cuda",
            # Its own: the loader would otherwise draw from the generator that is resumed.
            generator=torch.Generator(),
        )
        for batch in loader:
            fit = fit_batch(batch, self._device)
            yield Fed(
                number=batch["index"],
                given=self._simulator.network_input(fit, self._needs),
                shape_mm=fit.shape_obj_mm,
                target_mm=batch["target_obj_mm"].to(self._device, non_blocking=True),
                confidence=batch["confidence"].to(self._device, non_blocking=True),
            )


def joined(parts: Sequence[Fed]) -> Fed:
    """Put batches together to one."""
    given = NetworkInput(
        *(
            None if fields[0] is None else torch.cat(fields)
            for fields in zip(*(part.given for part in parts), strict=True)
        )
    )
    return Fed(
        torch.cat([p.number for p in parts]),
        given,
        torch.cat([p.shape_mm for p in parts]),
        torch.cat([p.target_mm for p in parts]),
        torch.cat([p.confidence for p in parts]),
    )


def _tensors(fed: Fed) -> list[Tensor]:
    plain = [fed.number, fed.shape_mm, fed.target_mm, fed.confidence]
    return plain + [t for t in fed.given if t is not None]
