"""What makes no sense in what a reader gives; every function says what, or ``""``.

The second argument is what the valid file gives.
"""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from typing import Any

import numpy as np

from fg3d_builder.config import DETECTORS
from fg3d_builder.files.mesh_io import TexturedMesh
from fg3d_builder.records import Capture

HUGE = 1e9
"""Coordinates and depths beyond it are nonsense in any unit."""


def equal(found: Any, wanted: Any) -> str:
    """Say whether a file that carries its own seal was believed in another state."""
    return "" if _plain(found) == _plain(wanted) else "a changed file was believed"


def _plain(value: Any) -> bytes:
    return pickle.dumps(_comparable(value))


def _comparable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_comparable(getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, dict):
        # A JSON object has no order.
        return sorted((str(k), _plain(v)) for k, v in value.items())
    if isinstance(value, (list, tuple)):
        return [_comparable(v) for v in value]
    if hasattr(value, "numpy"):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        return (value.shape, value.dtype.str, value.tobytes())
    return value


def any_value(_found: Any, _wanted: Any) -> str:
    """Accept whatever was read: nothing tells a changed file from another one."""
    return ""


def wrong_capture(capture: Capture, _wanted: Any) -> str:
    """Say what makes no sense in a capture."""
    K, (height, width) = capture.intrinsics, capture.depth_mm.shape
    depth = capture.depth_mm[np.isfinite(capture.depth_mm)]
    if np.isinf(capture.depth_mm).any() or not len(depth) or depth.min() <= 0:
        return "depth that is not positive"
    if depth.max() > HUGE:
        return f"depth of {depth.max():.1e} mm"
    if not np.isfinite(K).all() or not 1 <= K[0, 0] < 1e6 or not 1 <= K[1, 1] < 1e6:
        return f"focal length of {K[0, 0]:.1e} and {K[1, 1]:.1e} px"
    if not (0 <= K[0, 2] < width and 0 <= K[1, 2] < height):
        return "principal point outside the image"
    if capture.rgb.shape != (height, width, 3):
        return "colour and depth of different size"
    for name in ("subject_id", "expression"):
        text = getattr(capture, name)
        if not text.strip() or text != text.strip():
            return f"{name} is not stripped"
        if not text.isprintable():
            return f"{name} with control characters or lone surrogates"
        if len(text) > 300:
            return f"{name} of {len(text)} characters"
    return "" if capture.landmarks is None else wrong_landmarks(capture.landmarks, None)


def wrong_landmarks(landmarks: Any, _wanted: Any) -> str:
    """Say what makes no sense in landmarks."""
    if not np.isfinite(landmarks.points_px).all() or np.abs(landmarks.points_px).max() > 1e6:
        return "landmarks that are not finite or a million pixels away"
    if not (landmarks.confidence.min() >= 0 and landmarks.confidence.max() <= 1):
        return "confidence outside of [0, 1]"
    return "" if landmarks.detector.isprintable() else "detector with control characters"


def wrong_mesh(mesh: TexturedMesh, _wanted: Any) -> str:
    """Say what makes no sense in a mesh."""
    if not np.isfinite(mesh.vertices).all() or np.abs(mesh.vertices).max() > 1e12:
        return "vertices that are not finite or too far away"
    if mesh.triangles.min() < 0 or mesh.triangles.max() >= len(mesh.vertices):
        return "a triangle's vertex out of range"
    if mesh.uv_triangles.max() >= len(mesh.uv) or mesh.uv_triangles.min() < -1:
        return "a texture coordinate out of range"
    if mesh.triangle_texture.max() >= len(mesh.textures) or mesh.triangle_texture.min() < -1:
        return "a texture out of range"
    used = mesh.uv[mesh.uv_triangles[mesh.triangle_texture >= 0]]
    return "" if np.isfinite(used).all() else "texture coordinates that are not finite"


def wrong_image(image: Any, wanted: Any) -> str:
    """Say what makes no sense in a picture."""
    if image.ndim != wanted.ndim or image.dtype != wanted.dtype or not image.size:
        return f"pixels of shape {image.shape}, {image.dtype}"
    return ""


def wrong_model(model: Any, _wanted: Any) -> str:
    """Say what makes no sense in a face model."""
    for name in ("mean", "id_basis", "id_sd", "exp_basis", "exp_sd", "uv", "albedo_mean"):
        values = getattr(model, name)
        if not np.isfinite(values).all() or (values.size and np.abs(values).max() > 1e6):
            return f"{name} is not finite, or huge"
    if (model.id_sd < 0).any() or (model.exp_sd < 0).any():
        return "a negative standard deviation"
    if model.triangles.min() < 0 or model.triangles.max() >= len(model.mean):
        return "a triangle's vertex out of range"
    for scheme, points in model.embeddings.items():
        if points.triangle.min() < 0 or points.triangle.max() >= len(model.triangles):
            return f"a triangle of embedding {scheme} out of range"
        if not np.isfinite(points.barycentric).all() or np.abs(points.barycentric).max() > 2:
            return f"barycentric coordinates of embedding {scheme} make no sense"
    if model.parts.max() > 20:
        return "a part that does not exist"
    return ""


