"""From a protocol to one row per image and method: what the command `fg3d evaluate` runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import digest
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.fgnet.trained import Trained
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.records import Array
from fg3d_builder.testsets.ground_truth import GroundTruth, ground_truth
from fg3d_builder.testsets.images import image_capture, image_key
from fg3d_builder.testsets.mesh_method import Measured, MeshMethod
from fg3d_builder.testsets.photo_faces import PhotoFaces
from fg3d_builder.testsets.records import Protocol, ProtocolConfig, ProtocolImage, Unusable
from fg3d_builder.testsets.results import (
    FIT,
    ImageResult,
    ProtocolResults,
    read_row,
    write_results,
    write_row,
)
from fg3d_builder.testsets.setup import Setup
from fg3d_builder.testsets.taking_part import TakingPart, all_rows


def evaluate_protocol(
    protocol: Protocol,
    out: Path,
    model: FaceModel,
    networks: Mapping[str, Trained] | None = None,
    methods: Mapping[str, Path] | None = None,
    *,
    config: ProtocolConfig | None = None,
    truth_folder: Path | None = None,
    progress: bool = False,
) -> ProtocolResults:
    """Measure the 3DMM fit, trained networks and other methods on a protocol.

    Resumable: what a folder already holds for the same scans, images, methods and settings
    is not computed again. Deterministic: the same input gives the same rows.

    Parameters
    ----------
    protocol : Protocol
        See `open_protocol`.
    out : Path
        Gets ``truth/`` (registrations with a picture each), ``images/`` (rendered images),
        ``measured/`` (one file per image and method) and ``results.json``.
    model : FaceModel
        For the 3DMM fit and the ground truth. Every network must have been trained on it.
    networks : mapping of name to Trained, optional
        See `fg3d_builder.fgnet.trained.load_trained`.
    methods : mapping of name to folder, optional
        Other methods' meshes, see `fg3d_builder.testsets.mesh_method`.
    config : ProtocolConfig, optional
    truth_folder : Path, optional
        Where registrations are kept, to share them between evaluations; default ``out/truth``.
    progress : bool
        Show a progress bar on stderr.

    Returns
    -------
    ProtocolResults
        The method `results.FIT` first, then networks and other methods in the given order.

    Raises
    ------
    ConfigError
        A network of another face model, a method's name that is taken, a folder without a
        readable description of landmarks, a protocol without any image.
    """
    setup = Setup(model, config or ProtocolConfig())
    evaluation = _Evaluation(
        protocol, out, setup, networks or {}, methods or {}, truth_folder or out / "truth"
    )
    names = evaluation.taking_part.names
    place = {name: i for i, name in enumerate(names)}
    rows, unusable = all_rows(
        evaluation.images(),
        len(protocol.images),
        protocol.name,
        progress,
        protocol.missing,
        lambda row: (place[row.method], row.image_id),
    )
    settings = evaluation.taking_part.settings()
    results = ProtocolResults(protocol.name, tuple(names), rows, unusable, settings)
    write_results(results, out)
    return results


class _Evaluation:
    """One protocol with all methods: goes through scans, images and methods in this order."""

    def __init__(
        self,
        protocol: Protocol,
        out: Path,
        setup: Setup,
        networks: Mapping[str, Trained],
        methods: Mapping[str, Path],
        truth_folder: Path,
    ) -> None:
        if not protocol.images and not protocol.missing:
            raise ConfigError(f"protocol '{protocol.name}': no image to evaluate")
        self.taking_part = TakingPart(setup, networks, methods)
        self._protocol, self._out, self._setup = protocol, out, setup
        self._networks = networks
        self._truth_folder = truth_folder
        images = [image.image_id for image in protocol.images]
        self._others = {
            name: MeshMethod(
                name, folder, images, setup, out / "measured" / safe_id(name) / "topologies"
            )
            for name, folder in methods.items()
            if images
        }

    def images(self) -> Iterator[list[ImageResult] | Unusable]:
        """Yield the rows of every image, or why it cannot be used, scan by scan."""
        for subject, images in self._protocol.by_subject().items():
            truth: GroundTruth | CaptureError
            try:
                scan = self._protocol.scans[subject]
                truth = ground_truth(scan, self._truth_folder, self._setup)
            except CaptureError as error:
                truth = error
            for image in images:
                try:
                    if isinstance(truth, CaptureError):
                        raise truth
                    yield self._rows(image, truth)
                except CaptureError as error:
                    yield Unusable(image.image_id, subject, error.code, error.message)

    def _rows(self, image: ProtocolImage, truth: GroundTruth) -> list[ImageResult]:
        """Return one row per method; `CaptureError` where the image itself is unusable."""
        shown = digest(truth.key, image_key(image, truth.scan_key, self._setup.config))
        keys = {name: digest(shown, key) for name, key in self.taking_part.own_keys.items()}
        files = {name: self._file(name, image) for name in keys}
        kept = {name: read_row(files[name], key) for name, key in keys.items()}
        found = {name: row for name, row in kept.items() if row is not None}
        if len(found) < len(keys):
            found = self._own_rows(image, truth)
            for name, row in found.items():
                write_row(files[name], keys[name], row)
        others = [
            self._other_row(o, image, shown, truth, found[FIT]) for o in self._others.values()
        ]
        return [*(found[name] for name in keys), *others]

    def _own_rows(self, image: ProtocolImage, truth: GroundTruth) -> dict[str, ImageResult]:
        """Measure the 3DMM fit and each network on an image."""
        capture = image_capture(image, truth.surface, self._out / "images", self._setup.config)
        faces = PhotoFaces(capture, self._setup, self._networks)
        try:
            blank = _unmeasured(image, faces.fit().pose.rotation)
        except CaptureError:
            blank = _unmeasured(image, None)

        def row(name: str) -> ImageResult:
            # A shape of our topology reaches all of C.
            members = truth.registered.members
            return _row(blank, name, lambda: Measured(truth.dace(faces.shape(name), members), 1.0))

        return {name: row(name) for name in (FIT, *self._networks)}

    def _other_row(
        self,
        other: MeshMethod,
        image: ProtocolImage,
        shown: str,
        truth: GroundTruth,
        fit: ImageResult,
    ) -> ImageResult:
        """Return the row of another method; its angles are those of the fit's row."""
        try:
            key = digest(shown, other.key(image.image_id), fit[3:6])
        except CaptureError as error:
            return _failed(fit, other.name, error)
        path = self._file(other.name, image)
        row = read_row(path, key)
        if row is None:
            row = _row(fit, other.name, lambda: other.measure(image.image_id, truth))
            if not row.code:
                write_row(path, key, row)
        return row

    def _file(self, method: str, image: ProtocolImage) -> Path:
        return self._out / "measured" / safe_id(method) / f"{image.image_id}.json"


def _unmeasured(image: ProtocolImage, rotation: Array | None) -> ImageResult:
    """Return the fit's row without an error: angles of the protocol, else those of the fit."""
    pitch, yaw = image.pitch_deg, image.yaw_deg
    source = "unknown" if yaw is None else "nominal"
    if rotation is not None:
        estimated_pitch, estimated_yaw, _ = angles_from_rotation(rotation)
        pitch = estimated_pitch if pitch is None else pitch
        if yaw is None:
            yaw, source = estimated_yaw, "estimated"
    return ImageResult(image.image_id, image.subject, FIT, pitch, yaw, source, None, None)


def _row(like: ImageResult, method: str, measure: Callable[[], Measured]) -> ImageResult:
    """Return the row of a method on the image of another row."""
    try:
        found = measure()
    except CaptureError as error:
        return _failed(like, method, error)
    return like._replace(method=method, **found._asdict(), code="", reason="")


def _failed(like: ImageResult, method: str, error: CaptureError) -> ImageResult:
    return like._replace(
        method=method, dace=None, coverage=None, code=error.code, reason=error.message
    )
