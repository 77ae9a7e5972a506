"""REALY: our methods and others by the rigid region-wise error; predictions as it wants them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fg3d_builder.captures.source import safe_id
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.evaluation import ScanSurface
from fg3d_builder.evaluation.regional_error import REGIONS, regional_distance
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.trained import Trained
from fg3d_builder.files.obj_writer import write_polygon_obj
from fg3d_builder.records import Array
from fg3d_builder.testsets.images import photo_capture
from fg3d_builder.testsets.mesh_files import FIRST_INNER
from fg3d_builder.testsets.method_meshes import read_method_mesh
from fg3d_builder.testsets.photo_faces import PhotoFaces
from fg3d_builder.testsets.plausible_landmarks import plausible_pose
from fg3d_builder.testsets.realy import Realy, RealyTruth
from fg3d_builder.testsets.realy_keypoints import (
    IBUG_COUNT,
    KeyPointPlaces,
    carried_key_points,
    checked_key_points,
    inner_landmarks,
    read_key_points,
    write_key_points,
)
from fg3d_builder.testsets.records import ProtocolConfig, ProtocolImage, Unusable
from fg3d_builder.testsets.setup import Setup, check_landmarks
from fg3d_builder.testsets.taking_part import TakingPart, all_rows

TEMPLATE = "HIFI3D.obj"
KEY_POINT_FILE = "keypoints.txt"
OWN_TOPOLOGY = "fg3d"
"""Name of the topology of our own predictions in a submission."""


class RegionRow(NamedTuple):
    """What one method made of one image.

    Attributes
    ----------
    image_id, subject, method : str
    error_mm : dict of str to float or None
        Mean distance by region; None for a failure.
    code, reason : str
        Why there is none; ``""`` where there is one.
    """

    image_id: str
    subject: str
    method: str
    error_mm: dict[str, float] | None
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class RealyResults:
    """All rows of an evaluation on REALY.

    Attributes
    ----------
    methods : tuple of str
    rows : tuple of RegionRow
    unusable : tuple of Unusable
    settings : dict
        How it was measured.
    """

    methods: tuple[str, ...]
    rows: tuple[RegionRow, ...]
    unusable: tuple[Unusable, ...]
    settings: dict[str, Any]

    def of(self, method: str) -> list[RegionRow]:
        """Return the rows of one method."""
        return [row for row in self.rows if row.method == method]


def evaluate_realy(
    realy: Realy,
    out: Path,
    model: FaceModel,
    networks: Mapping[str, Trained] | None = None,
    methods: Mapping[str, Path] | None = None,
    *,
    config: ProtocolConfig | None = None,
    submission: Path | None = None,
    progress: bool = False,
) -> RealyResults:
    """Measure the 3DMM fit, trained networks and other methods by the rigid region-wise error.

    Parameters
    ----------
    realy : Realy
        See `open_realy`. Its folder has to hold ``HIFI3D.obj`` and ``HIFI3D.txt``.
    out : Path
        Gets ``topology/``, the registration that carries the key points to the face model.
    model : FaceModel
        Of the 3DMM fit and of every network.
    networks : mapping of name to Trained, optional
    methods : mapping of name to folder, optional
        ``IMAGE.obj`` for every image, all of one topology, and ``keypoints.txt`` with its 85 key
        points.
    config : ProtocolConfig, optional
    submission : Path, optional
        Gets ``fg3d.obj`` and ``fg3d.txt``, the topology with its key points, and a folder of
        predictions for each of our own methods.
    progress : bool

    Raises
    ------
    ConfigError
        Methods that cannot take part, or a template that is missing or broken.
    """
    setup = Setup(model, config or ProtocolConfig())
    evaluation = _Evaluation(realy, out, setup, networks or {}, methods or {}, submission)
    names = evaluation.taking_part.names
    place = {name: i for i, name in enumerate(names)}
    rows, unusable = all_rows(
        evaluation.images(),
        len(realy.images),
        "realy",
        progress,
        (),
        lambda row: (place[row.method], int(row.subject), row.image_id),
    )
    settings = {"metric": "rigid region-wise error", **evaluation.taking_part.settings()}
    return RealyResults(tuple(names), rows, unusable, settings)


class _Evaluation:
    """All images with all methods."""

    def __init__(
        self,
        realy: Realy,
        out: Path,
        setup: Setup,
        networks: Mapping[str, Trained],
        methods: Mapping[str, Path],
        submission: Path | None,
    ) -> None:
        self.taking_part = TakingPart(setup, networks, methods)
        check_landmarks(setup.model, range(FIRST_INNER, IBUG_COUNT))
        self._realy, self._setup, self._networks = realy, setup, networks
        self._submission = submission
        ids = [image.image_id for image in realy.images]
        self._others = {n: _OtherMethod(n, path, ids, setup.model) for n, path in methods.items()}
        template = realy.folder / TEMPLATE
        try:
            self._places = carried_key_points(setup, template, out / "topology")
        except CaptureError as error:
            raise ConfigError(f"{error.message}; {template} carries the key points") from None
        if submission is not None:
            model = setup.model
            write_polygon_obj(submission / f"{OWN_TOPOLOGY}.obj", model.mean, model.triangles)
            write_key_points(submission / f"{OWN_TOPOLOGY}.txt", self._places)

    def images(self) -> Iterator[list[RegionRow] | Unusable]:
        """Yield the rows of every image, or why it cannot be used."""
        truths: dict[str, RealyTruth | CaptureError] = {}
        for image in self._realy.images:
            if image.subject not in truths:
                truths = {image.subject: self._truth(image.subject)}
            truth = truths[image.subject]
            try:
                if isinstance(truth, CaptureError):
                    raise truth
                yield self._rows(image, truth)
            except CaptureError as error:
                yield Unusable(image.image_id, image.subject, error.code, error.message)

    def _truth(self, subject: str) -> RealyTruth | CaptureError:
        try:
            truth = self._realy.truth(subject)
            given = inner_landmarks(truth.key_points)
            plausible_pose(given, self._setup.model, f"person {subject}", "its key points")
        except CaptureError as error:
            return error
        return truth

    def _rows(self, image: ProtocolImage, truth: RealyTruth) -> list[RegionRow]:
        faces = PhotoFaces(photo_capture(image, self._setup.config), self._setup, self._networks)
        rows = [
            _row(name, image, truth, partial(self._own, faces, name, image))
            for name in self.taking_part.own_keys
        ]
        for name, other in self._others.items():
            rows.append(_row(name, image, truth, partial(other.read, image.image_id)))
        return rows

    def _own(
        self, faces: PhotoFaces, method: str, image: ProtocolImage
    ) -> tuple[ScanSurface, Array]:
        """Return the face that one of our methods sees, with its key points; write it as well.

        An old file of another network must not stay where this one fails.
        """
        model, path = self._setup.model, None
        if self._submission is not None:
            path = self._submission / safe_id(method) / f"{image.image_id}.obj"
            path.unlink(missing_ok=True)
        shape = faces.shape(method)
        if path is not None:
            write_polygon_obj(path, shape, model.triangles)
        return ScanSurface(shape, model.triangles), self._places.points(shape, model.triangles)


class _OtherMethod:
    """A folder of another method's meshes of one topology, with the topology's key points."""

    def __init__(self, name: str, folder: Path, images: Sequence[str], model: FaceModel) -> None:
        if not folder.is_dir():
            raise ConfigError(f"method '{name}': no folder {folder}")
        self._name, self._folder, self._model = name, folder, model
        self._places: KeyPointPlaces = read_key_points(folder / KEY_POINT_FILE)
        self._triangles: Array | None = None
        first = next((i for i in images if self._path(i).is_file()), None)
        if first is None:
            raise ConfigError(
                f"method '{name}': {folder} has no mesh for any image; wanted {images[0]}.obj and "
                "so on"
            )
        try:
            self.read(first)
        except CaptureError as error:
            if error.code in ("bad_landmarks", "mirrored_mesh"):
                raise ConfigError(f"method '{name}': {error.message}") from None

    def _path(self, image_id: str) -> Path:
        return self._folder / f"{image_id}.obj"

    def read(self, image_id: str) -> tuple[ScanSurface, Array]:
        """Return the surface of a mesh and its key points.

        Raises
        ------
        CaptureError
            ``missing_mesh``, ``unreadable_mesh``, ``bad_mesh``, ``bad_landmarks`` or
            ``mirrored_mesh``.
        """
        path = self._path(image_id)
        if not path.is_file():
            raise CaptureError("missing_mesh", f"{self._name}: no {path}")
        mesh = read_method_mesh(path)
        if self._triangles is None:
            self._triangles = mesh.triangles
        elif not np.array_equal(mesh.triangles, self._triangles):
            raise CaptureError(
                "bad_mesh", f"{path}: its triangles are not those of the method's first mesh"
            )
        where = self._folder / KEY_POINT_FILE
        points = checked_key_points(self._places, mesh.vertices, mesh.triangles, self._model, where)
        return ScanSurface(mesh.vertices, mesh.triangles), points


def _row(
    method: str,
    image: ProtocolImage,
    truth: RealyTruth,
    reconstruction: Callable[[], tuple[ScanSurface, Array]],
) -> RegionRow:
    """Measure a reconstruction in every region."""
    try:
        mesh, key_points = reconstruction()
        error_mm = {}
        for region in REGIONS:
            vertices = truth.region_vertices[region.name]
            distance = regional_distance(mesh, key_points, region, vertices, truth.key_points)
            error_mm[region.name] = float(distance.mean() * truth.mm_per_unit)
    except CaptureError as error:
        return RegionRow(image.image_id, image.subject, method, None, error.code, error.message)
    except ValueError as error:
        reason = f"{method}: {image.image_id}: {error}"
        return RegionRow(image.image_id, image.subject, method, None, "bad_mesh", reason)
    return RegionRow(image.image_id, image.subject, method, error_mm)
