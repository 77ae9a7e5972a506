"""What a shard holds: three tables whose rows refer to each other by number.

A *sample* is one training image. It refers to the *shape* that it shows and to the *capture*
that it comes from, so a shape that many views show is stored once. Views other than the
captured one and shapes other than the registered one are further rows, not further fields.

`CaptureRow`, `ShapeRow` and `SampleImage` are what a build puts into ``captures/``, ``shapes/``
and ``samples/``. Their annotations declare the columns, ``dtype [shape] unit: meaning``; `FIELDS`
lists all columns, and the file carries them as the datasets' attributes.
"""

from __future__ import annotations

import re
import typing
from dataclasses import dataclass
from typing import Annotated

from fg3d_builder.records import Array

SCHEMA = "fg3d-shard-2"

SPLITS = ("train", "val", "test")

BUILT_SPLITS = ("train", "test")
"""Splits of every build; ``fg3d split`` makes the third."""

CAPTURED = "capture"
"""`ShapeRow.shape_source` of a shape that was registered."""

FROM_DETECTED, FROM_PROJECTED = 0, 1
"""`SampleImage.initial_source`: where the landmarks of the network's 3DMM fit come from."""


@dataclass(frozen=True)
class CaptureRow:
    """One RGB-D frame that samples come from."""

    capture_id: Annotated[str, "str [C] none: unique within the dataset"]
    subject_id: Annotated[str, "str [C] none: the split is made by it"]
    source: Annotated[str, "str [C] none: adapter that read the capture"]
    expression: Annotated[str, "str [C] none: free tag"]
    licence: Annotated[str, "str [C] none: free tag of the capture's licence"]
    image_size: Annotated[Array, "<i4 [C, 2] px: width, height of the captured image"]
    intrinsics: Annotated[Array, "<f8 [C, 3, 3] px: pinhole matrix of the capture"]
    landmark_error_px: Annotated[
        float,
        "<f4 [C] px: root mean square distance of the registration's edge points to the "
        "detected ones",
    ]
    surface_error_mm: Annotated[
        float,
        "<f4 [C] mm: median distance of the registered surface to the depth, where both are "
        "reliable",
    ]
    quality: Annotated[float, "<f4 [C] 1: 0 to 1; low predicts a bad registration"]
    converged: Annotated[bool, "|b1 [C] none: whether nonrigid ICP converged"]


@dataclass(frozen=True)
class ShapeRow:
    """One ground-truth shape."""

    shape_source: Annotated[
        str,
        "str [S] none: 'capture' for a registered shape, 'transform-0', ... for transformed ones",
    ]
    donors: Annotated[
        str,
        "str [S] none: JSON: which capture each part of a transformed shape comes from; '{}' for "
        "'capture'",
    ]
    shape_obj_mm: Annotated[Array, "<f4 [S, n, 3] mm: S* of Eq. 11, ground truth, object frame"]
    alpha_id: Annotated[
        Array,
        "<f4 [S, k] 1: identity coefficients of the 3DMM fitted to S* (Eq. 1); "
        "delta_S = S* - coarse",
    ]
    alpha_exp: Annotated[
        Array, "<f4 [S, e] 1: expression coefficients of the 3DMM fitted to S* (Eq. 1)"
    ]
    delta_rms_mm: Annotated[
        float,
        "<f4 [S] mm: root mean square length of delta_S over all vertices; checks the coefficients",
    ]
    confidence: Annotated[
        Array,
        "|u1 [S, n] 1/255: how well depth supports each vertex; 0 where nothing was seen",
    ]


