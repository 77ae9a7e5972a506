"""Small valid files for every reader, written into an empty folder; see `readers.Reader.make`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from benchmarks.drill.site import Site, chosen, names_below
from benchmarks.drill.world import drill_capture, drill_mesh, drill_model
from fg3d_builder.captures.folder import write_capture
from fg3d_builder.files.mesh_io import write_mesh

SMALL = (12, 16)
"""Height and width of the pictures: readers look at every pixel."""


def capture_maker(mutated: str, depth: str = "png", colour: str = "png") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        capture = drill_capture(drill_model(), 0, SMALL)
        write_capture(folder, capture, depth_format=depth, sequence="walk", frame=3)
        if colour != "png":
            (folder / "color.png").unlink()
            Image.fromarray(capture.rgb).save(folder / f"color.{colour}")
        return folder / mutated

    return make


def landmarks_maker(folder: Path) -> Path:
    make = capture_maker("capture.json")
    table = json.loads(make(folder).read_text())
    path = folder / "points.json"
    path.write_text(json.dumps({"landmarks": table["landmarks"]}))
    return path


def picture_maker(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rng = np.random.default_rng(3)
        Image.fromarray(rng.integers(0, 255, (*SMALL, 3), dtype=np.uint8)).save(folder / name)
        return folder / name

    return make


def depth_picture(folder: Path) -> Path:
    levels = np.arange(SMALL[0] * SMALL[1], dtype=np.uint16).reshape(SMALL)
    Image.fromarray(levels).save(folder / "depth.png")
    return folder / "depth.png"


def obj_maker(mutated: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        mesh = drill_mesh(textured=True)
        Image.fromarray(mesh.textures[0]).save(folder / "skin.png")
        (folder / "mesh.mtl").write_text("newmtl skin\nKd 0.8 0.7 0.6\nmap_Kd -s 1 1 1 skin.png\n")
        lines = ["mtllib mesh.mtl", "# a scan", "o head", "g face"]
        lines += [f"v {x:.3f} {y:.3f} {z:.3f}" for x, y, z in mesh.vertices]
        lines += [f"vt {u:.3f} {v:.3f}" for u, v in mesh.uv]
        lines += ["usemtl skin"]
        lines += ["f " + " ".join(f"{i + 1}/{i + 1}" for i in t) for t in mesh.triangles]
        (folder / "mesh.obj").write_text("\n".join(lines) + "\n")
        return folder / mutated

    return make


def mesh_maker(name: str, textured: bool = False) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write_mesh(folder / name, drill_mesh(textured))
        return folder / name

    return make


def ascii_ply(folder: Path) -> Path:
    mesh = drill_mesh()
    head = "ply\nformat ascii 1.0\nelement vertex {}\n{}element face {}\n{}end_header\n"
    columns = [f"property float {axis}\n" for axis in "xyz"]
    columns += [f"property uchar {colour}\n" for colour in ("red", "green", "blue")]
    faces = "property list uchar int vertex_indices\n"
    text = head.format(len(mesh.vertices), "".join(columns), len(mesh.triangles), faces)
    assert mesh.vertex_colors is not None
    rows = zip(mesh.vertices, mesh.vertex_colors, strict=True)
    text += "".join(" ".join(f"{v:.3f}" for v in p) + " {} {} {}\n".format(*c) for p, c in rows)
    text += "".join("3 {} {} {}\n".format(*t) for t in mesh.triangles)
    (folder / "mesh.ply").write_text(text)
    return folder / "mesh.ply"


def preset_maker(site: Site) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        shutil.copyfile(site.preset, folder / "preset.toml")
        return folder / "preset.toml"

    return make


def settings_maker(folder: Path) -> Path:
    path = folder / "settings.toml"
    path.write_text('preset = "tiny"\nepochs = 2\nbatch_size = 4\n[network]\nnetwork = "mvn"\n')
    return path


def now_maker(mutated: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        (folder / "iphone_pictures/anna/multiview_neutral").mkdir(parents=True)
        picture = folder / "iphone_pictures/anna/multiview_neutral/IMG_1.jpg"
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(picture)
        (folder / "imagepathsvalidation.txt").write_text(
            "anna/multiview_neutral/IMG_1.jpg\nanna/multiview_expressions/IMG_2.jpg\n"
        )
        (folder / "scans/anna").mkdir(parents=True)
        (folder / "scans/anna/head.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
        (folder / "scans_lmks_onlypp/anna").mkdir(parents=True)
        points = "".join(
            f' <point x="{i}.5" y="{2 * i}" z="-{i}" active="1" name="{i}"/>\n' for i in range(7)
        )
        text = f"<!DOCTYPE PickedPoints>\n<PickedPoints>\n{points}</PickedPoints>\n"
        (folder / "scans_lmks_onlypp/anna/head_picked_points.pp").write_text(text)
        return folder / mutated

    return make


def stirling_maker(mutated: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for name in ("F_3D_N", "annotations/F_3D_N", "photos"):
            (folder / name).mkdir(parents=True)
        (folder / "F_3D_N/F1001_N.obj").write_text("v 0 0 0\nv 1 0 0\nv 0 1 0\nf 1 2 3\n")
        points = "".join(f"{i + 1} {i}.5 {2 * i} -{i}\n" for i in range(7))
        (folder / "annotations/F_3D_N/F1001_N.lnd").write_text(points)
        Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(folder / "photos/F1001_left.jpg")
        table = "photo,subject,yaw\nphotos/F1001_left.jpg,F1001,-45\n"
        (folder / "photos.csv").write_text(table)
        return folder / mutated

    return make


def vertices_maker(folder: Path) -> Path:
    points = ", ".join(f'"{17 + 5 * i}": {100 + i}' for i in range(9))
    path = folder / "landmarks.json"
    path.write_text(
        f'{{"schema": "fg3d-mesh-landmarks-1", "vertex_index": {{{points}}}, "mirrored": false}}'
    )
    return path


def review_maker(folder: Path) -> Path:
    path = folder / "review.csv"
    path.write_text(
        "# a comment\ncapture_id,verdict,quality,note\n"
        'anna-001,auto,0.912,\nanna-002,reject,0.634,"hand, chin"\nben,accept,,good\n'
    )
    return path


def copy_of(site: Site, pattern: str) -> Callable[[Path], Path]:
    """Return a maker that copies the first file of the undisturbed build of a name."""

    def make(folder: Path) -> Path:
        name = chosen(names_below(site.reference), pattern)[0]
        target = folder / Path(name).name
        shutil.copyfile(site.reference / name, target)
        return target

    return make


def dataset_copy(site: Site, mutated: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for file in (site.small / "dataset").resolve().iterdir():
            shutil.copyfile(file, folder / file.name)
        return folder / mutated

    return make


def world_model(site: Site, folder: Path) -> Path:
    return Path(shutil.copyfile(site.preset.parent / "model.h5", folder / "model.h5"))
