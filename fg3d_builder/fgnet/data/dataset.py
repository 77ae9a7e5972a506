"""The shards as a torch dataset: what the network is given, and what it should answer.

The target is ``S* - S`` of Eq. 6, where ``S*`` is first brought onto the fit ``S`` by the
similarity that fits the reliable, confident vertices best. What that removes cannot be seen in
a photo: size and distance trade off against each other, and so do small shifts and turns of the
object frame against the pose; it is also what every error measure removes (Eq. 18). On synthetic
captures it is more than half of the length of ``S* - S``, and as a target it would be noise.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.data.fits import FitBatch
from fg3d_builder.fgnet.data.selection import SelectionConfig, selected
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.records import Array, Pose
from fg3d_builder.shards.reader import Registered, Sample, ShardReader


class TrainingSample(NamedTuple):
    """One sample, or a batch of them by torch's default collation.

    Attributes
    ----------
    index : int
        Number of the sample in its selection.
    fit : FitBatch
    target_obj_mm : (n, 3) float32
        ``S*`` brought onto the fit.
    confidence : (n,) float32
        Weight of each vertex in the loss.
    """

    index: Any
    fit: FitBatch
    target_obj_mm: Tensor
    confidence: Tensor


class Provenance(NamedTuple):
    """Whose face a sample shows, and how far it is turned."""

    sample_id: str
    subject_id: str
    yaw_deg: float


class FaceDataset(Dataset[TrainingSample]):
    """One split of a dataset; files are opened in the worker that reads them.

    Parameters
    ----------
    dataset, split, model
        See `ShardReader`.
    confidence_floor : float
        Least weight of a vertex in the loss. Vertices that no depth supports follow the face
        model in S*; without any weight there, the network would answer anything.
    selection : SelectionConfig, optional
        Which part of the split; all of it if left out.
    """

    def __init__(
        self,
        dataset: str | os.PathLike[str],
        split: str,
        confidence_floor: float = 0.1,
        model: FaceModel | None = None,
        selection: SelectionConfig | None = None,
    ) -> None:
        self.reader = ShardReader(dataset, split, model)
        self.confidence_floor = confidence_floor
        self.selection = selection or SelectionConfig()
        # An empty split is an empty dataset; a selection that leaves nothing of one is an error.
        self._number = np.arange(len(self.reader))
        if selection is not None and len(self.reader):
            self._number = selected(selection, *self.reader.names())

    @property
    def model(self) -> FaceModel:
        """The face model that shapes belong to."""
        return self.reader.model

    @property
    def identity(self) -> dict[str, str]:
        """What tells this dataset and its face model from others."""
        return {
            "content_sha256": str(self.reader.manifest["content_sha256"]),
            "topology_hash": self.model.topology_hash,
        }

    def __len__(self) -> int:
        return len(self._number)

    def sample(self, index: int) -> Sample:
        """Return what the shards hold of a sample of the selection."""
        return self.reader[int(self._number[index])]

    def registered(self, index: int) -> Registered:
        """Return what a sample of the selection is measured against."""
        return self.reader.registered(int(self._number[index]))

    def __getitem__(self, index: int) -> TrainingSample:
        sample = self.sample(index)
        shape = self.initial_shape(sample)
        weight = np.maximum(sample["confidence"], self.confidence_floor)
        target = aligned_target(sample["shape_obj_mm"], shape, weight * self.model.reliable)
        pose = Pose(
            sample["initial_scale"], sample["initial_rotation"], sample["initial_translation_mm"]
        )
        return TrainingSample(
            index=index,
            fit=FitBatch.single(sample["image"], sample["intrinsics"], shape, pose),
            target_obj_mm=_float32(target),
            confidence=_float32(weight),
        )

    def initial_shape(self, sample: Sample) -> Array:
        """Return the coarse shape (n, 3) of the fit from landmarks alone (Eq. 1)."""
        return self.model.shape(sample["initial_alpha_id"], sample["initial_alpha_exp"])


def provenance(sample: Registered) -> Provenance:
    """Return whose face a sample shows; the yaw is that of the true pose."""
    _pitch, yaw, _roll = angles_from_rotation(sample.rotation)
    return Provenance(sample.sample_id, sample.subject_id, yaw)


def aligned_target(truth_obj_mm: Array, shape_obj_mm: Array, weight: Array) -> Array:
    """Bring S* (n, 3) onto the fit S (n, 3) by the similarity that fits weighted vertices best."""
    pose = align_similarity(truth_obj_mm.astype(np.float64), shape_obj_mm, weight)
    return pose.cam_from_obj(truth_obj_mm)


class EpochBatches:
    """Which samples each step of each epoch sees; a function of seed, epoch and rank alone.

    Every process of a distributed run takes every `world`-th sample of the same shuffled order,
    which is filled up from its start so that all have equally many. Incomplete batches are left
    out, but for the only one of a small dataset. `batch_size` is that of one process.
    """

    def __init__(
        self, samples: int, batch_size: int, seed: int, rank: int = 0, world: int = 1
    ) -> None:
        if samples < 1 or batch_size < 1:
            raise ValueError(f"{samples} samples in batches of {batch_size}")
        self._samples, self._batch_size, self._seed = samples, batch_size, seed
        self._rank, self._world = rank, world

    def __len__(self) -> int:
        own = -(-self._samples // self._world)
        return max(1, own // self._batch_size)

    def epoch(self, epoch: int, first_batch: int = 0) -> list[list[int]]:
        """Return the batches of an epoch from `first_batch` on."""
        order = np.random.default_rng([self._seed, epoch]).permutation(self._samples)
        padded = np.resize(order, -(-self._samples // self._world) * self._world)
        own = padded[self._rank :: self._world].tolist()
        size = self._batch_size
        return [own[i * size : (i + 1) * size] for i in range(first_batch, len(self))]


def in_order(samples: int, batch_size: int) -> Iterator[Sequence[int]]:
    """All samples in order, in batches of at most `batch_size`."""
    for start in range(0, samples, batch_size):
        yield range(start, min(start + batch_size, samples))


def _float32(values: Array) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
