"""What a reader gives of a sample: fields that shards store, and two that the face model makes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, TypedDict

import numpy as np

from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.records import Array
from fg3d_builder.shards.schema import FIELDS


class Sample(TypedDict, total=False):
    """One training sample; arrays, numbers and text only, so that loaders can stack it.

    It holds what the reader was asked for. Units and frames: `fg3d_builder.shards.schema.FIELDS`.
    Of the two cameras, ``intrinsics`` is that of the sample's own image. ``confidence`` lies in
    [0, 1], ``visible`` is unpacked. ``coarse_obj_mm`` is the 3DMM's shape of ``alpha_id`` and
    ``alpha_exp`` (Eq. 1), ``delta_obj_mm`` is ``shape_obj_mm - coarse_obj_mm``.
    """

    sample_id: str
    capture_id: str
    subject_id: str
    source: str
    expression: str
    licence: str
    image_size: Array
    landmark_error_px: float
    surface_error_mm: float
    quality: float
    converged: bool
    shape_source: str
    donors: str
    shape_obj_mm: Array
    alpha_id: Array
    alpha_exp: Array
    delta_rms_mm: float
    confidence: Array
    coarse_obj_mm: Array
    delta_obj_mm: Array
    image: Array
    view_deg: Array
    px_crop_from_px: Array
    intrinsics: Array
    scale: float
    rotation: Array
    translation_mm: Array
    visible: Array
    initial_alpha_id: Array
    initial_alpha_exp: Array
    initial_scale: float
    initial_rotation: Array
    initial_translation_mm: Array
    initial_source: int
    painted: float
    seed: int


DERIVED = ("coarse_obj_mm", "delta_obj_mm")
"""Fields that no shard holds; they take some 2 ms a sample."""

STORED = tuple(name for name in Sample.__annotations__ if name not in DERIVED)
"""All other fields."""

COLUMNS = {field.name: field.path for field in FIELDS if field.name in STORED}
"""Columns by field, but for the image; of cameras the last, which is that of the sample's own."""

IMAGE = "image"
_NEEDED_BY = {
    "coarse_obj_mm": ("alpha_id", "alpha_exp"),
    "delta_obj_mm": ("alpha_id", "alpha_exp", "shape_obj_mm"),
}


class Wanted(NamedTuple):
    """What is read for some fields.

    Attributes
    ----------
    fields : tuple of str
    columns : tuple of (str, str, str)
        Field, path of its column, and table, for all columns that the fields need.
    """

    fields: tuple[str, ...]
    columns: tuple[tuple[str, str, str], ...]

    @property
    def is_image_wanted(self) -> bool:
        """Whether pictures are decoded."""
        return IMAGE in self.fields

    @property
    def is_model_wanted(self) -> bool:
        """Whether the face model is needed."""
        return any(name in DERIVED for name in self.fields)


def what_is_read(fields: Sequence[str]) -> Wanted:
    """Find what is to be read for fields of `Sample`.

    Raises
    ------
    ValueError
        There is no such field; names those that there are.
    """
    unknown = [name for name in fields if name not in Sample.__annotations__]
    if unknown:
        known = ", ".join(Sample.__annotations__)
        raise ValueError(f"no field '{unknown[0]}' in a sample; there are {known}")
    needed = dict.fromkeys(name for field in fields for name in _NEEDED_BY.get(field, (field,)))
    paths = {name: COLUMNS[name] for name in needed if name != IMAGE}
    columns = tuple((name, path, path.split("/")[0]) for name, path in paths.items())
    return Wanted(tuple(fields), columns)


def finished(
    found: dict[str, Any], wanted: Wanted, vertices: int, model: FaceModel | None
) -> dict[str, Any]:
    """Turn what shards hold into fields, of one sample or of a batch of them.

    Parameters
    ----------
    found : dict
        Its columns, numbers as they are stored, and the image.
    wanted : Wanted
    vertices : int
        Of each shape.
    model : FaceModel or None
        Needed where `Wanted.is_model_wanted`.
    """
    if "confidence" in found:
        found["confidence"] = fraction(found["confidence"])
    if "visible" in found:
        found["visible"] = np.unpackbits(found["visible"], axis=-1, count=vertices).view(bool)
    if model is not None:
        alphas = found["alpha_id"], found["alpha_exp"]
        shapes = model.shapes(*alphas) if alphas[0].ndim == 2 else model.shape(*alphas)
        found["coarse_obj_mm"] = shapes.astype(np.float32)
        if "shape_obj_mm" in found:
            found["delta_obj_mm"] = found["shape_obj_mm"] - found["coarse_obj_mm"]
    return {name: found[name] for name in wanted.fields}


def fraction(stored: Array) -> Array:
    """Confidence in [0, 1] from the 8 bits of `FIELDS`.

    `stored` is uint8, of any shape.
    """
    return stored.astype(np.float32) / 255
