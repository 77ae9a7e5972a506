"""Small valid files of research sets for the drill: face sets, range images, tables."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.drill.mutate_bytes import Random
from benchmarks.drill.sense import wrong_capture, wrong_mesh
from benchmarks.drill.world import drill_mesh
from fg3d_builder.captures.layouts import bosphorus
from fg3d_builder.captures.layouts.bp4d import read_occurrences
from fg3d_builder.captures.layouts.labels import read_labels
from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.geometry.camera import cam_from_depth, intrinsics_matrix
from fg3d_builder.records import Array

if TYPE_CHECKING:
    from benchmarks.drill.readers import Reader


def readers() -> list[Reader]:
    """Return the readers of these files."""
    from benchmarks.drill.readers import Reader

    capture, config = (CaptureError,), (ConfigError,)
    return [
        Reader("mesh.wrl", "text", textured_wrl, read_mesh, capture, wrong_mesh),
        Reader("coloured.wrl", "text", coloured_wrl, read_mesh, capture, wrong_mesh),
        Reader("range.abs", "text", range_abs, _frgc, capture, wrong_capture),
        Reader("range.abs.gz", "binary", packed_abs, _frgc, capture, wrong_capture),
        Reader("photo.ppm", "mixed", picture_ppm, _frgc, capture, wrong_capture),
        Reader("range.bnt", "mixed", range_bnt, _bosphorus, capture, wrong_mesh, odd_bnt),
        Reader("labels.csv", "text", labels_csv, read_labels, config, wrong_labels),
        Reader("AU_OCC.csv", "text", units_csv, read_occurrences, config, wrong_occurrences),
    ]


def _frgc(path: Path) -> Any:
    source = open_source(SourceConfig(kind="frgc", path=str(path.parent)))
    return source.load(source.entries()[0])


def _bosphorus(path: Path) -> Any:
    mesh = bosphorus.LAYOUT.mesh
    assert mesh is not None
    return mesh(bosphorus.find(path.parent)[0])


def _points() -> Array:
    """Return points of a bulge (24, 32, 3) in a camera's frame, NaN around it."""
    camera = intrinsics_matrix(40.0, 40.0, 15.5, 11.5)
    row, column = np.mgrid[0:24, 0:32]
    depth = 600.0 + 2.0 * ((row - 11.5) ** 2 + (column - 15.5) ** 2)
    depth[np.hypot(row - 11.5, column - 15.5) > 11] = np.nan
    return cam_from_depth(depth, camera)


def range_abs(folder: Path) -> Path:
    """Write a range image of the FRGC, and its picture."""
    (folder / "04201d302.abs").write_text(_abs_text())
    _save_picture(folder / "04201d303.ppm")
    return folder / "04201d302.abs"


def packed_abs(folder: Path) -> Path:
    """Write the same, packed."""
    (folder / "04201d302.abs.gz").write_bytes(gzip.compress(_abs_text().encode(), mtime=0))
    _save_picture(folder / "04201d303.ppm")
    return folder / "04201d302.abs.gz"


def picture_ppm(folder: Path) -> Path:
    """Write the same; its picture is the file."""
    return range_abs(folder).with_name("04201d303.ppm")


def range_bnt(folder: Path) -> Path:
    """Write a range image of Bosphorus, and its picture."""
    points = _points() * [1.0, -1.0, -1.0] + [0.0, 0.0, 650.0]
    row, column = np.mgrid[0:24, 0:32]
    places = np.stack([(column + 0.5) / 32, (row + 0.5) / 24], axis=-1)
    planes = np.concatenate([np.nan_to_num(points, nan=-1e9), places], axis=-1)[::-1]
    head = struct.pack("<HHdH", 24, 32, -1e9, 6) + b"x_y.bm" + struct.pack("<I", 5 * 24 * 32)
    file = folder / "bs000_N_N_0.bnt"
    file.write_bytes(head + planes.reshape(-1, 5).T.astype("<f8").tobytes())
    _save_picture(folder / "picture.ppm")
    Image.open(folder / "picture.ppm").save(folder / "bs000_N_N_0.png")
    (folder / "picture.ppm").unlink()
    return file


