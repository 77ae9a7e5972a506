"""Learning a face model from a finished dataset: its shapes, and what its images say of skin.

A dataset holds no albedos. Every captured sample has all that they follow from: the image, its
camera and pose, ``S*``, and which vertices were seen with what confidence. The texture fit of the
turned views (`fg3d_builder.fullview.texture_fit`) is made again from these.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np

from fg3d_builder.config import TextureConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel.learning.choice import Choice
from fg3d_builder.facemodel.learning.components import OldModel
from fg3d_builder.facemodel.learning.learn import (
    LEAST_SUBJECTS,
    LearningOptions,
    Subjects,
    learn_components,
    learn_expressions,
)
from fg3d_builder.facemodel.learning.model import learnt_model
from fg3d_builder.facemodel.learning.shapes import CapturedShape, Identities
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fullview.texture_fit import fit_texture
from fg3d_builder.records import Array, Capture, Pose, Registration
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.shards.manifest import may_be_shared
from fg3d_builder.shards.reader import ShardReader
from fg3d_builder.shards.sample import STORED, Sample
from fg3d_builder.shards.schema import CAPTURED

AS_CAPTURED = "view+00+00"
_BELIEVED = 0.1
"""Confidence from which the depth is taken to have been on the registered surface."""


@dataclass(frozen=True)
class DatasetLearning:
    """What is learnt from a dataset.

    Attributes
    ----------
    options : LearningOptions
        Of the shapes.
    texture : bool
        Whether albedos are learnt, too.
    splits : tuple of str
    name : str
        Of the new model; "" for one after the old model's.
    """

    options: LearningOptions = field(default_factory=LearningOptions)
    texture: bool = True
    splits: tuple[str, ...] = ("train",)
    name: str = ""


class Learnt(NamedTuple):
    """A learnt model and what it was learnt from.

    Attributes
    ----------
    model : FaceModel
    old : FaceModel
    identities : Identities
    choice : Choice
    albedo_choice : Choice or None
    captures : int
    without_texture : tuple of str
        Captures whose images say nothing of the skin, with the reason.
    """

    model: FaceModel
    old: FaceModel
    identities: Identities
    choice: Choice
    albedo_choice: Choice | None
    captures: int
    without_texture: tuple[str, ...]


class SubjectSamples(NamedTuple):
    """The captured samples of one subject: (split, index) each, and their licences.

    Attributes
    ----------
    subject_id : str
    places : tuple of (str, int)
    licences : tuple of str
    """

    subject_id: str
    places: tuple[tuple[str, int], ...]
    licences: tuple[str, ...]


def learn_from_dataset(
    dataset: Path,
    wanted: DatasetLearning,
    facemodel: FaceModel | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Learnt:
    """Learn a model.

    Parameters
    ----------
    dataset : Path
    wanted : DatasetLearning
    facemodel : FaceModel, optional
        The dataset's own, where its licence keeps it out of the dataset.
    progress : callable, optional
        Takes what is done, how far it is and of how many (0: not known).

    Raises
    ------
    FileNotFoundError, ValueError
        No sound dataset, see `ShardReader`; too few subjects for what is wanted.
    """
    fields = (*STORED, "coarse_obj_mm") if wanted.texture else ("shape_obj_mm", "confidence")
    readers = {split: ShardReader(dataset, split, facemodel, fields) for split in wanted.splits}
    old = readers[wanted.splits[0]].model
    members = captured_samples(readers)
    subjects, skins = Subjects(old), Skins(old)
    for number, member in enumerate(members):
        captures = []
        for split, index in member.places:
            sample = readers[split][index]
            expression = readers[split].capture_facts(index).expression
            captures.append(
                CapturedShape(
                    member.subject_id, expression, sample["shape_obj_mm"], sample["confidence"]
                )
            )
            if wanted.texture:
                skins.look(member.subject_id, sample)
        subjects.add(captures)
        progress("subjects", number + 1, len(members))
    identities = subjects.identities()
    shape, choice = learn_components(
        OldModel.of_shapes(old, wanted.options.mirror),
        identities,
        wanted.options,
        _counted(progress, "trials of prior and modes"),
        lambda step: progress("steps of the shape model", step, 0),
    )
    albedo, albedo_choice = None, None
    if wanted.texture:
        # Modes and prior of skin are always found by faces that are left out.
        albedo, albedo_choice = learn_components(
            OldModel.of_albedos(old, wanted.options.mirror),
            skins.identities(),
            LearningOptions(mirror=wanted.options.mirror),
            _counted(progress, "trials of the albedo model"),
            lambda step: progress("steps of the albedo model", step, 0),
        )
    extra = None
    if wanted.options.expression_modes:
        extra = learn_expressions(old, subjects, wanted.options.expression_modes)
    count = sum(len(member.places) for member in members)
    licences = {licence for member in members for licence in member.licences}
    model = learnt_model(
        old,
        shape,
        wanted.name or f"{old.name}, learnt from {len(members)} subjects",
        learnt_licence(licences, old, len(members), count),
        albedo,
        extra,
    )
    return Learnt(model, old, identities, choice, albedo_choice, count, tuple(skins.failures))


def _counted(progress: Callable[[str, int, int], None], what: str) -> Callable[[], None]:
    done = 0

    def count() -> None:
        nonlocal done
        done += 1
        progress(what, done, 0)

    return count


def captured_samples(readers: dict[str, ShardReader]) -> list[SubjectSamples]:
    """List the samples as they were captured, by subject in the order of their names."""
    places: dict[str, list[tuple[str, int]]] = {}
    licences: dict[str, set[str]] = {}
    for split, reader in readers.items():
        ids, sources = reader.names()
        for index, (sample_id, source) in enumerate(zip(ids, sources, strict=True)):
            if source == CAPTURED and sample_id.split("/")[1] == AS_CAPTURED:
                facts = reader.capture_facts(index)
                places.setdefault(facts.subject_id, []).append((split, index))
                licences.setdefault(facts.subject_id, set()).add(facts.licence)
    return [
        SubjectSamples(name, tuple(places[name]), tuple(sorted(licences[name])))
        for name in sorted(places)
    ]


def learnt_licence(licences: set[str], old: FaceModel, subjects: int, captures: int) -> str:
    """Return the licence text of a model: all that it was made under, the narrowest first.

    Those that do not allow copying stand in front, so that the text as a whole is not taken for a
    free one (`may_be_shared`).
    """
    everything = {licence or "unknown licence" for licence in licences} | {old.licence}
    ordered = sorted(everything, key=lambda text: (may_be_shared(text), text))
    return (
        f"{'; '.join(ordered)} (learnt from {captures} captures of {subjects} subjects and the "
        f"model {old.name})"
    )


class Skins:
    """Collects the albedos of subjects from captured samples.

    Attributes
    ----------
    failures : list of str
    """

    def __init__(self, model: FaceModel, config: TextureConfig | None = None) -> None:
        self._model = model
        self._config = config or TextureConfig()
        self._albedos: dict[str, list[tuple[Array, Array]]] = {}
        self.failures: list[str] = []

    def look(self, subject_id: str, sample: Sample) -> None:
        """Take the albedo of one captured sample; one that cannot be used is noted."""
        capture, registration = as_registered(self._model, sample)
        try:
            fit = fit_texture(self._model, capture, registration, self._config)
        except CaptureError as error:
            self.failures.append(error.message)
            return
        trust = fit.trust * (registration.confidence > 0)
        if not trust.any():
            self.failures.append(f"{capture.capture_id}: its image shows no skin")
            return
        seen = (fit.delit_albedo.astype(np.float32), trust.astype(np.float32))
        self._albedos.setdefault(subject_id, []).append(seen)

    def identities(self) -> Identities:
        """Return one albedo a subject, the mean of its captures' by trust.

        Raises
        ------
        ValueError
            The images of too few subjects say anything.
        """
        if len(self._albedos) < LEAST_SUBJECTS:
            raise ValueError(
                f"albedos are learnt from {LEAST_SUBJECTS} subjects at least, the images of "
                f"{len(self._albedos)} show skin well enough; --no-texture keeps those of the old "
                "model"
            )
        values, confidence = [], []
        for name in sorted(self._albedos):
            albedos, trusts = (np.array(part) for part in zip(*self._albedos[name], strict=True))
            total = trusts.sum(axis=0)
            share = np.divide(trusts, total, out=np.zeros_like(trusts), where=total > 0)
            values.append(np.einsum("cn,cnd->nd", share, albedos))
            confidence.append(1.0 - np.prod(1.0 - trusts, axis=0))
        return Identities(tuple(sorted(self._albedos)), np.array(values), np.array(confidence))


def as_registered(model: FaceModel, sample: Sample) -> tuple[Capture, Registration]:
    """Return a captured sample, with its coarse shape, as the texture fit takes it.

    Shards hold no depth, but confidence, which says where the depth lay on the registered surface:
    there the surface's own depth stands for it, and elsewhere there is none.
    """
    pose = Pose(sample["scale"], sample["rotation"], sample["translation_mm"])
    vertices = pose.cam_from_obj(sample["shape_obj_mm"].astype(np.float64))
    image, intrinsics = sample["image"], sample["intrinsics"]
    confidence = sample["confidence"].astype(np.float64)
    fragments = rasterize(vertices, model.triangles, intrinsics, *image.shape[:2])
    known = interpolate(fragments, model.triangles, confidence[:, None])[:, :, 0] > _BELIEVED
    depth = np.where(known & (fragments.triangle >= 0), fragments.depth_mm, np.nan)
    capture = Capture(
        capture_id=sample["capture_id"],
        subject_id=sample["subject_id"],
        source="dataset",
        rgb=image,
        depth_mm=depth.astype(np.float32),
        intrinsics=intrinsics,
    )
    registration = Registration(
        topology_hash=model.topology_hash,
        vertices_cam_mm=vertices,
        pose=pose,
        shape_obj_mm=sample["shape_obj_mm"].astype(np.float64),
        coarse_obj_mm=sample["coarse_obj_mm"].astype(np.float64),
        alpha_id=np.zeros(len(model.id_sd)),
        alpha_exp=np.zeros(len(model.exp_sd)),
        visible=sample["visible"],
        confidence=confidence,
        surface_error_mm=np.where(confidence > 0, 0.0, np.nan),
        landmark_error_px=0.0,
        quality=sample["quality"],
        converged=True,
    )
    return capture, registration
