"""Small valid files of depth cameras and scan collections for the drill."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from benchmarks.drill.mutate_bytes import Random
from benchmarks.drill.sense import wrong_capture, wrong_mesh
from benchmarks.drill.world import drill_mesh
from fg3d_builder.captures.layout_source import LayoutSource
from fg3d_builder.captures.layouts import biwi, kinect, realsense, realsense_ply
from fg3d_builder.captures.layouts.headspace import read_expression
from fg3d_builder.captures.layouts.layout import Item, Layout
from fg3d_builder.captures.layouts.rgbd_rig import Rig
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import CaptureError
from fg3d_builder.files.gltf_decoders import DRACO, MESHOPT
from fg3d_builder.files.mesh_io import read_mesh
from fg3d_builder.files.textured_mesh import TexturedMesh
from fg3d_builder.records import Capture

if TYPE_CHECKING:
    from benchmarks.drill.readers import Reader

HEIGHT, WIDTH = 12, 16
_Maker = Callable[[Path], Path]


def readers() -> list[Reader]:
    """Return the readers of these files."""
    from benchmarks.drill.readers import Reader

    capture = (CaptureError,)
    packed = [
        Reader(name, "glb", maker, read_mesh, capture, wrong_mesh, packed_bytes)
        for name, maker in (("draco.glb", draco_glb), ("meshopt.glb", meshopt_glb))
    ]
    recorded = Reader(
        "kinect, of a recording", "json", recorded_maker, read_recorded, capture, wrong_rig
    )
    exported = Reader("realsense_ply", "mixed", export_maker, read_export, capture, wrong_mesh)
    person = Reader("headspace, person", "text", person_maker, read_expression, capture, wrong_tag)
    return [*packed, recorded, exported, person] + [
        Reader(name, form, maker, first_capture(layout), capture, wrong_capture)
        for layout, name, form, maker in (
            (realsense, "realsense, both cameras", "json", realsense_maker("intrinsics.json")),
            (realsense, "realsense, Open3D's camera", "json", open3d_maker),
            (realsense, "realsense, depth", "png", realsense_maker("depth_1.png")),
            (realsense, "realsense, raw depth", "binary", realsense_maker("depth_2.raw")),
            (realsense, "realsense, sizes", "text", realsense_maker("depth_2_metadata.csv")),
            (kinect, "kinect, of the software", "json", kinect_maker("software")),
            (kinect, "kinect, Orbbec", "json", kinect_maker("orbbec")),
            (biwi, "biwi, depth", "binary", biwi_maker("frame_00001_depth.bin")),
            (biwi, "biwi, calibration", "text", biwi_maker("rgb.cal")),
        )
    ]


def packed_bytes(path: Path, rng: Random) -> None:
    """Change bytes of what is compressed in a glb file."""
    data = bytearray(path.read_bytes())
    start = 28 + int.from_bytes(data[12:16], "little")
    for _ in range(int(rng.integers(1, 4))):
        place = start + int(rng.integers(len(data) - start) * rng.random() ** 2)
        data[place] = int(rng.integers(256))
    path.write_bytes(data)


def draco_glb(folder: Path) -> Path:
    """Write a mesh with Draco, in the order that Draco likes."""
    import DracoPy

    mesh = drill_mesh(textured=True)
    points = mesh.vertices.astype(np.float32)
    data = DracoPy.encode(points, mesh.triangles.astype(np.uint32), tex_coord=mesh.uv)
    ids = {a["attribute_type"]: a["unique_id"] for a in DracoPy.decode(data).attributes}
    row = {
        "attributes": {"POSITION": 0, "TEXCOORD_0": 1},
        "indices": 2,
        "extensions": {
            DRACO: {"bufferView": 0, "attributes": {"POSITION": ids[0], "TEXCOORD_0": ids[3]}}
        },
    }
    accessors = [
        {"componentType": 5126, "type": "VEC3", "count": len(points)},
        {"componentType": 5126, "type": "VEC2", "count": len(points)},
        {"componentType": 5125, "type": "SCALAR", "count": mesh.triangles.size},
    ]
    return _glb(folder, data, [{"buffer": 0, "byteLength": len(data)}], accessors, row, DRACO)


def meshopt_glb(folder: Path) -> Path:
    """Write a mesh with meshopt."""
    import meshopt

    mesh = drill_mesh()
    binary = b""
    views: list[Any] = []
    accessors: list[Any] = []
    for values, mode, kind in (
        (mesh.vertices.astype(np.float32), "ATTRIBUTES", "VEC3"),
        (mesh.triangles.astype(np.uint32).ravel(), "TRIANGLES", "SCALAR"),
    ):
        data = meshopt.encode_gltf_buffer(values, mode)
        about = {"buffer": 0, "byteOffset": len(binary), "byteLength": len(data), "mode": mode,
                 "count": len(values), "byteStride": values.nbytes // len(values)}  # fmt: skip
        views.append({"buffer": 1, "byteLength": values.nbytes, "extensions": {MESHOPT[0]: about}})
        component = 5126 if kind == "VEC3" else 5125
        count = {"componentType": component, "type": kind, "count": len(values)}
        accessors.append({**count, "bufferView": len(accessors)})
        binary += data + bytes(-len(data) % 4)
    row = {"attributes": {"POSITION": 0}, "indices": 1}
    return _glb(folder, binary, views, accessors, row, MESHOPT[0])


def _glb(
    folder: Path, binary: bytes, views: list[Any], accessors: list[Any], row: Any, extension: str
) -> Path:
    table = {
        "asset": {"version": "2.0"},
        "buffers": [{"byteLength": len(binary)}, {"byteLength": 10**6}],
        "bufferViews": views,
        "accessors": accessors,
        "meshes": [{"primitives": [row]}],
        "nodes": [{"mesh": 0}],
        "scenes": [{"nodes": [0]}],
        "extensionsRequired": [extension],
    }
    text = json.dumps(table).encode()
    text += b" " * (-len(text) % 4)
    binary += bytes(-len(binary) % 4)
    chunks = struct.pack("<II", len(text), 0x4E4F534A) + text
    chunks += struct.pack("<II", len(binary), 0x004E4942) + binary
    path = folder / "mesh.glb"
    path.write_bytes(b"glTF" + struct.pack("<II", 2, 12 + len(chunks)) + chunks)
    return path


def first_capture(module: Any) -> Callable[[Path], Capture]:
    """Return what reads the capture that a file two folders below the root belongs to."""

    layout: Layout = module.LAYOUT

    def read(path: Path) -> Capture:
        root = path.parents[1]
        source = LayoutSource(SourceConfig(kind=layout.kind, path=str(root)), layout)
        number = "2" if "_2" in path.name else "1"
        entries = source.entries()
        chosen = [entry for entry in entries if entry.capture_id.endswith(number)] or entries
        return source.load(chosen[0])

    return read


def depth_steps(height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    """A slope 600 mm away with a step and a hole in it."""
    y, x = np.mgrid[0:height, 0:width]
    steps = (600 + 3 * x + 2 * y).astype(np.uint16)
    steps[:, width // 2 :] += 200
    steps[1, 1] = 0
    return steps


def write_pair(colour: Path, depth: Path, size: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """Write a colour and a depth picture."""
    rng = np.random.default_rng(5)
    for file in (colour, depth):
        file.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rng.integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)).save(colour)
    if depth.suffix == ".png":
        Image.fromarray(depth_steps(*size)).save(depth)
    else:
        depth.write_bytes(depth_steps(*size).tobytes())


def camera(width: int = WIDTH, height: int = HEIGHT, **more: Any) -> dict[str, Any]:
    """A small camera, as pyrealsense2 describes it."""
    return {"width": width, "height": height, "fx": 20.0, "fy": 20.5, "ppx": 7.5, "ppy": 5.5,
            "model": "distortion.brown_conrady", "coeffs": [0.05, -0.02, 0.001, 0.0, 0.01],
            **more}  # fmt: skip


def realsense_maker(mutated: str) -> _Maker:
    def make(folder: Path) -> Path:
        place = folder / "person"
        write_pair(place / "color_1.png", place / "depth_1.png", (10, 14))
        write_pair(place / "color_2.png", place / "depth_2.raw", (10, 14))
        (place / "depth_2_metadata.csv").write_text(
            "Frame Info: \nType,Depth\nFormat,Z16\nResolution x,14\nResolution y,10\n"
        )
        table = {
            "color": camera(),
            "depth": camera(14, 10, ppx=6.5, ppy=4.5),
            "depth_to_color": {"rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1],
                               "translation": [0.015, 0.0, 0.0]},
            "depth_scale": 0.001,
        }  # fmt: skip
        (place / "intrinsics.json").write_text(json.dumps(table, indent=1))
        return place / mutated

    return make


def open3d_maker(folder: Path) -> Path:
    place = folder / "person"
    write_pair(place / "color/000001.png", place / "depth/000001.png")
    matrix = [20.0, 0, 0, 0, 20.5, 0, 7.5, 5.5, 1]
    table = {"width": WIDTH, "height": HEIGHT, "intrinsic_matrix": matrix}
    (place / "camera_intrinsic.json").write_text(json.dumps(table, indent=1))
    return place / "camera_intrinsic.json"


def kinect_maker(writer: str) -> _Maker:
    """Return a maker of pictures with a calibration of the sensor's software, or of Orbbec's."""
    pose = [1.0, 0, 0, 0, 1.0, 0, 0, 0, 1.0], [-32.0, -2.0, 4.0]
    bend = {"k1": 0.05, "k2": -0.02, "k3": 0.01, "k4": 0.02, "k5": 0, "k6": 0, "p1": 1e-4, "p2": 0}

    def lens(width: int, height: int) -> dict[str, float]:
        middle = {"cx": width / 2 - 0.5, "cy": height / 2 - 0.5}
        return {"fx": 20.0, "fy": 20.5, **middle}

    def of_software(width: int, height: int, move: list[float]) -> dict[str, Any]:
        return {
            "extrinsics": {"rotation": pose[0], "translation": move},
            "intrinsics": {
                "parameters": {"param": {**lens(width, height), **bend}},
                "type": "K4A_CALIBRATION_LENS_DISTORTION_MODEL_BROWN_CONRADY",
            },
            "metric_radius": 1.74,
            "resolution_height": height,
            "resolution_width": width,
        }

    def make(folder: Path) -> Path:
        place = folder / "person"
        write_pair(place / "color/1.png", place / "depth/1.png", (10, 14))
        table: dict[str, Any] = {
            "color_camera_calibration": of_software(WIDTH, HEIGHT, pose[1]),
            "depth_camera_calibration": of_software(14, 10, [0.0, 0.0, 0.0]),
        }
        if writer == "orbbec":
            table = {
                "rgb_intrinsic": {**lens(WIDTH, HEIGHT), "width": WIDTH, "height": HEIGHT},
                "depth_intrinsic": {**lens(14, 10), "width": 14, "height": 10},
                "rgb_distortion": bend,
                "depth_distortion": bend,
                "transform": {"rot": pose[0], "transform": pose[1]},
            }
        (place / "calibration.json").write_text(json.dumps(table, indent=1))
        return place / "calibration.json"

    return make


def recorded_maker(folder: Path) -> Path:
    """Write the calibration that is attached to a recording."""

    def camera(place: str, size: tuple[int, int], move: list[float]) -> dict[str, Any]:
        values = [0.5, 0.51, 0.49, 0.6, 0.5, -0.02, 0.0, 0.8, 0.08, -0.01, 0, 0, 1e-5, 1e-5]
        return {
            "Intrinsics": {
                "ModelParameters": values,
                "ModelType": "CALIBRATION_LensDistortionModelBrownConrady",
            },
            "Location": f"CALIBRATION_CameraLocation{place}",
            "MetricRadius": 1.74,
            "Rt": {"Rotation": [1, 0, 0, 0, 1, 0, 0, 0, 1], "Translation": move},
            "SensorHeight": size[0],
            "SensorWidth": size[1],
        }

    both = [camera("D0", (1024, 1024), [0, 0, 0]), camera("PV0", (3072, 4096), [-0.03, 0, 0])]
    path = folder / "calibration.json"
    path.write_text(json.dumps({"CalibrationInformation": {"Cameras": both}}, indent=1))
    return path


def export_maker(folder: Path) -> Path:
    """Write a mesh of RealSense's viewer."""
    mesh = drill_mesh()
    assert mesh.vertex_colors is not None
    points = (mesh.vertices * 0.001 - [0.0, 0.0, 0.6]).astype("<f4")
    data = (
        "ply\nformat binary_little_endian 1.0\ncomment pointcloud saved from Realsense Viewer\n"
        f"element vertex {len(points)}\nproperty float32 x\nproperty float32 y\n"
        "property float32 z\nproperty uchar red\nproperty uchar green\nproperty uchar blue\n"
        f"element face {len(mesh.triangles)}\nproperty list uchar int vertex_indices\nend_header\n"
    ).encode()
    for point, colour in zip(points, mesh.vertex_colors, strict=True):
        data += point.tobytes() + bytes(colour)
    for triangle in mesh.triangles.astype("<i4"):
        data += b"\3" + triangle.tobytes()
    path = folder / "1.ply"
    path.write_bytes(data)
    return path


