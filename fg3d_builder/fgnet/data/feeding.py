"""From samples to what a step of training takes, simulated on the device that trains."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch
from torch.utils.data import DataLoader

from fg3d_builder.config import to_table
from fg3d_builder.fgnet.calibration import features_of
from fg3d_builder.fgnet.data.dataset import FaceDataset
from fg3d_builder.fgnet.data.kept_inputs import Fed, KeptInputs, SharedInputs, packed
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
    keep_mib : int
        If all inputs fit into so much memory, packed, they are simulated once and kept.
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
        workers = self._workers if workers is None else workers
        loader = DataLoader(
            self._dataset,
            batch_size=None,  # the dataset makes batches
            sampler=indices,
            num_workers=min(workers, len(indices)),
            pin_memory=self._device.type == "cuda",
            # Its own: the loader would otherwise draw from the generator that is resumed.
            generator=torch.Generator(),
        )
        for batch in loader:
            fit = batch.fit.to(self._device)
            yield Fed(
                number=batch.index,
                given=self._simulator.network_input(fit, self._needs),
                features=features_of(fit.alpha, fit.rotation),
                shape_mm=fit.shape_obj_mm,
                target_mm=batch.target_obj_mm.to(self._device, non_blocking=True),
                confidence=batch.confidence.to(self._device, non_blocking=True),
            )
