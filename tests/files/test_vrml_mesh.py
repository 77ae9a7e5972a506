"""VRML 2.0: the vertices, faces and colours that are written there, and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.files.textured_mesh import TexturedMesh
from fg3d_builder.files.vrml_text import parse_vrml
from tests.captures.layouts.scan_writers import bumpy_head, colour_ramp, write_vrml

HEAD = "#VRML V2.0 utf8\n"
SQUARE = "coord Coordinate { point [0 0 0, 1 0 0, 1 1 0, 0 1 0] }"


def read(tmp_path: Path, text: str, **options: object) -> TexturedMesh:
    (tmp_path / "face.wrl").write_text(text if text.startswith("#") else HEAD + text)
    return read_mesh(tmp_path / "face.wrl", **options)


def faces(fields: str, appearance: str = "") -> str:
    return f"Shape {{ {appearance} geometry IndexedFaceSet {{ {SQUARE} {fields} }} }}"


def test_a_textured_head_comes_back_as_it_was_written(tmp_path: Path) -> None:
    head = bumpy_head()
    Image.fromarray(head.textures[0]).save(tmp_path / "skin.bmp")
    write_vrml(tmp_path / "face.wrl", head, "skin.bmp")
    found = read_mesh(tmp_path / "face.wrl")
    np.testing.assert_allclose(found.vertices, head.vertices, rtol=0, atol=0.5e-6)  # six decimals
    np.testing.assert_array_equal(found.triangles, head.triangles)
    np.testing.assert_allclose(found.uv, head.uv, rtol=0, atol=0.5e-6)
    np.testing.assert_array_equal(found.uv_triangles, head.uv_triangles)
    np.testing.assert_array_equal(found.textures[0], head.textures[0])
    assert (found.triangle_texture == 0).all()
    assert found.vertex_colors is None


def test_colours_of_vertices_come_back(tmp_path: Path) -> None:
    head = bumpy_head()
    colours = np.random.default_rng(1).integers(0, 256, head.vertices.shape, dtype=np.uint8)
    write_vrml(tmp_path / "face.wrl", head, colours=colours)
    found = read_mesh(tmp_path / "face.wrl")
    np.testing.assert_array_equal(found.vertex_colors, colours)
    assert found.textures == ()
    assert read_mesh(tmp_path / "face.wrl", colours=False).vertex_colors is None


def test_polygons_become_fans_and_need_no_last_mark(tmp_path: Path) -> None:
    found = read(tmp_path, faces("coordIndex [0 1 2 3 -1, 2, 1, -1 -1 0 2 3]"))
    assert found.triangles.tolist() == [[0, 1, 2], [0, 2, 3], [0, 2, 3]]
    turned = read(tmp_path, faces("coordIndex [0 1 2 -1] ccw FALSE"))
    assert turned.triangles.tolist() == [[2, 1, 0]]


def test_coordinates_in_any_notation(tmp_path: Path) -> None:
    text = """Shape { geometry IndexedFaceSet {
      coord DEF points Coordinate { point [ # the corners
        -1.5e1 +2. .25,,1,2,3
        4 5 6 # the last ] } one
      ] }
      solid FALSE creaseAngle 0.5 coordIndex 0 1 2 -1 } }"""
    found = read(tmp_path, text)
    assert found.vertices.tolist() == [[-15, 2, 0.25], [1, 2, 3], [4, 5, 6]]
    assert found.triangles.tolist() == [[0, 1, 2]]


def test_texture_coordinates_of_corners(tmp_path: Path) -> None:
    Image.fromarray(colour_ramp()).save(tmp_path / "skin.png")
    fields = "coordIndex [0 1 2 -1 0 2 3 -1] texCoord TextureCoordinate { point [0 0, 1 0, 0 1] }"
    fields += " texCoordIndex [2 1 0 -1 0 1 2 -1]"
    picture = 'appearance Appearance { texture ImageTexture { url ["gone.png" "skin.png"] } }'
    found = read(tmp_path, faces(fields, picture))
    assert found.uv_triangles.tolist() == [[2, 1, 0], [0, 1, 2]]
    assert len(found.textures) == 1


def test_colours_of_corners_and_plain_materials(tmp_path: Path) -> None:
    fields = "coordIndex [0 1 2 -1] color Color { color [1 0 0, 0 1 0] } colorIndex [0 1 1 -1]"
    found = read(tmp_path, faces(fields))
    assert found.vertex_colors.tolist()[:3] == [[255, 0, 0], [0, 255, 0], [0, 255, 0]]
    plain = "appearance Appearance { material Material { diffuseColor 1 0.2 0 } }"
    found = read(tmp_path, faces("coordIndex [0 1 2 -1]", plain))
    assert found.vertex_colors.tolist() == [[255, 51, 0]] * 4


def test_transforms_and_groups_are_applied(tmp_path: Path) -> None:
    shape = faces("coordIndex [0 1 2 -1]")
    text = f"""
      WorldInfo {{ title "a {"{"} face" info ["one" "two"] }}
      DEF eye Viewpoint {{ position 0 0 10 }}
      Transform {{ translation 10 20 30 rotation 0 0 1 1.5707963267948966 scale 2 2 2
        children [ Group {{ children DEF face {shape} }} ] }}
      Transform {{ center 1 0 0 rotation 0 0 2 3.141592653589793 children USE face }}
      ROUTE eye.position TO eye.set_position
      Switch {{ whichChoice -1 choice [ {shape} ] }}
      LOD {{ range [100] level [ USE face, Group {{ }} ] }}
    """
    found = read(tmp_path, text)
    expected = [[10, 20, 30], [10, 22, 30], [8, 22, 30], [8, 20, 30]]
    np.testing.assert_allclose(found.vertices[:4], expected, atol=1e-12)
    turned = [[2, 0, 0], [1, 0, 0], [1, -1, 0], [2, -1, 0]]
    np.testing.assert_allclose(found.vertices[4:8], turned, atol=1e-12)
    assert found.vertices[8:].tolist() == [[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]]
    assert found.triangles.tolist() == [[0, 1, 2], [4, 5, 6], [8, 9, 10]]


def test_orientation_of_a_scale(tmp_path: Path) -> None:
    shape = faces("coordIndex [0 1 2 -1]")
    turn = "0 0 1 1.5707963267948966"
    text = f"Transform {{ scale 3 1 1 scaleOrientation {turn} children {shape} }}"
    np.testing.assert_allclose(read(tmp_path, text).vertices[2], [1, 3, 0], atol=1e-12)


def test_a_texture_by_the_name_of_the_file(tmp_path: Path) -> None:
    Image.fromarray(colour_ramp()).save(tmp_path / "own.bmp")
    for url in ("C:\\\\scans\\\\skin.bmp", "../skin.bmp", "skin.bmp", ""):
        write_vrml(tmp_path / "face.wrl", bumpy_head(), "x.bmp")
        text = (tmp_path / "face.wrl").read_text()
        new = text.replace("x.bmp", url) if url else text.replace('url "x.bmp"', "")
        found = read(tmp_path, new, texture=tmp_path / "own.bmp")
        np.testing.assert_array_equal(found.textures[0], colour_ramp())
        with pytest.raises(CaptureError, match=r"gone\.bmp|skin\.bmp"):
            read(tmp_path, new, texture=tmp_path / "gone.bmp" if not url else None)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("#VRML V1.0 ascii\nSeparator { }", "VRML 1.0"),
        ("#X3D V3.0 utf8\n", "does not begin with #VRML V2.0"),
        ("Shape { geometry PointSet { coord Coordinate { point [0 0 0] } } }", "PointSet alone"),
        ("Shape { geometry Sphere { radius 3 } }", "Sphere is not read"),
        ("Group { }", "no shape in it"),
        (faces("coordIndex [0 1 2"), "does not end"),
        (faces("coordIndex [0 1 x -1]"), "line 2: no list of numbers"),
        (faces("coordIndex [0 1 2.5 -1]"), "field 'coordIndex' holds what is no index"),
        (faces("coordIndex [0 1 9 -1]"), "vertex that does not exist"),
        (faces("coordIndex [0 1 -1]"), "no triangles"),
        (faces("coordIndex [0 1 2 -1]").replace("0 1 0]", "0 1]"), "groups of 3 numbers, but 11"),
        (faces("coordIndex [0 1 2 -1]").replace("0 1 0]", "0 1 nan]"), "not finite"),
        (faces("coordIndex [0 1 2 -1] texCoord TextureCoordinate { point [0 0] }"), "coordinate"),
        (
            faces(
                "coordIndex [0 1 2 -1] texCoord TextureCoordinate { point [0 0] } "
                "texCoordIndex [0 0 0 0 -1]"
            ),
            "other faces than field 'coordIndex': 5 and 4",
        ),
        (
            faces("coordIndex [0 1 2 -1] color Color { color [9 0 0] } colorIndex [0 0 0 -1]"),
            "not between 0 and 1",
        ),
        (faces("coordIndex [0 1 2 -1] color Color { color [1 0 0] }"), "colour that does not"),
        (faces("coordIndex [0 1 2 -1] color Coordinate { point [1 0 0] }"), "not Color"),
        ("Shape { geometry USE face }", "USE of 'face', which is not defined before"),
        ("PROTO Face [ ] { Group { } }", "prototypes are not read"),
        ('Inline { url "other.wrl" }', "other files are not read"),
        ('WorldInfo { title "no end }', "a text that does not end"),
        ("Shape { geometry", "the file ends where a value is wanted"),
        ("Group { children [ " * 70, "nodes within each other"),
        (f"Shape {{ geometry IndexedFaceSet {{ coordIndex [{'9' * 500}] }} }}", "digits"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(CaptureError) as caught:
        read(tmp_path, text)
    assert caught.value.code == "unreadable_mesh"
    assert str(tmp_path / "face.wrl") in caught.value.message
    assert problem in caught.value.message


def test_a_texture_needs_coordinates_and_must_be_there(tmp_path: Path) -> None:
    picture = 'appearance Appearance { texture ImageTexture { url "skin.png" } }'
    mapped = "coordIndex [0 1 2 -1] texCoord TextureCoordinate { point [0 0, 1 0, 1 1, 0 1] }"
    with pytest.raises(CaptureError, match=r"skin\.png") as caught:
        read(tmp_path, faces(mapped, picture))
    assert caught.value.code == "missing_file"
    with pytest.raises(CaptureError, match="outside") as caught:
        read(tmp_path, faces(mapped, picture.replace("skin", "/etc/skin")))
    assert caught.value.code == "outside_folder"
    Image.fromarray(colour_ramp()).save(tmp_path / "skin.png")
    with pytest.raises(CaptureError, match="no field 'texCoord'"):
        read(tmp_path, faces("coordIndex [0 1 2 -1]", picture))


def test_scans_may_be_vrml(tmp_path: Path) -> None:
    for name in ("anna", "bert"):
        (tmp_path / name).mkdir()
        Image.fromarray(colour_ramp()).save(tmp_path / name / "skin.bmp")
        write_vrml(tmp_path / name / "face.wrl", bumpy_head(), "skin.bmp")
    (tmp_path / "bert/face.obj").write_text("v 0 0 0\n")
    config = SourceConfig(kind="scan", path=str(tmp_path), image_size=(96, 128), focal_px=300.0)
    source = open_source(config)
    first, second = source.entries()
    assert second.location == str(tmp_path / "bert/face.obj")  # of two files, as ever
    capture = source.load(first)
    assert capture.subject_id == "anna"
    z = bumpy_head().vertices[:, 2]
    nearest = 550.0 + (z.max() + z.min()) / 2.0 - z.max()
    np.testing.assert_allclose(np.nanmin(capture.depth_mm), nearest, atol=1.0)


def test_a_file_that_multiplies_itself_ends(tmp_path: Path) -> None:
    nodes = [f"DEF a0 {faces('coordIndex [0 1 2 -1]')}"]
    nodes += [f"DEF a{k + 1} Group {{ children [ USE a{k} USE a{k} ] }}" for k in range(40)]
    with pytest.raises(CaptureError, match="too often"):
        read(tmp_path, "\n".join(nodes))


def test_a_script_declares_fields_of_its_own() -> None:
    text = HEAD + (
        "DEF s Script { field SFNode face Group { } eventIn SFTime start "
        "exposedField MFFloat x [1 2]"
        ' url ["javascript:\\"{ ]\\""] mustEvaluate TRUE }'
    )
    (node,) = parse_vrml(text.encode())
    assert node.nodes("face")[0].kind == "Group"
    assert node.numbers("x")[:, 0].tolist() == [1, 2]
    assert node.texts("url") == ['javascript:"{ ]"']
    assert node.flag("mustEvaluate", False)
