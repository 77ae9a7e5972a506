"""From samples to what a step of training takes, simulated on the device that trains."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset, Sampler

from fg3d_builder.config import to_table
from fg3d_builder.fgnet.calibration import features_of
from fg3d_builder.fgnet.data.coarse_shapes import CoarseShapes
from fg3d_builder.fgnet.data.dataset import CoefficientBatch, FaceDataset
from fg3d_builder.fgnet.data.kept_inputs import Fed, KeptInputs, SharedInputs, packed
from fg3d_builder.fgnet.data.shared_memory import (
    PREFETCHED,
    check_shared_memory,
    tensor_bytes,
)
from fg3d_builder.fgnet.data.simulation import MultiviewSimulator
from fg3d_builder.shards.sampling import in_order

MIB = 1 << 20
_AT_ONCE = 8
"""Samples that are simulated together for files that training runs share."""

log = logging.getLogger(__name__)


class Feeder:
    """Gives batches of a dataset on a device.

    Parameters
    ----------
    dataset : FaceDataset
    simulator : MultiviewSimulator
        On `device`.
    needs : frozenset of str
        Fields of `NetworkInput` that the network takes.
    device : torch.device
    workers : int
        Processes that read; 0 reads in this one.
        They start with the first batches and stay for later ones.
    keep_mib : int
        If all inputs fit into so much memory, packed, they are simulated once and kept.
    processes : int
        Those that read on this machine, each with its own workers.
    shapes_on_device : bool, optional
        Coefficients are read, and `CoarseShapes` makes shapes of them; else the reading processes
        make them. If left out: on CUDA.

    Raises
    ------
    ValueError
        When batches are asked for: what workers read does not fit into shared memory.
    """

    def __init__(
        self,
        dataset: FaceDataset,
        simulator: MultiviewSimulator,
        needs: frozenset[str],
        device: torch.device,
        workers: int = 0,
        keep_mib: int = 0,
        processes: int = 1,
        shapes_on_device: bool | None = None,
    ) -> None:
        self._dataset, self._simulator, self._needs = dataset, simulator, needs
        self._device, self._workers, self._processes = device, workers, processes
        self._sampler = _Wanted()
        self._loader: DataLoader[Any] | None = None
        self._largest = 0  # batch that is known to fit into shared memory
        if shapes_on_device is None:
            shapes_on_device = device.type == "cuda"
        self._shapes = CoarseShapes(dataset.model).to(device) if shapes_on_device else None
        # What is read: the dataset makes batches.
        self._read: Dataset[Any] = _Coefficients(dataset) if shapes_on_device else dataset
        self._kept: KeptInputs | None = None
        self._is_undecided = keep_mib > 0
        self._keep_bytes = keep_mib * MIB

    def share(self, folder: Path, checks: bool = True) -> None:
        """Take all inputs from files in `folder`; make those that are not there, or damaged.

        Parameters
        ----------
        folder : Path
        checks : bool
            Read the files once to compare them with their hashes; another process of this
            machine has done so where it is False.
        """
        about = {
            **self._dataset.identity,
            "split": self._dataset.reader.split,
            "selection": to_table(self._dataset.selection),
            "confidence_floor": self._dataset.confidence_floor,
            "simulation": to_table(self._simulator.config),
            "needs": sorted(self._needs),
        }
        shared = SharedInputs(folder, len(self._dataset), about)
        shared.open_or_make(self._all, checks)
        self._kept, self._is_undecided = shared, False
        self._loader = None  # its workers have nothing more to read

    def _all(self) -> Iterator[Fed]:
        count = len(self._dataset)
        batches = [list(numbers) for numbers in in_order(count, _AT_ONCE)]
        for done, fed in enumerate(self._streamed(batches), start=1):
            yield fed
            if done % max(1, len(batches) // 10) == 0:
                log.info("simulated %d of %d inputs", min(count, done * _AT_ONCE), count)

    def batches(self, indices: Sequence[Sequence[int]]) -> Iterator[Fed]:
        """Give the batches of samples with these numbers, in this order."""
        if self._is_undecided and indices:
            self._decide(indices[0][0])
        if self._kept is None:
            yield from self._streamed(indices)
            return
        for wanted in indices:
            # One by one, in the order of the numbers: a kept input depends on no batch.
            for fed in self._streamed([[i] for i in self._kept.missing(wanted)], workers=0):
                self._kept.put(fed)
            yield self._kept.batch(wanted, self._device)

    def _decide(self, number: int) -> None:
        """Measure one sample, and with it all: are they kept?"""
        fed = next(self._streamed([[number]], workers=0))
        size = sum(array.nbytes for array in packed(fed).values())
        self._is_undecided = False
        if size * len(self._dataset) <= self._keep_bytes:
            self._kept = KeptInputs(len(self._dataset))

    def _streamed(
        self, indices: Sequence[Sequence[int]], workers: int | None = None
    ) -> Iterator[Fed]:
        loader = self._loader_of(indices, self._workers if workers is None else workers)
        for read in loader:
            batch = read if self._shapes is None else self._shapes(read.to(self._device))
            fit = batch.fit.to(self._device)
            yield Fed(
                number=batch.index,
                given=self._simulator.network_input(fit, self._needs),
                features=features_of(fit.alpha, fit.rotation),
                shape_mm=fit.shape_obj_mm,
                target_mm=batch.target_obj_mm.to(self._device, non_blocking=True),
                confidence=batch.confidence.to(self._device, non_blocking=True),
            )

    def _loader_of(self, indices: Sequence[Sequence[int]], workers: int) -> DataLoader[Any]:
        """Return what reads these batches; as many workers as the last ones are the last ones."""
        workers = min(workers, len(indices))
        if not workers:
            return self._new_loader(indices, 0)
        self._sampler.batches = indices
        largest = max(len(batch) for batch in indices)
        is_new = self._loader is None or self._loader.num_workers != workers
        if is_new or largest > self._largest:
            size = tensor_bytes(self._read[[indices[0][0]]])
            check_shared_memory(size, largest, workers, self._processes)
            self._largest = largest
        if self._loader is None or is_new:
            self._loader = self._new_loader(self._sampler, workers)
        return self._loader

    def _new_loader(
        self, batches: _Wanted | Sequence[Sequence[int]], workers: int
    ) -> DataLoader[Any]:
        return DataLoader(
            self._read,
            batch_size=None,
            sampler=batches,
            num_workers=workers,
            prefetch_factor=PREFETCHED if workers else None,
            persistent_workers=workers > 0,
            pin_memory=self._device.type == "cuda",
            # Its own: the loader would otherwise draw from the generator that is resumed.
            generator=torch.Generator(),
        )


class _Coefficients(Dataset[CoefficientBatch]):
    """The samples of a dataset without their shapes."""

    def __init__(self, dataset: FaceDataset) -> None:
        self._dataset = dataset

    def __getitem__(self, indices: Sequence[int]) -> CoefficientBatch:
        return self._dataset.coefficients(indices)


class _Wanted(Sampler[Sequence[int]]):
    """Batches that a loader whose workers stay reads next."""

    def __init__(self) -> None:
        self.batches: Sequence[Sequence[int]] = ()

    def __iter__(self) -> Iterator[Sequence[int]]:
        return iter(self.batches)

    def __len__(self) -> int:
        return len(self.batches)
