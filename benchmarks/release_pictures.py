"""The pictures of the release test, each with its fit and with the true face.

From Python::

    from benchmarks.release_pictures import dace_of, nme_of, pictures

    for picture in pictures(Path("build/bench/release")):
        photo = picture.photo            # FittedPhoto, as fg3d_builder.fgnet.prediction takes it
        picture.fit.alpha_id             # CoarseFit: coefficients, pose, shape_obj_mm
        dace_of(picture, shape_obj_mm)   # per cent of the interocular distance; nme_of likewise

The first call registers every scan and fits every picture, some seven minutes of one core; both are
kept in the folder, and later calls take seconds. What depends on a checkpoint is not kept.

Sets: ``facefuns`` (8 scans), ``lee`` (1), ``heads`` (21) from yaw -45, -30, 0, 30 and 45 degrees;
``expressions`` (24 heads) from yaw -30, 0 and 30; ``sven`` (5 frames of one mannequin);
``synthetic`` (20 subjects of a seed of their own, two captures each).

The true surface of a scan is the scan's own mesh, of a head its skin, which hair may hide, of the
frames the depth of the most frontal one. The frontal picture's registration says which place of
the surface is which, for turned pictures as well, whose own depth shows half a face. The set C is
where it is within 3 mm and 30 degrees of the surface (`evaluation.reliable`), for frames where it
is sure. Of synthetic subjects both are exact.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import numpy as np
import trimesh

from benchmarks.head_truth import SKIN
from benchmarks.kept import code_behind
from benchmarks.surfaces import Surface
from fg3d_builder.captures import CaptureSource, open_source
from fg3d_builder.captures.rendered_scan import ready_scan
from fg3d_builder.captures.scan import read_scan, scan_camera
from fg3d_builder.captures.source import CaptureEntry
from fg3d_builder.config import BuildConfig, FaceModelConfig, SourceConfig, digest
from fg3d_builder.errors import CaptureError
from fg3d_builder.evaluation import Correspondence, interocular_mm, nme, outer_eye_corners
from fg3d_builder.evaluation.metrics import ShapeError
from fg3d_builder.evaluation.reliable import border_vertices, reliable_correspondence
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.fgnet.prediction import FittedPhoto
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import decode_image, encode_png
from fg3d_builder.files.hashes import sha256
from fg3d_builder.fitting import fit_landmarks
from fg3d_builder.geometry.closest_points import ScanSurface
from fg3d_builder.geometry.meshes import compact_triangles, vertex_normals
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector, open_view_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.pipeline.photo import Photo, capture_of, fitted_photo, focal_of
from fg3d_builder.pipeline.register import RegisteredCapture, register_capture
from fg3d_builder.records import Array, Capture, CoarseFit
from fg3d_builder.rendering.depth_surface import DepthSurface

log = logging.getLogger("fg3d")

T = TypeVar("T")

ALL_YAWS, FEW_YAWS = (0.0, -45.0, -30.0, 30.0, 45.0), (0.0, -30.0, 30.0)
"""Degrees; the first view of a scan is the frontal one, which is registered."""

MIN_CONFIDENCE = 0.5
"""Of frames, the set C holds reliable vertices that the registration is at least so sure of."""

AROUND_MM = 25.0
"""Of a surface, what is near the registered reliable face is kept: nothing else is ever nearest."""

SYNTHETIC_SEED = 7_340_033
"""No preset trains on it."""

SYNTHETIC_SUBJECTS = 20

CODE = ("captures", "fitting", "landmarks", "registration", "rendering")


class ScanSet(NamedTuple):
    """Scans that are rendered: folder, names, length of a unit in mm (0 is found), and yaws."""

    folder: str
    names: str
    unit_mm: float
    yaws: tuple[float, ...]


SCANS = {
    "facefuns": ScanSet("scans", "facefuns-*", 1.0, ALL_YAWS),
    "lee": ScanSet("scans", "lee-*", 0.0, ALL_YAWS),
    "heads": ScanSet("heads", "*", 1.0, ALL_YAWS),
    "expressions": ScanSet("heads-expressions", "*", 1.0, FEW_YAWS),
}
SETS = (*SCANS, "sven", "synthetic")


@dataclass(frozen=True)
class ReleaseTruth:
    """The true face of a subject, in the frame of its registered shape.

    Attributes
    ----------
    shape_mm : (n, 3) float64
        In the model's topology: which place of the surface is which.
    members : (n,) bool
        The set C.
    vertices_mm : (v, 3) float64
    triangles : (t, 3) int
        The true surface.
    interocular_mm : float
    """

    shape_mm: Array
    members: Array
    vertices_mm: Array
    triangles: Array
    interocular_mm: float

    @cached_property
    def surface(self) -> Surface:
        """The true surface, ready for distances."""
        return Surface(self.vertices_mm, self.triangles)

    def dace(self, shape_obj_mm: Array) -> float:
        """Return DACE (Eq. 20) of a shape (n, 3), to the true surface, in per cent."""
        aligned = self._aligned(shape_obj_mm).truth_from_reconstruction
        points = aligned.cam_from_obj(np.asarray(shape_obj_mm, np.float64)[self.members])
        return 100 * float(self.surface.distance_mm(points).mean()) / self.interocular_mm

    def nme(self, shape_obj_mm: Array) -> float:
        """Return NME (Eq. 18) of a shape (n, 3), to the registered or exact truth, in per cent."""
        return 100 * self._aligned(shape_obj_mm).value

    def _aligned(self, shape_obj_mm: Array) -> ShapeError:
        pairs = Correspondence.same_topology(self.members)
        return nme(shape_obj_mm, self.shape_mm, pairs, self.interocular_mm)

    def __getstate__(self) -> dict[str, object]:
        """Leave out the surface, which cannot be pickled."""
        return {name: value for name, value in vars(self).items() if name != "surface"}


def exact_truth(model: FaceModel, capture: Capture) -> ReleaseTruth:
    """Return the truth of a synthetic capture, whose topology is the embedded model's alone.

    Raises
    ------
    ValueError
        For another model.
    """
    assert capture.truth is not None
    if capture.truth.topology_hash != model.topology_hash:
        raise ValueError("synthetic subjects have the topology of the embedded model alone")
    shape = capture.truth.shape_obj_mm.astype(np.float64)
    between = interocular_mm(shape, outer_eye_corners(model))
    return ReleaseTruth(shape, model.reliable, shape, model.triangles, between)


@dataclass(frozen=True)
class ReleasePicture:
    """A picture as prediction sees it, its fit, and the truth.

    Attributes
    ----------
    set_name, name : str
        One of `SETS`; the capture's id.
    subject : str
    png : bytes
        The whole picture.
    intrinsics : (3, 3) float64
        With the true focal length.
    fit : CoarseFit
        The 3DMM fit to landmarks as `fg3d predict` makes it.
    truth : ReleaseTruth
        Shared by the pictures of a subject and expression.
    """

    set_name: str
    name: str
    subject: str
    png: bytes
    intrinsics: Array
    fit: CoarseFit
    truth: ReleaseTruth

    @property
    def rgb(self) -> Array:
        """(H, W, 3) uint8, decoded anew at each call."""
        return decode_image(self.png)

    @property
    def photo(self) -> FittedPhoto:
        """What a network predicts from."""
        rgb = self.rgb
        no_depth = np.full(rgb.shape[:2], np.nan, np.float32)
        taken = Capture(self.name, self.subject, "photo", rgb, no_depth, self.intrinsics)
        return fitted_photo(taken, self.fit)


Loader = Callable[[CaptureEntry], Capture]


def loader(source: CaptureSource) -> Loader:
    """Return what loads captures of a source, none twice, as it renders them."""
    known: dict[str, Capture] = {}

    def load(entry: CaptureEntry) -> Capture:
        if entry.capture_id not in known:
            known[entry.capture_id] = source.load(entry)
        return known[entry.capture_id]

    return load


class _Seen(NamedTuple):
    """What is kept of a picture; without a fit where there is none, and the reason."""

    png: bytes
    intrinsics: Array
    fit: CoarseFit | None
    failure: str


def dace_of(picture: ReleasePicture, shape_obj_mm: Array) -> float:
    """Return DACE (Eq. 20) of a shape (n, 3) in per cent of the interocular distance."""
    return picture.truth.dace(shape_obj_mm)


def nme_of(picture: ReleasePicture, shape_obj_mm: Array) -> float:
    """Return NME (Eq. 18) of a shape (n, 3) in per cent of the interocular distance."""
    return picture.truth.nme(shape_obj_mm)


def pictures(
    cache: Path,
    data: Path = Path("../shared/data"),
    *,
    model: FaceModel | None = None,
    looks: int | None = None,
    sets: tuple[str, ...] = SETS,
    any_code: bool = False,
) -> list[ReleasePicture]:
    """Return the pictures of the release test in which a face was found.

    Parameters
    ----------
    cache : Path
        Folder for truths and fits; what is there and was made of the same is not made again.
    data : Path
        The real data.
    model : FaceModel, optional
        The network's; left out: the embedded one. Synthetic subjects need its topology.
    looks : int, optional
        How often the detector looks at a photo, `Trained.looks`; left out: the default.
    sets : tuple of str
        Of `SETS`.
    any_code : bool
        Also take what another version of the code has made.
    """
    maker = _Maker(cache, data, model or get_model(FaceModelConfig()), looks, any_code)
    return [picture for name in sets for picture in maker.of_set(name)]


class _Maker:
    """Makes truths and pictures, or reads them where they are kept."""

    def __init__(
        self, cache: Path, data: Path, model: FaceModel, looks: int | None, any_code: bool
    ) -> None:
        self._cache, self._data, self._model, self._any_code = cache, data, model, any_code
        self._config = BuildConfig()
        looks = looks or self._config.fullview.looks
        landmarks = self._config.landmarks
        self._detector = open_detector(landmarks)
        self._view_detector = open_view_detector(landmarks, looks)
        self._facts = {
            "model": [
                sha256(np.ascontiguousarray(part).tobytes())
                for part in (model.triangles, model.mean, model.id_basis, model.exp_basis)
            ],
            "config": digest(landmarks, self._config.fit, self._config.registration),
            "looks": looks,
        }
        self._code = code_behind(CODE)

    def of_set(self, name: str) -> Iterator[ReleasePicture]:
        """Yield the pictures of a set."""
        if name == "sven":
            yield from self._frames()
        elif name == "synthetic":
            yield from self._synthetic()
        else:
            yield from self._scans(name, SCANS[name])

    def _scans(self, name: str, which: ScanSet) -> Iterator[ReleasePicture]:
        config = SourceConfig(
            kind="scan",
            path=str(self._data / which.folder),
            include=(which.names,),
            unit_mm=which.unit_mm,
            views=tuple((0.0, yaw) for yaw in which.yaws),
        )
        source = open_source(config)
        by_scan: dict[str, list[CaptureEntry]] = {}
        for entry in source.entries():
            by_scan.setdefault(entry.location, []).append(entry)
        for location, entries in by_scan.items():
            frontal = next(e for e in entries if e.capture_id.endswith("_yaw0"))
            load = loader(source)
            truth = self._kept(
                f"truth-{frontal.capture_id}",
                partial(self._scan_truth, config, Path(location), load, frontal),
            )
            for entry in entries:
                yield from self._picture(name, entry, load, truth)

    def _scan_truth(
        self, config: SourceConfig, file: Path, load: Loader, frontal: CaptureEntry
    ) -> ReleaseTruth:
        found = self._registered(load(frontal))
        mesh, unit_mm = ready_scan(read_scan(file), config.unit_mm, str(file))
        pose, _ = scan_camera(replace(config, unit_mm=unit_mm), (0.0, 0.0), mesh)
        vertices, triangles = mesh.vertices, mesh.triangles
        parts = trimesh.load_scene(file, process=False).geometry
        if SKIN in parts:  # a head: what is before the skin is not the face
            skin = parts[SKIN]
            vertices, triangles = np.asarray(skin.vertices), np.asarray(skin.faces)
        there = found.registration.pose.obj_from_cam(pose.cam_from_obj(vertices))
        shape = found.registration.shape_obj_mm.astype(np.float64)
        there, triangles = _around(there, triangles, shape[self._model.reliable])
        pairs = reliable_correspondence(
            shape,
            vertex_normals(shape, self._model.triangles),
            ScanSurface(there, triangles),
            vertex_normals(there, triangles),
            self._model.reliable,
            border_vertices(triangles, len(there)),
        )
        members = np.zeros(len(shape), bool)
        members[pairs.source.vertex_index] = True
        return self._truth(shape, members, there, triangles)

    def _frames(self) -> Iterator[ReleasePicture]:
        """The frames show one mannequin: the most frontal one tells the truth for all."""
        source = open_source(SourceConfig(kind="folder", path=str(self._data / "captures")))
        entries = source.entries()
        truth = self._kept("truth-sven", lambda: self._frame_truth(source, entries))
        for entry in entries:
            yield from self._picture("sven", entry, source.load, truth)

    def _frame_truth(self, source: CaptureSource, entries: list[CaptureEntry]) -> ReleaseTruth:
        captures = [source.load(entry) for entry in entries]
        results = [(self._registered(capture).registration, capture) for capture in captures]
        # The face's z axis points to the camera, whose own points to the face.
        registration, capture = min(
            results, key=lambda result: float(result[0].pose.rotation[2, 2])
        )
        depth = DepthSurface.from_depth(capture.depth_mm, capture.intrinsics)
        there = registration.pose.obj_from_cam(depth.vertices_cam_mm)
        shape = registration.shape_obj_mm.astype(np.float64)
        reliable = self._model.reliable
        members = reliable & (registration.confidence >= MIN_CONFIDENCE)
        return self._truth(shape, members, *_around(there, depth.triangles, shape[reliable]))

    def _synthetic(self) -> Iterator[ReleasePicture]:
        config = SourceConfig(
            kind="synthetic",
            subjects=SYNTHETIC_SUBJECTS,
            captures_per_subject=2,
            seed=SYNTHETIC_SEED,
            max_yaw_deg=45.0,
        )
        source = open_source(config)
        for entry in source.entries():
            load = loader(source)
            truth = self._kept(f"truth-{entry.capture_id}", partial(self._exact, load, entry))
            yield from self._picture("synthetic", entry, load, truth)

    def _exact(self, load: Loader, entry: CaptureEntry) -> ReleaseTruth:
        return exact_truth(self._model, load(entry))

    def _truth(
        self, shape: Array, members: Array, vertices: Array, triangles: Array
    ) -> ReleaseTruth:
        between = interocular_mm(shape, outer_eye_corners(self._model))
        return ReleaseTruth(shape, members, vertices, triangles, between)

    def _registered(self, capture: Capture) -> RegisteredCapture:
        return register_capture(self._model, capture, self._config, detector=self._detector)

    def _picture(
        self, set_name: str, entry: CaptureEntry, load: Loader, truth: ReleaseTruth
    ) -> Iterator[ReleasePicture]:
        name = entry.capture_id
        seen = self._kept(
            f"picture-{name}",
            lambda: _seen(load(entry), self._model, self._view_detector, self._config),
        )
        if seen.fit is None:
            log.warning("%s: %s", name, seen.failure)
            return
        yield ReleasePicture(
            set_name, name, entry.subject_id, seen.png, seen.intrinsics, seen.fit, truth
        )

    def _kept(self, name: str, make: Callable[[], T]) -> T:
        """Return what is kept under a name, or make it."""
        file = self._cache / f"{name}-{digest(self._facts)}.pickle"
        if file.is_file():
            code, value = pickle.loads(file.read_bytes())
            if self._any_code or code == self._code:
                return value
        value = make()
        write_bytes(file, pickle.dumps((self._code, value)))
        return value


def _seen(
    capture: Capture, model: FaceModel, detector: LandmarkDetector, config: BuildConfig
) -> _Seen:
    """Fit the colours of a capture as prediction does."""
    photo = Photo(capture.rgb, None)
    alone = capture_of(capture.capture_id, photo, focal_of(photo, float(capture.intrinsics[0, 0])))
    png = encode_png(capture.rgb)
    try:
        found = detector.detect(alone)
        fit = fit_landmarks(model, found, alone.intrinsics, config.fit)
    except CaptureError as error:
        return _Seen(png, alone.intrinsics, None, f"{error.code}: {error.message}")
    return _Seen(png, alone.intrinsics, fit, "")


def _around(vertices_mm: Array, triangles: Array, face_mm: Array) -> tuple[Array, Array]:
    """Cut a mesh to the triangles in the box around a face."""
    low, high = face_mm.min(axis=0) - AROUND_MM, face_mm.max(axis=0) + AROUND_MM
    inside = ((vertices_mm >= low) & (vertices_mm <= high)).all(axis=1)
    near = triangles[inside[triangles].all(axis=1)]
    used, kept = compact_triangles(near, len(vertices_mm))
    return np.asarray(vertices_mm[used]), kept