def wrong_source(source: Any, _wanted: Any) -> str:
    """Say what makes no sense in a model as its own file has it."""
    if np.ptp(source.mean, axis=0).max() > 2000 or np.ptp(source.mean, axis=0).max() < 50:
        return f"a head of {np.ptp(source.mean, axis=0).max():.1e} mm"
    for name in ("id", "exp", "albedo"):
        basis, sd = getattr(source, f"{name}_basis"), getattr(source, f"{name}_sd")
        if basis is not None and basis.size and not np.abs(basis * sd).max() <= 1e3:
            return f"a mode of {name} that is not finite, or huge"
    albedo = np.zeros(1) if source.albedo_mean is None else source.albedo_mean
    if not 0 <= albedo.min() <= albedo.max() <= 1:
        return "reflectance outside of 0 to 1"
    if source.polygons.min() < -1 or source.polygons.max() >= len(source.mean):
        return "a polygon's vertex out of range"
    if any(len(name) > 300 or not name.isprintable() for name in source.groups):
        return "a group whose name cannot be shown"
    return ""


def wrong_preset(config: Any, _wanted: Any) -> str:
    """Say what makes no sense in a preset: numbers that are not finite, or out of their range."""
    for name, value in _numbers(dataclasses.asdict(config)):
        if not np.isfinite(value):
            return f"{name.split('.')[-1]} is {value}"
    positive = (config.chunk_size, config.shards.image_size, config.shards.samples_per_shard)
    if min(positive) < 1 or max(positive) > 10**7:
        return "chunk_size, image_size or samples_per_shard out of range"
    shares = (config.max_failure_rate, config.shards.test_fraction, config.review.min_quality)
    if not all(0 <= share <= 1 for share in shares):
        return "max_failure_rate, test_fraction or min_quality outside of [0, 1]"
    if config.fit.iterations < 1 or not config.registration.levels:
        return "iterations below 1, or no levels"
    if any(level.stiffness <= 0 or level.iterations < 1 for level in config.registration.levels):
        return "a level of no stiffness or no iterations"
    known = config.landmarks.detector in DETECTORS
    return "" if known and config.sources else "an unknown detector, or no sources"


def wrong_settings(config: Any, _wanted: Any) -> str:
    """Say what makes no sense in settings of a training."""
    for name, value in _numbers(dataclasses.asdict(config)):
        if not np.isfinite(value):
            return f"{name.split('.')[-1]} is {value}"
    if min(config.epochs, config.batch_size) < 1:
        return "epochs or batch_size below 1"
    return ""


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}")
    elif isinstance(value, (list, tuple)):
        for inner in value:
            yield from _numbers(inner, name)
    elif isinstance(value, float):
        yield name, value


def wrong_review(content: Any, _wanted: Any) -> str:
    """Say what makes no sense in a review list."""
    for entry in content.entries.values():
        if entry.quality and not 0 <= float(entry.quality) <= 1:
            return "a quality outside of [0, 1]"
    return ""


def wrong_protocol(protocol: Any, _wanted: Any) -> str:
    """Say what makes no sense in the description of a test set."""
    for image in protocol.images:
        if image.yaw_deg is not None and not abs(image.yaw_deg) <= 180:
            return "a yaw beyond 180 degrees"
        if not image.image_id.isprintable() or not image.subject.isprintable():
            return "an id with control characters"
        if image.photo is not None and ".." in image.photo.parts:
            return "a photo outside the folder"
    for scan in protocol.scans.values():
        if scan.landmarks is not None and not np.isfinite(scan.landmarks.points).all():
            return "landmarks that are not finite"
        if scan.landmarks is not None and np.abs(scan.landmarks.points).max() > 1e12:
            return "landmarks too far away"
    return ""


def wrong_verification(report: Any, wanted: Any) -> str:
    """A changed file of a dataset has to be among the problems."""
    if not report.ok:
        return ""
    return equal(report, wanted) or "a dataset with a changed file is called good"


def wrong_manifest(found: Any, wanted: Any) -> str:
    """A manifest that is called good has to say what it said: its lines may change places."""
    report, content = found
    return equal(content, wanted[1]) if report.ok else ""
