"""The shards as a torch dataset: what the network is given, and what it should answer.

The target is ``S* - S`` of Eq. 6, where ``S*`` is first brought onto the fit ``S`` by the
similarity that fits the reliable, confident vertices best. What that removes cannot be seen in
a photo: size and distance trade off against each other, and so do small shifts and turns of the
object frame against the pose; it is also what every error measure removes (Eq. 18). On synthetic
captures it is more than half of the length of ``S* - S``, and as a target it would be noise.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.calibration import features_of
from fg3d_builder.fgnet.data.fits import FitBatch
from fg3d_builder.fgnet.data.selection import SelectionConfig, selected
from fg3d_builder.fgnet.displacement_modes import Displacements
from fg3d_builder.geometry.alignment import align_similarity
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.records import Array
from fg3d_builder.shards.reader import Registered, ShardReader

_FIELDS = (
    "image",
    "intrinsics",
    "shape_obj_mm",
    "confidence",
    "initial_alpha_id",
    "initial_alpha_exp",
    "initial_scale",
    "initial_rotation",
    "initial_translation_mm",
)


_AT_ONCE = 16
"""Shapes in double precision that are in memory together."""


class TrainingSample(NamedTuple):
    """One sample, or a batch of them.

    Attributes
    ----------
    index : int or (B,) int64
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


class CoefficientBatch(NamedTuple):
    """A batch before its shapes are computed, see `coarse_shapes.CoarseShapes`.

    Attributes
    ----------
    index : (B,) int64
    image, intrinsics, scale, rotation, translation_mm
        See `FitBatch`.
    alpha_id : (B, k) float32
    alpha_exp : (B, e) float32
        Coefficients of the fit's coarse shape.
    truth_obj_mm : (B, n, 3) float32
        ``S*`` as it is stored.
    confidence : (B, n) float32
        See `TrainingSample`.
    """

    index: Any
    image: Tensor
    intrinsics: Tensor
    alpha_id: Tensor
    alpha_exp: Tensor
    scale: Tensor
    rotation: Tensor
    translation_mm: Tensor
    truth_obj_mm: Tensor
    confidence: Tensor

    def to(self, device: torch.device) -> CoefficientBatch:
        """Move all but `index` to a device."""
        index, *others = self
        return CoefficientBatch(index, *(v.to(device, non_blocking=True) for v in others))


