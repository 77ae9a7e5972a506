"""The NoW challenge as its authors measure it: scan-to-mesh distances, all four challenges.

What is measured is in `fg3d_builder.evaluation.scan_to_mesh`. The scans are neutral, so our own
methods take part with the neutral shape of a face, whatever its expression in the photo: NoW's
authors advise the same (expression coefficients set to zero, issues 5 and 20 of the repository
``soubhiksanyal/now_evaluation``).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import digest
from fg3d_builder.errors import CaptureError, ConfigError, sentence
from fg3d_builder.evaluation import ScanSurface
from fg3d_builder.evaluation.scan_to_mesh import SEVEN_POINTS, ScanToMesh, scan_to_mesh
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.trained import Trained
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.mesh_io import MESH_SUFFIXES
from fg3d_builder.files.products import SUFFIX
from fg3d_builder.records import Array
from fg3d_builder.testsets import now
from fg3d_builder.testsets.images import image_key, photo_capture
from fg3d_builder.testsets.kept import kept
from fg3d_builder.testsets.landmarked_mesh import (
    LANDMARK_SUFFIXES,
    check_on_surface,
    read_seven_landmarks,
    write_landmarked_mesh,
)
from fg3d_builder.testsets.layouts import wanted_subjects
from fg3d_builder.testsets.mesh_files import read_mesh_landmarks
from fg3d_builder.testsets.mesh_method import LANDMARKS_NAME
from fg3d_builder.testsets.method_meshes import landmarks_at_vertices, read_method_mesh
from fg3d_builder.testsets.photo_faces import PhotoFaces
from fg3d_builder.testsets.plausible_landmarks import plausible_pose
from fg3d_builder.testsets.records import (
    GivenLandmarks,
    ProtocolConfig,
    ProtocolImage,
    ProtocolScan,
    Unusable,
)
from fg3d_builder.testsets.setup import Setup, check_landmarks, mesh_digest
from fg3d_builder.testsets.surfaces import read_shape
from fg3d_builder.testsets.taking_part import TakingPart, all_rows

STAGE = "now-scan-to-mesh-1"
"""Raise the number when the same input gives other distances."""


@dataclass(frozen=True)
class NowChallenge:
    """Images of NoW's challenges, and the scans that there are.

    Attributes
    ----------
    images : tuple of ProtocolImage
        Sorted by id, ``SUBJECT/CHALLENGE/IMAGE``; those of the test set have no scan.
    scans : dict of str to ProtocolScan
        By subject; the unit is the millimetre.
    missing : tuple of Unusable
        Photos that are listed and not there; subjects whose scan or landmarks are broken.
    """

    images: tuple[ProtocolImage, ...]
    scans: dict[str, ProtocolScan]
    missing: tuple[Unusable, ...]


@dataclass(frozen=True)
class ImageDistances:
    """Scan-to-mesh distances of one image, as they are kept on disk.

    Attributes
    ----------
    distance_mm : (n,) float32
        From each vertex of the cropped scan.
    converged : bool
        Whether the refinement of the alignment has.
    """

    distance_mm: Array
    converged: bool


class ChallengeRow(NamedTuple):
    """What one method made of one image.

    Attributes
    ----------
    image_id, subject, challenge, method : str
    distance_mm : (n,) float32 or None
        None for a failure, and for an image without a scan.
    code, reason : str
        Why there is none; ``""`` where there is one.
    """

    image_id: str
    subject: str
    challenge: str
    method: str
    distance_mm: Array | None
    code: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ChallengeResults:
    """All rows of an evaluation on the challenges.

    Attributes
    ----------
    methods : tuple of str
    rows : tuple of ChallengeRow
        Every method has a row for every image of a subject with a scan; of other images there are
        those that a submission lacks.
    unusable : tuple of Unusable
    settings : dict
        How it was measured.
    """

    methods: tuple[str, ...]
    rows: tuple[ChallengeRow, ...]
    unusable: tuple[Unusable, ...]
    settings: dict[str, Any]

    def of(self, method: str) -> list[ChallengeRow]:
        """Return the rows of one method."""
        return [row for row in self.rows if row.method == method]


def open_now_challenge(
    folder: Path,
    *,
    subjects: Sequence[str] = ("*",),
    challenges: Sequence[str] = now.CHALLENGES,
    list_name: str = now.LIST_NAME,
) -> NowChallenge:
    """Read NoW in its published layout, with all of its challenges.

    Parameters
    ----------
    folder : Path
        See `fg3d_builder.testsets.now`.
    subjects : sequence of str
        Patterns of the subjects to take.
    challenges : sequence of str
        Of `now.CHALLENGES`.
    list_name : str
        The list of images in the folder; the test set has another one, and no scans.

    Raises
    ------
    ConfigError
        Nothing there; a list that is missing or broken; no subject of these names.
    """
    try:
        listed = now.listed_images(folder, list_name, challenges)
    except OSError as error:  # a list may name what no system can have, or what nobody may read
        raise ConfigError(f"{folder}: the list of images: {sentence(error)}") from None
    listed.sort(key=lambda image: image.image_id)
    wanted = wanted_subjects(folder, {image.subject for image in listed}, subjects)
    scans, missing = {}, []
    for subject in wanted:
        try:
            mesh_file, landmarks = now.find_scan(folder, subject)
        except CaptureError as error:
            # Of the test set, nobody has scans; what is there has to be whole.
            if os.path.isdir(folder / "scans" / subject):
                missing.append(Unusable(subject, subject, error.code, error.message))
        except OSError as error:
            reason = f"{folder}: {sentence(error)}"
            missing.append(Unusable(subject, subject, "missing_file", reason))
        else:
            scans[subject] = ProtocolScan(subject, mesh_file, 1.0, landmarks)
    images = []
    for image in listed:
        if image.subject not in wanted:
            continue
        if image.photo is not None and os.path.isfile(image.photo):
            images.append(image)
        else:
            reason = f"{image.photo}: file not found"
            missing.append(Unusable(image.image_id, image.subject, "missing_file", reason))
    return NowChallenge(tuple(images), scans, tuple(missing))


def evaluate_now_challenge(
    challenge: NowChallenge,
    out: Path,
    model: FaceModel,
    networks: Mapping[str, Trained] | None = None,
    methods: Mapping[str, Path] | None = None,
    *,
    config: ProtocolConfig | None = None,
    metrical: bool = False,
    submission: Path | None = None,
    progress: bool = False,
) -> ChallengeResults:
    """Measure the 3DMM fit, trained networks and other methods by NoW's own metric.

    Parameters
    ----------
    challenge : NowChallenge
        See `open_now_challenge`.
    out : Path
        Gets ``measured/``, the distances of every image and method, which are not computed again.
    model : FaceModel
        Of the 3DMM fit and of every network.
    networks : mapping of name to Trained, optional
    methods : mapping of name to folder, optional
        Meshes of other methods in NoW's layout, see `fg3d_builder.testsets.landmarked_mesh`; in
        place of landmark files, ``landmarks.json`` may name the vertices.
    config : ProtocolConfig, optional
    metrical : bool
        Keep the size of the reconstructions, which then have to be in millimetres.
    submission : Path, optional
        Gets a folder for each of our own methods, with meshes and landmarks in the layout of a
        submission, also of images without a scan.
    progress : bool

    Returns
    -------
    ChallengeResults
        The method `results.FIT` first, then networks and other methods in the given order.

    Raises
    ------
    ConfigError
        Methods that cannot take part; nothing to measure or to write.
    """
    setup = Setup(model, config or ProtocolConfig())
    evaluation = _Evaluation(
        challenge, out, setup, networks or {}, methods or {}, metrical, submission
    )
    names = evaluation.taking_part.names
    place = {name: i for i, name in enumerate(names)}
    rows, unusable = all_rows(
        evaluation.images(),
        len(challenge.images),
        "now-challenge",
        progress,
        challenge.missing,
        lambda row: (place[row.method], row.image_id),
    )
    metric = {"metric": "metrical" if metrical else "non-metrical"}
    settings = {**metric, **evaluation.taking_part.settings()}
    return ChallengeResults(tuple(names), rows, unusable, settings)


class _Scan(NamedTuple):
    """A scan as it is measured against."""

    key: str
    vertices_mm: Array
    landmarks_mm: Array


class _Evaluation:
    """All challenges with all methods: goes through subjects, images and methods in this order."""

    def __init__(
        self,
        challenge: NowChallenge,
        out: Path,
        setup: Setup,
        networks: Mapping[str, Trained],
        methods: Mapping[str, Path],
        metrical: bool,
        submission: Path | None,
    ) -> None:
        if not challenge.images and not challenge.missing:
            raise ConfigError("now-challenge: no image to evaluate")
        if not challenge.scans and submission is None and not challenge.missing:
            raise ConfigError(
                "now-challenge: no subject has a scan, so nothing can be measured; --submission "
                "writes reconstructions without measuring them"
            )
        self.taking_part = TakingPart(setup, networks, methods)
        check_landmarks(setup.model, SEVEN_POINTS)
        self._challenge, self._out, self._setup = challenge, out, setup
        self._networks, self._metrical, self._submission = networks, metrical, submission
        ids = [image.image_id for image in challenge.images]
        self._others = {n: _OtherMethod(n, path, ids, setup.model) for n, path in methods.items()}

    def images(self) -> Iterator[list[ChallengeRow] | Unusable]:
        """Yield the rows of every image, none for one without a scan, or why it is unusable."""
        scan: _Scan | CaptureError | None = None
        before = None
        for image in self._challenge.images:
            if image.subject != before:
                before = image.subject
                scan = self._scan(image.subject)
            try:
                if isinstance(scan, CaptureError):
                    raise scan
                yield self._rows(image, scan)
            except CaptureError as error:
                yield Unusable(image.image_id, image.subject, error.code, error.message)

    def _scan(self, subject: str) -> _Scan | CaptureError | None:
        """Read a scan with its landmarks, which have to fit a face; None where there is none."""
        given = self._challenge.scans.get(subject)
        if given is None:
            return None
        try:
            mesh = read_shape(given.mesh_file)
            assert given.landmarks is not None
            points = given.landmarks.points
            plausible_pose(given.landmarks, self._setup.model, subject, "the scan's *.pp")
        except CaptureError as error:
            return error
        key = digest(mesh_digest(given.mesh_file), points.tolist())
        return _Scan(key, mesh.vertices[np.unique(mesh.triangles)], points)

    def _rows(self, image: ProtocolImage, scan: _Scan | None) -> list[ChallengeRow]:
        shown = digest(image_key(image, "", self._setup.config), self._metrical)
        faces = PhotoFaces(photo_capture(image, self._setup.config), self._setup, self._networks)
        rows = []
        for name, own_key in self.taking_part.own_keys.items():
            not_written = self._write(name, image, faces)
            if scan is not None:
                key = digest(shown, scan.key, own_key)
                rows.append(self._row(name, image, key, scan, partial(self._own, faces, name)))
            elif not_written is not None:
                rows.append(_failed(name, image, not_written))
        for name, other in self._others.items():
            if scan is None:
                continue
            try:
                key = digest(shown, scan.key, self._setup.model_key, other.key(image.image_id))
            except CaptureError as error:
                rows.append(_failed(name, image, error))
            else:
                read = partial(other.read, image.image_id)
                rows.append(self._row(name, image, key, scan, read))
        return rows

    def _own(self, faces: PhotoFaces, method: str) -> tuple[ScanSurface, Array]:
        """Return the neutral face that one of our methods sees, and its seven landmarks."""
        model, shape = self._setup.model, faces.neutral_shape(method)
        return ScanSurface(shape, model.triangles), seven_landmarks(model, shape)

    def _write(self, method: str, image: ProtocolImage, faces: PhotoFaces) -> CaptureError | None:
        """Write a submission's mesh and landmarks, or return why there is no face.

        An old file of another network must not stay where this one fails.
        """
        if self._submission is None:
            return None
        path = self._submission / safe_id(method) / f"{image.image_id}.obj"
        for old in (path, path.with_suffix(".npy")):
            old.unlink(missing_ok=True)
        try:
            shape = faces.neutral_shape(method)
        except CaptureError as error:
            return error
        model = self._setup.model
        write_landmarked_mesh(path, shape, model.triangles, seven_landmarks(model, shape))
        return None

    def _row(
        self,
        method: str,
        image: ProtocolImage,
        key: str,
        scan: _Scan,
        reconstruction: Callable[[], tuple[ScanSurface, Array]],
    ) -> ChallengeRow:
        """Measure a reconstruction, or take what is kept of an earlier run."""
        path = self._out / "measured" / safe_id(method) / f"{image.image_id}{SUFFIX}"

        def measure() -> ImageDistances:
            mesh, landmarks = reconstruction()
            try:
                found: ScanToMesh = scan_to_mesh(
                    mesh, landmarks, scan.vertices_mm, scan.landmarks_mm, self._metrical
                )
            except ValueError as error:
                raise CaptureError("bad_mesh", f"{method}: {image.image_id}: {error}") from None
            return ImageDistances(found.distance_mm.astype(np.float32), found.converged)

        try:
            distances = kept(path, STAGE, key, ImageDistances, measure).distance_mm
        except CaptureError as error:
            return _failed(method, image, error)
        return ChallengeRow(
            image.image_id, image.subject, challenge_of(image), method, np.asarray(distances)
        )


class _OtherMethod:
    """A folder of another method's meshes with seven landmarks each."""

    def __init__(self, name: str, folder: Path, images: Sequence[str], model: FaceModel) -> None:
        if not folder.is_dir():
            raise ConfigError(f"method '{name}': no folder {folder}")
        self._name, self._folder, self._model = name, folder, model
        table = folder / LANDMARKS_NAME
        self._table = read_mesh_landmarks(table) if table.is_file() else None
        if self._table is not None and not set(SEVEN_POINTS) <= set(self._table.ibug.tolist()):
            wanted = ", ".join(map(str, SEVEN_POINTS))
            raise ConfigError(f"{table}: vertex_index: the points {wanted} are wanted")
        first = next((i for i in images if self._find(i, MESH_SUFFIXES) is not None), None)
        if first is None:
            raise ConfigError(
                f"method '{name}': {folder} has no mesh for any image; wanted "
                f"{images[0] if images else 'IMAGE'}{MESH_SUFFIXES[0]} and so on"
            )
        try:
            self.read(first)
        except CaptureError as error:
            if error.code in ("bad_landmarks", "mirrored_mesh"):
                raise ConfigError(f"method '{name}': {error.message}") from None

    def _find(self, image_id: str, suffixes: Sequence[str]) -> Path | None:
        paths = (self._folder / f"{image_id}{suffix}" for suffix in suffixes)
        return next((path for path in paths if path.is_file()), None)

    def _existing(self, image_id: str, suffixes: Sequence[str], code: str) -> Path:
        path = self._find(image_id, suffixes)
        if path is None:
            kinds = ", ".join(suffixes)
            raise CaptureError(code, f"{self._name}: no {self._folder / image_id} with {kinds}")
        return path

    def key(self, image_id: str) -> str:
        """Return a digest of a mesh and its landmarks, or `CaptureError`."""
        mesh = file_sha256(self._existing(image_id, MESH_SUFFIXES, "missing_mesh"))
        if self._table is not None:
            vertices = self._table.vertex.tolist()
            return digest(mesh, self._table.ibug.tolist(), vertices, self._table.mirrored)
        return digest(mesh, file_sha256(self._landmark_file(image_id)))

    def _landmark_file(self, image_id: str) -> Path:
        return self._existing(image_id, LANDMARK_SUFFIXES, "bad_landmarks")

    def read(self, image_id: str) -> tuple[ScanSurface, Array]:
        """Return the surface of a mesh and its seven landmarks, which have to fit a face.

        Raises
        ------
        CaptureError
            ``missing_mesh``, ``unreadable_mesh``, ``bad_mesh``, ``bad_landmarks`` or
            ``mirrored_mesh``.
        """
        path = self._existing(image_id, MESH_SUFFIXES, "missing_mesh")
        mesh = read_method_mesh(path)
        name, vertices = f"{self._name} {image_id}", mesh.vertices
        if self._table is None:
            where = self._landmark_file(image_id)
            given = read_seven_landmarks(where)
        else:
            where = self._folder / LANDMARKS_NAME
            all_given = landmarks_at_vertices(self._table, mesh, name)
            rows = [self._table.ibug.tolist().index(point) for point in SEVEN_POINTS]
            given = GivenLandmarks(np.array(SEVEN_POINTS), all_given.points[rows])
            if self._table.mirrored:
                flip = np.array([-1.0, 1.0, 1.0])
                vertices, given = vertices * flip, given._replace(points=given.points * flip)
        surface = ScanSurface(vertices, mesh.triangles)
        check_on_surface(given, surface, name)
        plausible_pose(given, self._model, name, where.name)
        return surface, given.points


def seven_landmarks(model: FaceModel, shape_mm: Array) -> Array:
    """Return the (7, 3) landmarks of NoW on a shape (n, 3) of a model."""
    return model.embedded("ibug68", SEVEN_POINTS).points(shape_mm, model.triangles)


def challenge_of(image: ProtocolImage) -> str:
    """Return the challenge that an image belongs to."""
    return image.image_id.split("/")[-2]


def _failed(method: str, image: ProtocolImage, error: CaptureError) -> ChallengeRow:
    return ChallengeRow(
        image.image_id,
        image.subject,
        challenge_of(image),
        method,
        None,
        error.code,
        error.message,
    )
