"""From registered captures to the content of a dataset: who donates parts, shards, samples."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fg3d_builder.config import ShardConfig, TransformConfig, digest
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.shards.manifest import shard_name
from fg3d_builder.shards.rows import capture_row, captured_view, sample_image, shape_row
from fg3d_builder.shards.schema import BUILT_SPLITS, FROM_DETECTED
from fg3d_builder.shards.split import split_of
from fg3d_builder.shards.writer import ShardWriter
from fg3d_builder.transform.donors import ATTEMPTS, DONATED_PARTS, DonorRing

Draws = dict[str, list[list[dict[str, str]]]]
"""By capture id, for each new shape and each attempt at it: the subject that gives each part."""


@dataclass(frozen=True)
class Member:
    """A registered capture, as far as the plan of a dataset depends on it.

    Attributes
    ----------
    capture_id, subject_id : str
    chunk : str
        Name of the chunk that it is in.
    neutral : bool
        It shows no expression.
    quality : float
        See `Registration.quality`.
    reason : str
        What speaks against the registration, in sentences.
    """

    capture_id: str
    subject_id: str
    chunk: str
    neutral: bool
    quality: float
    reason: str = ""

    def split(self, settings: ShardConfig) -> str:
        """``"train"`` or ``"test"``."""
        return split_of(self.subject_id, settings.test_fraction, settings.split_salt)


@dataclass(frozen=True)
class DonorDraws:
    """Whose parts make the new shapes of each training capture (Sec. 6.3).

    Attributes
    ----------
    faces : dict of str to (str, str)
        By training subject: capture id and chunk of the face that the subject gives parts of.
    draws : dict
        See `Draws`; empty where there are too few subjects.
    """

    faces: dict[str, tuple[str, str]]
    draws: Draws

    def of_captures(
        self, capture_ids: Collection[str], keys: Mapping[str, str]
    ) -> tuple[Draws, str]:
        """Return the draws of some captures, and their identity.

        The identity covers who was drawn and which capture's face stands for each of them, with
        that capture's key, so that a verdict about one capture, or a new one, costs only the
        shapes that it takes part in.

        Parameters
        ----------
        capture_ids : collection of str
        keys : mapping of str to str
            Identity of each capture of the build, by its id.
        """
        mine = {name: self.draws[name] for name in capture_ids if name in self.draws}
        subjects = {
            subject
            for shapes in mine.values()
            for attempts in shapes
            for donors in attempts
            for subject in donors.values()
        }
        faces = {subject: self.faces[subject][0] for subject in sorted(subjects)}
        return mine, digest(mine, {subject: (name, keys[name]) for subject, name in faces.items()})


def plan_shards(
    members: Iterable[Member], settings: ShardConfig, places: Mapping[str, str]
) -> dict[str, list[tuple[str, str]]]:
    """Return the (capture id, chunk) pairs of each shard file.

    The captures of each split are sorted by their places and fill shard after shard.

    Parameters
    ----------
    members : iterable of Member
    settings : ShardConfig
    places : mapping of str to str
        By capture id: what puts captures of a chunk near to each other, whatever the size of
        chunks is. A shard is then made of few chunks, and few shards of each.
    """
    in_split: dict[str, list[tuple[str, str]]] = {split: [] for split in BUILT_SPLITS}
    for member in members:
        in_split[member.split(settings)].append((member.capture_id, member.chunk))
    size, plan = settings.samples_per_shard, {}
    for split, pairs in in_split.items():
        ordered = sorted(pairs, key=lambda pair: (places[pair[0]], pair[0]))
        for number, start in enumerate(range(0, len(ordered), size)):
            plan[shard_name(split, number)] = ordered[start : start + size]
    return plan


def draw_all_donors(
    members: Iterable[Member], shards: ShardConfig, settings: TransformConfig
) -> DonorDraws:
    """Choose the face of each training subject, and draw the donors of every new shape.

    A subject's face is its best neutral registration, or its best where none is neutral.
    """
    ranked: dict[str, list[tuple[bool, float, str, str]]] = {}
    for member in members:
        if member.split(shards) == "train":
            rank = (not member.neutral, -member.quality, member.capture_id, member.chunk)
            ranked.setdefault(member.subject_id, []).append(rank)
    best = {subject: min(ranked[subject])[2:] for subject in sorted(ranked)}
    if len(best) <= len(DONATED_PARTS) or not settings.shapes_per_capture:
        return DonorDraws(best, {})
    ring = DonorRing(best)
    draws = {
        name: [
            [
                ring.draw(subject, f"{settings.salt}|{name}|{shape}", attempt)
                for attempt in range(ATTEMPTS)
            ]
            for shape in range(settings.shapes_per_capture)
        ]
        for subject, ranks in ranked.items()
        for _, _, name, _ in ranks
    }
    return DonorDraws(best, draws)


def add_capture(
    writer: ShardWriter,
    model: FaceModel,
    name: str,
    records: Mapping[str, Mapping[str, Any]],
    settings: ShardConfig,
) -> None:
    """Add a capture to a shard: its own image, its turned views, and its new shapes.

    Parameters
    ----------
    writer : ShardWriter
    model : FaceModel
    name : str
        Capture id.
    records : mapping of stage to records
        ``"captures"``, ``"fitting"``, ``"registration"`` and ``"views"`` by capture id;
        ``"transform"`` by key.
    settings : ShardConfig
    """
    taken, registration = records["captures"][name], records["registration"][name]
    initial = records["fitting"][name].initial
    view = captured_view(model, taken, initial, registration, settings)
    images = [sample_image(view, initial, FROM_DETECTED, settings.image_format)]
    if name in records["views"]:
        images += records["views"][name].views
    capture = writer.add_capture(capture_row(taken, registration))
    writer.add_shape(shape_row(registration), capture, images)
    for made in records["transform"].values():
        if made.capture_id == name:
            writer.add_shape(made.shape, capture, made.views)