class Provenance(NamedTuple):
    """Whose face a sample shows, and how far it is turned.

    Attributes
    ----------
    sample_id, subject_id : str
    yaw_deg : float
        Of the pose of the ground truth in the image.
    """

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
        self.reader = ShardReader(dataset, split, model, _FIELDS)
        self._without_images: ShardReader | None = None
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

    def registered(self, index: int) -> Registered:
        """Return what a sample of the selection is measured against."""
        return self.reader.registered(int(self._number[index]))

    def __getitem__(self, index: int | Sequence[int]) -> TrainingSample:
        """Return a sample; for a sequence of numbers what `batch` returns."""
        if isinstance(index, Sequence):
            return self.batch(index)
        batch = self.batch([index])
        fit = FitBatch(*(value[0] for value in batch.fit))
        return TrainingSample(index, fit, batch.target_obj_mm[0], batch.confidence[0])

    def batch(self, indices: Sequence[int]) -> TrainingSample:
        """Return samples together, each as it is alone; faster than one by one."""
        found = self.reader.batch(self._number[list(indices)])
        weights = np.maximum(found["confidence"], self.confidence_floor)
        shapes, targets = self._compared(found, weights)
        fit = FitBatch(
            image=_channels_first(found["image"]),
            intrinsics=_float32(found["intrinsics"]),
            shape_obj_mm=torch.from_numpy(shapes),
            alpha=_float32(_alpha(found)),
            scale=_float32(found["initial_scale"]),
            rotation=_float32(found["initial_rotation"]),
            translation_mm=_float32(found["initial_translation_mm"]),
        )
        number = torch.tensor(list(indices))
        return TrainingSample(number, fit, torch.from_numpy(targets), _float32(weights))

    def subjects(self) -> Array:
        """Return (s,) str: whose face each sample of the selection shows."""
        names = np.array(self.reader.subjects(), dtype=str)
        return np.asarray(names[self._number])

    def displacements(self, indices: Sequence[int]) -> Displacements:
        """Return what samples are about without their images, to learn a calibration from."""
        if self._without_images is None:
            fields = [name for name in _FIELDS if name not in ("image", "intrinsics")]
            fields.append("subject_id")
            about = self.reader
            self._without_images = ShardReader(about.folder, about.split, about.model, fields)
        numbers = self._number[list(indices)]
        found = self._without_images.batch(numbers)
        weights = np.maximum(found["confidence"], self.confidence_floor)
        shapes, targets = self._compared(found, weights)
        features = features_of(_float32(_alpha(found)), _float32(found["initial_rotation"]))
        return Displacements(
            features.double().numpy(), targets - shapes, np.asarray(found["subject_id"])
        )

    def _compared(self, found: dict[str, Any], weights: Array) -> tuple[Array, Array]:
        """Fits ``S`` and targets, (B, n, 3) float32 each."""
        truths = found["shape_obj_mm"]
        shapes, targets = np.empty_like(truths), np.empty_like(truths)
        for start in range(0, len(truths), _AT_ONCE):
            rows = range(start, min(start + _AT_ONCE, len(truths)))
            alphas = (found[f"initial_alpha_{kind}"][rows] for kind in ("id", "exp"))
            for row, shape in zip(rows, self.model.shapes(*alphas), strict=True):
                shapes[row] = shape
                weight = weights[row] * self.model.reliable
                targets[row] = aligned_target(truths[row], shape, weight)
        return shapes, targets

    def coefficients(self, indices: Sequence[int]) -> CoefficientBatch:
        """Return samples together, without their shapes."""
        found = self.reader.batch(self._number[list(indices)])
        return CoefficientBatch(
            index=torch.tensor(list(indices)),
            image=_channels_first(found["image"]),
            intrinsics=_float32(found["intrinsics"]),
            alpha_id=_float32(found["initial_alpha_id"]),
            alpha_exp=_float32(found["initial_alpha_exp"]),
            scale=_float32(found["initial_scale"]),
            rotation=_float32(found["initial_rotation"]),
            translation_mm=_float32(found["initial_translation_mm"]),
            truth_obj_mm=_float32(found["shape_obj_mm"]),
            confidence=_float32(np.maximum(found["confidence"], self.confidence_floor)),
        )


def provenance(sample: Registered) -> Provenance:
    """Return whose face a sample shows; the yaw is that of the true pose."""
    _pitch, yaw, _roll = angles_from_rotation(sample.rotation)
    return Provenance(sample.sample_id, sample.subject_id, yaw)


def aligned_target(truth_obj_mm: Array, shape_obj_mm: Array, weight: Array) -> Array:
    """Bring S* (n, 3) onto the fit S (n, 3) by the similarity that fits weighted vertices best."""
    truth_obj_mm = truth_obj_mm.astype(np.float64)
    return align_similarity(truth_obj_mm, shape_obj_mm, weight).cam_from_obj(truth_obj_mm)


def _alpha(found: dict[str, Any]) -> Array:
    return np.hstack([found["initial_alpha_id"], found["initial_alpha_exp"]])


def _channels_first(images: Array) -> Tensor:
    """Pictures (B, 3, H, W) of pictures (B, H, W, 3) uint8."""
    turned = np.empty((len(images), 3, *images.shape[1:3]), np.uint8)
    for image, channels in zip(images, turned, strict=True):
        cv2.split(image, list(channels))  # a sixth of the time that numpy takes
    return torch.from_numpy(turned)


def _float32(values: Array) -> Tensor:
    return torch.from_numpy(np.asarray(values, dtype=np.float32))