def read_export(path: Path) -> TexturedMesh:
    return realsense_ply.read_export(Item("1", "1", (path,)))


def person_maker(folder: Path) -> Path:
    """Write what Headspace says of a person."""
    path = folder / "person00001.txt"
    path.write_text("gender:f\nage:31\nbeardDescriptor:none\nexpression:neutral\nspikes:0\n")
    return path


def wrong_tag(tag: str, _wanted: Any) -> str:
    """Say what makes no sense in an expression's tag."""
    return "" if tag and tag.isprintable() and len(tag) <= 60 else f"a tag {tag!r}"


def read_recorded(path: Path) -> Rig:
    return kinect.read_rig(path, (720, 1280), (576, 640))


def wrong_rig(rig: Rig, _wanted: Any) -> str:
    """Say what makes no sense in a pair of cameras."""
    for lens in (rig.colour, rig.depth):
        assert lens is not None
        if not np.isfinite(lens.intrinsics).all() or not np.isfinite(lens.coefficients).all():
            return "a camera that is not finite"
    assert rig.translation_mm is not None
    return "" if np.abs(rig.translation_mm).max() <= 2000 else "cameras far apart"


def biwi_maker(mutated: str) -> _Maker:
    def make(folder: Path) -> Path:
        place = folder / "01"
        write_pair(place / "frame_00001_rgb.png", place / "unused.raw")
        (place / "unused.raw").unlink()
        data = struct.pack("<ii", WIDTH, HEIGHT)
        for row in depth_steps():
            data += struct.pack("<ii", 2, WIDTH - 2) + row[2:].astype("<i2").tobytes()
        (place / "frame_00001_depth.bin").write_bytes(data)
        for name, move in (("rgb.cal", "-24.0 5.9 -13.2"), ("depth.cal", "0 0 0")):
            (place / name).write_text(
                "20.5 0 7.5 \n0 20.5 5.5 \n0 0 1 \n\n0.01 0 0 0 \n\n1 0 0 \n0 1 0 \n0 0 1 \n\n"
                f"{move} \n\n{WIDTH} {HEIGHT}\n"
            )
        return place / mutated

    return make
