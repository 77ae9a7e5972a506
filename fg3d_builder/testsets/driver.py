"""From a protocol to one row per image and method: what the command `fg3d evaluate` runs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tqdm import tqdm

from fg3d_builder.captures.source import safe_id
from fg3d_builder.config import digest, to_table
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.evaluation import Correspondence, Places, dace
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import write_json
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.geometry.pose import angles_from_rotation
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.photo import fitted_photo
from fg3d_builder.records import Array
from fg3d_builder.testsets.foreign import MeshMethod
from fg3d_builder.testsets.ground_truth import GroundTruth, GroundTruths
from fg3d_builder.testsets.identity import model_digest
from fg3d_builder.testsets.images import image_capture, image_key
from fg3d_builder.testsets.records import Protocol, ProtocolConfig, ProtocolImage
from fg3d_builder.testsets.results import (
    FIT,
    ImageResult,
    ProtocolResults,
    Unusable,
    write_results,
)

if TYPE_CHECKING:
    from fg3d_builder.fgnet.trained import Trained

MEASURE_SCHEMA = "fg3d-protocol-row-1"
"""Raise the number when the same image, truth and method give another row."""


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
        Of the 3DMM fit and the ground truth. Every network must have been trained on it.
    networks : mapping of name to Trained, optional
        See `fg3d_builder.fgnet.trained.load_trained`.
    methods : mapping of name to folder, optional
        Other methods' meshes, see `fg3d_builder.testsets.foreign`.
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
    evaluation = _Evaluation(
        *(protocol, out, model, networks or {}, methods or {}, config or ProtocolConfig()),
        truth_folder or out / "truth",
    )
    rows: list[ImageResult] = []
    unusable = [Unusable(*missing) for missing in protocol.missing]
    with tqdm(
        total=len(protocol.images), unit="image", desc=protocol.name, disable=not progress
    ) as bar:
        for found in evaluation.images():
            if isinstance(found, Unusable):
                unusable.append(found)
            else:
                rows.extend(found)
            bar.update()
    place = {name: i for i, name in enumerate(evaluation.names)}
    rows.sort(key=lambda row: (place[row.method], row.image_id))
    results = ProtocolResults(
        protocol.name,
        tuple(evaluation.names),
        tuple(rows),
        tuple(sorted(unusable)),
        evaluation.settings(),
    )
    write_results(results, out)
    return results


class _Evaluation:
    """One protocol with all methods: goes through scans, images and methods in this order."""

    def __init__(
        self,
        protocol: Protocol,
        out: Path,
        model: FaceModel,
        networks: Mapping[str, Trained],
        methods: Mapping[str, Path],
        config: ProtocolConfig,
        truth_folder: Path,
    ) -> None:
        if not protocol.images and not protocol.missing:
            raise ConfigError(f"protocol '{protocol.name}': no image to evaluate")
        self.names = [FIT, *networks, *methods]
        _check_names(self.names)
        self._protocol, self._out, self._model, self._config = protocol, out, model, config
        self._model_key = model_digest(model)
        for name, trained in networks.items():
            if model_digest(trained.model) != self._model_key:
                raise ConfigError(
                    f"network '{name}' was trained on the face model '{trained.model.name}', "
                    f"which is not the evaluation's '{model.name}'"
                )
        self._networks = dict(networks)
        self._detector = open_detector(config.landmarks)
        self._truths = GroundTruths(truth_folder, model, self._model_key, config, self._detector)
        images = [image.image_id for image in protocol.images]
        self._others = {
            name: MeshMethod(
                *(name, folder, images, model, self._model_key, config),
                out / "measured" / safe_id(name) / "topologies",
            )
            for name, folder in methods.items()
            if images
        }
        fit = digest(self._model_key, config.landmarks, config.fit)
        self._own_keys = {FIT: fit}
        for name, trained in networks.items():
            self._own_keys[name] = digest(fit, file_sha256(trained.checkpoint), trained.crop)

    def settings(self) -> dict[str, Any]:
        """Return how everything was measured."""
        networks = {name: file_sha256(t.checkpoint) for name, t in self._networks.items()}
        return {
            "config": to_table(self._config),
            "facemodel": self._model.name,
            "facemodel_digest": self._model_key,
            "networks_sha256": networks,
        }

    def images(self) -> Iterator[list[ImageResult] | Unusable]:
        """Yield the rows of every image, or why it cannot be used, scan by scan."""
        by_scan: dict[str, list[ProtocolImage]] = {}
        for image in self._protocol.images:
            by_scan.setdefault(image.scan_id, []).append(image)
        for scan_id, images in by_scan.items():
            try:
                truth = self._truths.get(self._protocol.scans[scan_id])
            except CaptureError as error:
                for image in images:
                    yield _unusable(image, error)
                continue
            for image in images:
                try:
                    rows = self._rows(image, truth)
                except CaptureError as error:
                    yield _unusable(image, error)
                else:
                    yield rows

    def _rows(self, image: ProtocolImage, truth: GroundTruth) -> list[ImageResult]:
        """Return one row per method; `CaptureError` where the image itself is unusable."""
        shown = digest(MEASURE_SCHEMA, truth.key, image_key(image, truth.scan_key, self._config))
        keys = {name: digest(shown, key) for name, key in self._own_keys.items()}
        own = {name: self._kept(name, image, key) for name, key in keys.items()}
        found = {name: row for name, row in own.items() if row is not None}
        if len(found) < len(own):
            found = self._own_rows(image, truth)
            for name, row in found.items():
                self._keep(name, image, keys[name], row)
        rows = [found[name] for name in keys]
        rows += [
            self._other_row(other, shown, truth, found[FIT]) for other in self._others.values()
        ]
        return rows

    def _own_rows(self, image: ProtocolImage, truth: GroundTruth) -> dict[str, ImageResult]:
        """Fit the 3DMM, and let each network improve the fit."""
        capture = image_capture(image, truth.surface, self._out / "images", self._config)
        try:
            landmarks = self._detector.detect(capture)
            coarse = fit_landmarks(self._model, landmarks, capture.intrinsics, self._config.fit)
        except CaptureError as error:
            nothing = _angles(image, None)
            return {
                name: ImageResult(
                    *(image.image_id, image.subject, name, *nothing, None, None),
                    error.code,
                    error.message,
                )
                for name in self._own_keys
            }
        angles = _angles(image, coarse.pose.rotation)
        rows = {FIT: _row(image, FIT, angles, coarse.shape_obj_mm, truth)}
        if self._networks:
            from fg3d_builder.fgnet.prediction import predict

            photo = fitted_photo(capture, coarse)
            for name, trained in self._networks.items():
                try:
                    (answer,) = predict(trained, [photo])
                except CaptureError as error:
                    rows[name] = _failed(rows[FIT], name, error)
                else:
                    rows[name] = _row(image, name, angles, answer.shape_obj_mm, truth)
        return rows

    def _other_row(
        self, other: MeshMethod, shown: str, truth: GroundTruth, fit: ImageResult
    ) -> ImageResult:
        """Return the row of another method; angles are those of the fit's row."""
        image_id = fit.image_id
        try:
            key = digest(shown, other.key(image_id), fit[3:6])
            path = self._row_path(other.name, image_id)
            kept = _read_row(path, key)
            if kept is not None:
                return kept
            measured = other.measure(image_id, truth)
        except CaptureError as error:
            return _failed(fit, other.name, error)
        row = fit._replace(
            method=other.name,
            dace=measured.dace,
            coverage=measured.coverage,
            code="",
            reason="",
        )
        _write_row(path, key, row)
        return row

    def _row_path(self, method: str, image_id: str) -> Path:
        return self._out / "measured" / safe_id(method) / f"{image_id}.json"

    def _kept(self, method: str, image: ProtocolImage, key: str) -> ImageResult | None:
        return _read_row(self._row_path(method, image.image_id), key)

    def _keep(self, method: str, image: ProtocolImage, key: str, row: ImageResult) -> None:
        _write_row(self._row_path(method, image.image_id), key, row)


