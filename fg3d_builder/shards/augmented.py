"""Rows of augmented samples: turned views of a capture, and transformed shapes with theirs."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from fg3d_builder.records import TransformedShape, ViewSet
from fg3d_builder.shards.base_image import sample_seed
from fg3d_builder.shards.schema import SampleRow, ShapeRow


def sample_name(capture_id: str, view: str, shape_source: str) -> str:
    """Return the id of a sample: capture, view and shape."""
    return f"{capture_id}/{view}/{shape_source}"


def shape_row(made: TransformedShape, shape_source: str) -> ShapeRow:
    """Return the row of a transformed shape."""
    return ShapeRow(
        capture_index=0,
        shape_source=shape_source,
        donors=made.donors,
        shape_obj_mm=made.shape_obj_mm,
        alpha_id=made.alpha_id,
        alpha_exp=made.alpha_exp,
        delta_rms_mm=made.delta_rms_mm,
        confidence=np.rint(255 * np.clip(made.confidence, 0, 1)).astype(np.uint8),
    )


def sample_rows(views: ViewSet, capture_id: str, shape_source: str) -> Iterator[SampleRow]:
    """Yield the row of every image of a set, in its order."""
    names = views.view_names.split()
    for i, name in enumerate(names):
        sample_id = sample_name(capture_id, name, shape_source)
        begin, end = views.image_offset[i : i + 2]
        yield SampleRow(
            sample_id=sample_id,
            capture_index=0,
            shape_index=0,
            image=views.image_bytes[begin:end].tobytes(),
            view_deg=views.view_deg[i],
            px_crop_from_px=views.px_crop_from_px[i],
            intrinsics=views.intrinsics[i],
            scale=float(views.scale[i]),
            rotation=views.rotation[i],
            translation_mm=views.translation_mm[i],
            visible=views.visible[i],
            initial_alpha_id=views.initial_alpha_id[i],
            initial_alpha_exp=views.initial_alpha_exp[i],
            initial_scale=float(views.initial_scale[i]),
            initial_rotation=views.initial_rotation[i],
            initial_translation_mm=views.initial_translation_mm[i],
            initial_source=int(views.initial_source[i]),
            painted=float(views.painted[i]),
            seed=sample_seed(sample_id),
        )