@dataclass(frozen=True)
class SampleImage:
    """One training image with its camera, the pose of its shape, and the 3DMM fit to it.

    `name` names the view (``view+00-30``: turned by a yaw of -30 degrees) and goes into the
    sample's id; `image` is the encoded file.
    """

    name: str
    image: bytes
    view_deg: Annotated[
        Array,
        "<f4 [N, 2] degree: (pitch, yaw) by which the view is turned from the captured one; 0, 0 "
        "is the capture",
    ]
    px_crop_from_px: Annotated[
        Array,
        "<f8 [N, 3, 3] px: homogeneous map from pixels of the captured image to pixels of the "
        "sample",
    ]
    intrinsics: Annotated[Array, "<f8 [N, 3, 3] px: pinhole matrix of the sample's image"]
    scale: Annotated[float, "<f8 [N] 1: f of the pose of S* (Eq. 2)"]
    rotation: Annotated[Array, "<f8 [N, 3, 3] 1: R of the pose of S*, cam_from_obj"]
    translation_mm: Annotated[Array, "<f8 [N, 3] mm: t of the pose of S*, camera frame"]
    visible: Annotated[
        Array,
        "|u1 [N, ceil(n/8)] bit: vertices that the camera sees, packed, first vertex in the "
        "highest bit",
    ]
    initial_alpha_id: Annotated[
        Array,
        "<f4 [N, k] 1: identity coefficients of the fit from landmarks alone: what a network gets",
    ]
    initial_alpha_exp: Annotated[
        Array, "<f4 [N, e] 1: expression coefficients of the fit from landmarks alone"
    ]
    initial_scale: Annotated[float, "<f8 [N] 1: f of the fit from landmarks alone"]
    initial_rotation: Annotated[
        Array, "<f8 [N, 3, 3] 1: R of the fit from landmarks alone, cam_from_obj"
    ]
    initial_translation_mm: Annotated[
        Array, "<f8 [N, 3] mm: t of the fit from landmarks alone, camera frame"
    ]
    initial_source: Annotated[
        int,
        "|u1 [N] none: landmarks of that fit: 0 detected in the sample's image, 1 the registered "
        "face's own, projected, because the detector found no face",
    ]
    painted: Annotated[
        float,
        "<f4 [N] 1: share of the face's pixels that the captured image does not show (inpainted)",
    ]


@dataclass(frozen=True)
class Field:
    """One dataset of a shard.

    Attributes
    ----------
    path : str
        Within the file.
    dtype : str
        numpy name at rest, ``"str"`` for UTF-8 text.
    shape : tuple of str or int
        ``N`` samples, ``C`` captures, ``S`` shapes, ``n`` vertices, ``k`` identity and
        ``e`` expression coefficients, ``B`` bytes.
    unit : str
    description : str
        Meaning, frame and equation.
    """

    path: str
    dtype: str
    shape: tuple[str | int, ...]
    unit: str
    description: str

    @property
    def name(self) -> str:
        """Last part of the path, which is the row's attribute."""
        return self.path.split("/")[1]


_DECLARATION = re.compile(r"(\S+) \[(.+?)\] (\S+): (.+)")


def _field(path: str, declaration: str) -> Field:
    found = _DECLARATION.fullmatch(declaration)
    if found is None:
        raise ValueError(f"{path}: '{declaration}' is not 'dtype [shape] unit: meaning'")
    dtype, shape, unit, description = found.groups()
    sizes = tuple(int(size) if size.isdigit() else size for size in shape.split(", "))
    return Field(path, dtype, sizes, unit, description)


def _fields(table: str, row: type) -> list[Field]:
    hints = typing.get_type_hints(row, include_extras=True)
    return [
        _field(f"{table}/{name}", hint.__metadata__[0])
        for name, hint in hints.items()
        if typing.get_origin(hint) is Annotated
    ]


FIELDS = (
    *_fields("captures", CaptureRow),
    _field("shapes/capture_index", "<i4 [S] row: row of captures/ it was made from"),
    *_fields("shapes", ShapeRow),
    _field("samples/sample_id", "str [N] none: capture, view and shape source"),
    _field("samples/capture_index", "<i4 [N] row: row of captures/"),
    _field("samples/shape_index", "<i4 [N] row: row of shapes/"),
    _field(
        "samples/image_bytes",
        "|u1 [B] byte: encoded images (attribute 'format'), one behind the other, square, RGB",
    ),
    _field(
        "samples/image_offset",
        "<i8 [N+1] byte: image i is image_bytes[image_offset[i]:image_offset[i + 1]]",
    ),
    *_fields("samples", SampleImage),
    _field("samples/seed", "<i8 [N] 1: seed of everything random in the sample"),
)
