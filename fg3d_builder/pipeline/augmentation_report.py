"""What the report shows of a chunk's augmentation: its contact sheets and its counts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from fg3d_builder.config import BuildConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.hashes import sha256
from fg3d_builder.pipeline.augmentation import ChunkInput, PreparedCapture
from fg3d_builder.records import Array, CoarseFit
from fg3d_builder.report.fullview_sheet import fullview_sheet
from fg3d_builder.report.transform_sheet import transform_sheet
from fg3d_builder.shards.rows import TransformedShape, ViewSet
from fg3d_builder.shards.schema import FROM_PROJECTED, SampleImage
from fg3d_builder.transform.target_shape import TargetShape
from fg3d_builder.transform.transformed import Transformed, transform_capture

DRAWN_CHUNKS = 24
"""Largest number of chunks that are drawn: a sheet takes seconds, and a page must stay readable."""


def drawn_chunks(names: Sequence[str]) -> frozenset[str]:
    """Choose the chunks whose augmentation is drawn, at random: others join or leave one by one."""
    return frozenset(sorted(names, key=lambda name: sha256(name.encode()))[:DRAWN_CHUNKS])


def view_counts(sets: Iterable[Sequence[SampleImage]]) -> dict[str, float]:
    """Count images, and sum up how much of them is painted and how many have no detection."""
    images = [image for views in sets for image in views]
    return {
        "samples": len(images),
        "projected": sum(image.initial_source == FROM_PROJECTED for image in images),
        "painted": sum(image.painted for image in images),
    }


def augmentation_counts(
    views: Mapping[str, ViewSet],
    transforms: Mapping[str, TransformedShape],
    left_out: frozenset[str],
) -> dict[str, dict[str, float]]:
    """Return the counts of the captures that the dataset holds.

    Parameters
    ----------
    views : mapping of capture id to ViewSet
    transforms : mapping of key to TransformedShape
    left_out : frozenset of str
        Capture ids.
    """
    kept = [made.views for name, made in views.items() if name not in left_out]
    made = [m for m in transforms.values() if m.capture_id not in left_out]
    turned = {"sets": len(kept), **view_counts(kept)}
    return {
        "views": turned,
        "transform": {"sets": len(made), **view_counts(m.views for m in made)},
    }


def draw_augmentation(
    model: FaceModel,
    chunk: ChunkInput,
    turned: Sequence[str],
    transforms: Iterable[TransformedShape],
    config: BuildConfig,
) -> list[tuple[str, str, Array]]:
    """Draw the first turned and the first transformed capture of a chunk.

    Parameters
    ----------
    model : FaceModel
    chunk : ChunkInput
    turned : sequence of str
        Ids of the captures with turned views.
    transforms : iterable of TransformedShape
    config : BuildConfig

    Returns
    -------
    list of (str, str, (H, W, 3) uint8)
        ``"turned"`` or ``"transformed"``, capture id and sheet.
    """
    made = list(transforms)
    shaped = [record.capture_id for record in made[:1]]
    prepared = {
        name: PreparedCapture(model, chunk.captures[name], chunk.registrations[name], config)
        for name in {*turned[:1], *shaped}
    }
    sheets = [
        ("turned", name, draw_views(prepared[name], chunk.fits[name].initial))
        for name in turned[:1]
    ]
    for name in shaped:
        records = [record for record in made if record.capture_id == name]
        sheets.append(("transformed", name, draw_transforms(prepared[name], records)))
    return sheets


def draw_views(prepared: PreparedCapture, initial: CoarseFit) -> Array:
    """Draw the turned views of one capture, by both methods; `initial` is its fit to landmarks."""
    config = prepared.config
    return fullview_sheet(
        prepared.model,
        prepared.capture,
        prepared.registration,
        initial,
        prepared.texture,
        config.fullview,
        config.shards.crop_margin,
        config.shards.image_size,
        config.registration.solver,
        prepared.mesh,
        prepared.head,
    )


def draw_transforms(prepared: PreparedCapture, records: Sequence[TransformedShape]) -> Array:
    """Draw the new shapes of one capture and what became of its photo; at least one record.

    The steps between are made again from the stored shapes.
    """
    model, capture, registration = prepared.model, prepared.capture, prepared.registration

    def again(record: TransformedShape) -> Transformed:
        shape = record.shape
        target = TargetShape(
            shape.shape_obj_mm,
            shape.alpha_id,
            shape.alpha_exp,
            shape.confidence / 255,
            record.share,
            record.deviation_sd,
        )
        made = transform_capture(
            model,
            capture,
            registration,
            prepared.mesh,
            prepared.texture,
            prepared.before,
            target,
            prepared.config.registration.solver,
        )
        if made is None:
            name = capture.capture_id
            raise RuntimeError(f"{name}: the background no longer follows a stored shape")
        return made

    pairs = [(record, again(record)) for record in records]
    return transform_sheet(model, capture, registration, pairs)
