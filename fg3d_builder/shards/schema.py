"""What a shard holds: three tables whose rows refer to each other by number.

A *sample* is one training image. It refers to the *shape* that it shows and to the *capture*
that it comes from, so a shape that many views show is stored once. Views other than the
captured one and shapes other than the registered one are further rows, not further fields.

`CaptureRow`, `ShapeRow` and `SampleRow` are one row each of ``captures/``, ``shapes/`` and
``samples/``; `FIELDS` says dtype, shape, unit and meaning of every dataset, and stands in
the file as the datasets' attributes.
"""

from __future__ import annotations

from dataclasses import dataclass

from fg3d_builder.records import Array

SCHEMA = "fg3d-shard-2"

SPLITS = ("train", "test")

CAPTURED = "capture"
"""`ShapeRow.shape_source` of a shape that was registered."""

FROM_DETECTED, FROM_PROJECTED = 0, 1
"""`SampleRow.initial_source`: where the landmarks of the network's 3DMM fit come from."""


@dataclass(frozen=True)
class CaptureRow:
    """One RGB-D frame that samples come from; see `FIELDS` for units."""

    capture_id: str
    subject_id: str
    source: str
    expression: str
    licence: str
    image_size: Array
    intrinsics: Array
    landmark_error_px: float
    surface_error_mm: float
    quality: float
    converged: bool


@dataclass(frozen=True)
class ShapeRow:
    """One ground-truth shape; see `FIELDS` for units."""

    capture_index: int
    shape_source: str
    donors: str
    shape_obj_mm: Array
    alpha_id: Array
    alpha_exp: Array
    delta_rms_mm: float
    confidence: Array


@dataclass(frozen=True)
class SampleRow:
    """One training image; see `FIELDS` for units. `image` is the encoded file's bytes."""

    sample_id: str
    capture_index: int
    shape_index: int
    image: bytes
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


FIELDS = (
    Field("captures/capture_id", "str", ("C",), "none", "unique within the dataset"),
    Field("captures/subject_id", "str", ("C",), "none", "the split is made by it"),
    Field("captures/source", "str", ("C",), "none", "adapter that read the capture"),
    Field("captures/expression", "str", ("C",), "none", "free tag"),
    Field("captures/licence", "str", ("C",), "none", "free tag of the capture's licence"),
    Field("captures/image_size", "<i4", ("C", 2), "px", "width, height of the captured image"),
    Field("captures/intrinsics", "<f8", ("C", 3, 3), "px", "pinhole matrix of the capture"),
    Field(
        *("captures/landmark_error_px", "<f4", ("C",), "px"),
        "root mean square distance of the registration's edge points to the detected ones",
    ),
    Field(
        *("captures/surface_error_mm", "<f4", ("C",), "mm"),
        "median distance of the registered surface to the depth, where both are reliable",
    ),
    Field("captures/quality", "<f4", ("C",), "1", "0 to 1; low predicts a bad registration"),
    Field("captures/converged", "|b1", ("C",), "none", "whether nonrigid ICP converged"),
    Field("shapes/capture_index", "<i4", ("S",), "row", "row of captures/ it was made from"),
    Field(
        *("shapes/shape_source", "str", ("S",), "none"),
        "'capture' for a registered shape, 'transform-0', ... for transformed ones",
    ),
    Field(
        *("shapes/donors", "str", ("S",), "none"),
        "JSON: which capture each part of a transformed shape comes from; '{}' for 'capture'",
    ),
    Field(
        *("shapes/shape_obj_mm", "<f4", ("S", "n", 3), "mm"),
        "S* of Eq. 11, ground truth, object frame",
    ),
    Field(
        *("shapes/alpha_id", "<f4", ("S", "k"), "1"),
        "identity coefficients of the 3DMM fitted to S* (Eq. 1); delta_S = S* - coarse",
    ),
    Field(
        *("shapes/alpha_exp", "<f4", ("S", "e"), "1"),
        "expression coefficients of the 3DMM fitted to S* (Eq. 1)",
    ),
    Field(
        *("shapes/delta_rms_mm", "<f4", ("S",), "mm"),
        "root mean square length of delta_S over all vertices; checks the coefficients",
    ),
    Field(
        *("shapes/confidence", "|u1", ("S", "n"), "1/255"),
        "how well depth supports each vertex; 0 where nothing was seen",
    ),
    Field("samples/sample_id", "str", ("N",), "none", "capture, view and shape source"),
    Field("samples/capture_index", "<i4", ("N",), "row", "row of captures/"),
    Field("samples/shape_index", "<i4", ("N",), "row", "row of shapes/"),
    Field(
        *("samples/image_bytes", "|u1", ("B",), "byte"),
        "encoded images (attribute 'format'), one behind the other, square, RGB",
    ),
    Field(
        *("samples/image_offset", "<i8", ("N+1",), "byte"),
        "image i is image_bytes[image_offset[i]:image_offset[i + 1]]",
    ),
    Field(
        *("samples/view_deg", "<f4", ("N", 2), "degree"),
        "(pitch, yaw) by which the view is turned from the captured one; 0, 0 is the capture",
    ),
    Field(
        *("samples/px_crop_from_px", "<f8", ("N", 3, 3), "px"),
        "homogeneous map from pixels of the captured image to pixels of the sample",
    ),
    Field("samples/intrinsics", "<f8", ("N", 3, 3), "px", "pinhole matrix of the sample's image"),
    Field("samples/scale", "<f8", ("N",), "1", "f of the pose of S* (Eq. 2)"),
    Field("samples/rotation", "<f8", ("N", 3, 3), "1", "R of the pose of S*, cam_from_obj"),
    Field("samples/translation_mm", "<f8", ("N", 3), "mm", "t of the pose of S*, camera frame"),
    Field(
        *("samples/visible", "|u1", ("N", "ceil(n/8)"), "bit"),
        "vertices that the camera sees, packed, first vertex in the highest bit",
    ),
    Field(
        *("samples/initial_alpha_id", "<f4", ("N", "k"), "1"),
        "identity coefficients of the fit from landmarks alone: what a network gets",
    ),
    Field(
        *("samples/initial_alpha_exp", "<f4", ("N", "e"), "1"),
        "expression coefficients of the fit from landmarks alone",
    ),
    Field("samples/initial_scale", "<f8", ("N",), "1", "f of the fit from landmarks alone"),
    Field(
        *("samples/initial_rotation", "<f8", ("N", 3, 3), "1"),
        "R of the fit from landmarks alone, cam_from_obj",
    ),
    Field(
        *("samples/initial_translation_mm", "<f8", ("N", 3), "mm"),
        "t of the fit from landmarks alone, camera frame",
    ),
    Field(
        *("samples/initial_source", "|u1", ("N",), "none"),
        "landmarks of that fit: 0 detected in the sample's image, 1 the registered face's own, "
        "projected, because the detector found no face",
    ),
    Field(
        *("samples/painted", "<f4", ("N",), "1"),
        "share of the face's pixels that the captured image does not show (inpainted)",
    ),
    Field("samples/seed", "<i8", ("N",), "1", "seed of everything random in the sample"),
)
