"""Files as people bring them, made of heads from the embedded population."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from fg3d_builder.captures import open_source
from fg3d_builder.captures.synthetic import draw_subject, whole_head
from fg3d_builder.config import SensorConfig, SourceConfig
from fg3d_builder.records import Array, Capture
from fg3d_builder.rendering.shading import srgb_from_linear


def write_obj_scans(folder: Path, names: Sequence[str], unit_mm: float = 1.0) -> None:
    """Write a scan with vertex colours, as MeshLab does, for each name."""
    folder.mkdir(parents=True)
    for seed, name in enumerate(names):
        subject = draw_subject(1000 + seed)
        vertices, triangles, albedo = whole_head(subject, subject.head.neutral_obj_mm)
        colours = srgb_from_linear(np.clip(albedo, 0, 1)) / 255
        rows = np.hstack([vertices / unit_mm, colours]).tolist()
        lines = [f"v {x:.7g} {y:.7g} {z:.7g} {r:.4f} {g:.4f} {b:.4f}" for x, y, z, r, g, b in rows]
        lines += [f"f {a} {b} {c}" for a, b, c in (triangles + 1).tolist()]
        (folder / f"{name}.obj").write_text("\n".join(lines) + "\n", encoding="ascii")


def write_realsense(
    folder: Path, names: Sequence[str], frames: int, size: tuple[int, int] = (320, 240)
) -> None:
    """Write recordings as Open3D's recorder does: aligned pairs in millimetres, and the camera."""
    for name, captures in _recordings(names, frames, size):
        place = folder / name
        for part in ("color", "depth"):
            (place / part).mkdir(parents=True)
        for number, capture in enumerate(captures):
            (place / "color" / f"{number:06d}.jpg").write_bytes(_jpeg(capture.rgb))
            steps = np.rint(np.nan_to_num(capture.depth_mm)).astype(np.uint16)
            Image.fromarray(steps).save(place / "depth" / f"{number:06d}.png")
        height, width = size
        camera = captures[0].intrinsics.T.ravel().tolist()
        table = {"width": width, "height": height, "intrinsic_matrix": camera}
        (place / "camera_intrinsic.json").write_text(json.dumps(table))


def write_r3d(
    folder: Path, names: Sequence[str], frames: int, size: tuple[int, int] = (320, 240)
) -> None:
    """Write recordings as Record3D does: a zip archive each, depth in metres."""
    folder.mkdir(parents=True)
    for name, captures in _recordings(names, frames, size):
        height, width = size
        camera = captures[0].intrinsics
        coefficients = [camera[0, 0], camera[1, 1], camera[0, 2], camera[1, 2]]
        table = {
            "w": width,
            "h": height,
            "dw": width,
            "dh": height,
            "fps": 30,
            "K": camera.T.ravel().tolist(),
            "perFrameIntrinsicCoeffs": [coefficients] * frames,
            "frameTimestamps": [k / 30 for k in range(frames)],
        }
        with zipfile.ZipFile(folder / f"{name}.r3d", "w") as archive:
            archive.writestr("metadata", json.dumps(table))
            for number, capture in enumerate(captures):
                metres = np.nan_to_num(capture.depth_mm / 1000).astype("<f4").tobytes()
                # An LZFSE stream of one block that is not compressed.
                stream = b"bvx-" + struct.pack("<I", len(metres)) + metres + b"bvx$"
                archive.writestr(f"rgbd/{number}.jpg", _jpeg(capture.rgb))
                archive.writestr(f"rgbd/{number}.depth", stream)


def _recordings(
    names: Sequence[str], frames: int, size: tuple[int, int]
) -> Iterator[tuple[str, list[Capture]]]:
    """Yield each person with some frames, in other poses and with other expressions."""
    source = open_source(
        SourceConfig(
            subjects=len(names),
            captures_per_subject=frames,
            seed=11,
            image_size=size,
            focal_px=1.4 * size[0],
            sensor=SensorConfig("structured_light", 1),
        )
    )
    entries = source.entries()
    for number, name in enumerate(names):
        part = entries[number * frames : (number + 1) * frames]
        yield name, [source.load(entry) for entry in part]


def _jpeg(rgb: Array) -> bytes:
    data = io.BytesIO()
    Image.fromarray(rgb).save(data, "JPEG", quality=95)
    return data.getvalue()
