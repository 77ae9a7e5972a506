"""Small valid files of research sets for the drill: face sets and range images."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from PIL import Image

from benchmarks.drill.sense import wrong_mesh
from benchmarks.drill.world import drill_mesh
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import read_mesh

if TYPE_CHECKING:
    from benchmarks.drill.readers import Reader


def readers() -> list[Reader]:
    """Return the readers of these files."""
    from benchmarks.drill.readers import Reader

    capture = (CaptureError,)
    return [
        Reader("mesh.wrl", "text", textured_wrl, read_mesh, capture, wrong_mesh),
        Reader("coloured.wrl", "text", coloured_wrl, read_mesh, capture, wrong_mesh),
    ]


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