def odd_bnt(path: Path, rng: Random) -> None:
    """Put odd numbers of double precision over some of a range image's, or its head."""
    data = bytearray(path.read_bytes())
    if rng.random() < 0.4:
        place, form = ((0, "<H"), (2, "<H"), (4, "<d"), (12, "<H"), (20, "<I"))[rng.integers(5)]
        values = (0, 1, 24, 32, 768, 3840, 65535) if form != "<I" else (0, 5, 768, 3845, 2**32 - 1)
        struct.pack_into(form, data, place, values[int(rng.integers(len(values)))])
    else:
        odd = (np.nan, np.inf, -np.inf, 1e308, -1e308, 1e-320, -1e9, 0.0, 2.0, 1e5)
        value = np.float64(odd[int(rng.integers(len(odd)))]).tobytes()
        place = 24 + 8 * int(rng.integers(3840))
        count = min(int(rng.choice([1, 32, 768])), (len(data) - place) // 8)
        data[place : place + 8 * count] = value * count
    path.write_bytes(bytes(data))


def labels_csv(folder: Path) -> Path:
    """Write a table of labels."""
    text = 'name,expression,refused\n04201d302,happy,\n04201d304,,"hair, over the face"\n'
    (folder / "labels.csv").write_text(text)
    return folder / "labels.csv"


def units_csv(folder: Path) -> Path:
    """Write a table of action units."""
    rows = [f"{k},{k % 2},9,{int(k == 7)},0" for k in range(3, 30)]
    (folder / "F001_T1.csv").write_text("\n".join(["0,1,2,4,5", *rows]) + "\n")
    return folder / "F001_T1.csv"


def wrong_labels(labels: Any, _wanted: Any) -> str:
    """Say what makes no sense in labels."""
    for name, label in labels.items():
        if not name.strip() or not label.expression.strip():
            return "an empty name or expression"
        if not (label.expression + label.refused).isprintable():
            return "a label with control characters"
    return ""


def wrong_occurrences(table: Any, _wanted: Any) -> str:
    """Say what makes no sense in a table of action units."""
    if len(table.frames) != len(table.counts) or (table.counts < 0).any():
        return "counts that do not belong to frames"
    return "a frame beyond all" if np.abs(table.frames).max(initial=0) > 1e9 else ""


def _abs_text() -> str:
    points = _points() * [1.0, -1.0, -1.0]
    there = np.isfinite(points[..., 2]).ravel()
    lines = ["24 rows", "32 columns", "pixels (flag X Y Z):"]
    lines.append(" ".join("1" if flag else "0" for flag in there))
    for plane in np.where(there[:, None], points.reshape(-1, 3), -999999.0).T:
        lines.append(" ".join(f"{value:.3f}" for value in plane))
    return "\n".join(lines) + "\n"


def _save_picture(file: Path) -> None:
    rng = np.random.default_rng(4)
    Image.fromarray(rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)).save(file)


def textured_wrl(folder: Path) -> Path:
    """Write a face set with a texture."""
    mesh = drill_mesh(textured=True)
    Image.fromarray(mesh.textures[0]).save(folder / "skin.png")
    corners = _joined(f"{a} {b} {c} -1" for a, b, c in mesh.triangles)
    return _written(
        folder / "face.wrl",
        _joined(f"{x:.3f} {y:.3f} {z:.3f}" for x, y, z in mesh.vertices),
        corners,
        f"texCoord TextureCoordinate {{ point [\n{_joined(f'{u:.3f} {v:.3f}' for u, v in mesh.uv)}"
        f"\n] }}\ntexCoordIndex [ {corners} ]",
        'appearance Appearance {\ntexture ImageTexture {\nurl "skin.png"\n}\n}',
    )


def coloured_wrl(folder: Path) -> Path:
    """Write a face set with colours of its vertices, in a transform."""
    mesh = drill_mesh()
    assert mesh.vertex_colors is not None
    colours = _joined(f"{r:.3f} {g:.3f} {b:.3f}" for r, g, b in mesh.vertex_colors / 255.0)
    return _written(
        folder / "face.wrl",
        _joined(f"{x:.3f} {y:.3f} {z:.3f}" for x, y, z in mesh.vertices),
        _joined(f"{a}, {b}, {c}, -1" for a, b, c in mesh.triangles),
        f"color Color {{ color [\n{colours}\n] }}\ncolorPerVertex TRUE",
        "",
    )


def _joined(words: Iterable[str]) -> str:
    return ",\n".join(words)


def _written(path: Path, points: str, corners: str, further: str, appearance: str) -> Path:
    path.write_text(
        "#VRML V2.0 utf8\nDEF head Transform { # a face\nrotation 0 1 0 0.1\nscale 1 1 1\n"
        f"children [\nShape {{\n{appearance}\ngeometry IndexedFaceSet {{\n"
        f"coord Coordinate {{ point [\n{points}\n] }}\ncoordIndex [\n{corners}\n]\n{further}\n"
        "solid FALSE\n}\n}\n]\n}\n"
    )
    return path