def _check_names(names: list[str]) -> None:
    """Refuse names that are taken, or whose folders would be the same."""
    taken: dict[str, str] = {}
    for name in names:
        if not name.strip():
            raise ConfigError("a method's name is empty")
        if safe_id(name) in taken:
            raise ConfigError(f"method '{name}': the name is taken by '{taken[safe_id(name)]}'")
        taken[safe_id(name)] = name


def _angles(image: ProtocolImage, rotation: Array | None) -> tuple[float | None, float | None, str]:
    """Pitch, yaw and where yaw is from: what the protocol states comes first."""
    pitch, yaw = image.pitch_deg, image.yaw_deg
    source = "unknown" if yaw is None else "nominal"
    if rotation is not None:
        estimated_pitch, estimated_yaw, _ = angles_from_rotation(rotation)
        pitch = estimated_pitch if pitch is None else pitch
        if yaw is None:
            yaw, source = estimated_yaw, "estimated"
    return pitch, yaw, source


def _row(
    image: ProtocolImage,
    method: str,
    angles: tuple[float | None, float | None, str],
    shape_mm: Array,
    truth: GroundTruth,
) -> ImageResult:
    """Measure a shape of our topology; one that is not finite is a failure."""
    if not np.isfinite(shape_mm).all():
        reason = f"{method}: a vertex of the shape is not finite"
        return ImageResult(
            *(image.image_id, image.subject, method, *angles, None, None), "not_finite", reason
        )
    members = truth.members
    source = Places.at_vertices(members.source.vertex_index, len(shape_mm))
    error = dace(
        *(shape_mm, truth.scan_mm, Correspondence.of(source, members.target)),
        *(truth.surface.scan, truth.interocular_mm),
    )
    return ImageResult(image.image_id, image.subject, method, *angles, error.value, 1.0)


def _failed(fit: ImageResult, method: str, error: CaptureError) -> ImageResult:
    return fit._replace(
        method=method, dace=None, coverage=None, code=error.code, reason=error.message
    )


def _unusable(image: ProtocolImage, error: CaptureError) -> Unusable:
    return Unusable(image.image_id, image.subject, error.code, error.message)


def _write_row(path: Path, key: str, row: ImageResult) -> None:
    write_json(path, {"schema": MEASURE_SCHEMA, "key": key, "row": row._asdict()})


def _read_row(path: Path, key: str) -> ImageResult | None:
    """Return a row that was measured before from the same input, or None."""
    if not path.is_file():
        return None
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
        if value["schema"] != MEASURE_SCHEMA or value["key"] != key:
            return None
        row = ImageResult(**value["row"])
    except (KeyError, TypeError, ValueError):  # written by something else: measured anew
        return None
    return row if row.dace is None or np.isfinite(row.dace) else None
