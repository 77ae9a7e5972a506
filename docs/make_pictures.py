"""Make the pictures of the documentation.

`make pictures`, or `python -m docs.make_pictures NAME ...` for some of them. Most come from the
embedded face model, so that anyone can make them again. Some need real data beside the project, or
what a benchmark left in build/bench: where that is missing they are left out, and it is said why. A
picture of real data names its source in the caption of the page that shows it.
"""

from __future__ import annotations

import argparse
import io
import json
import shutil
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from docs.readme_picture import built, real_capture
from fg3d_builder.captures import open_source
from fg3d_builder.config import BuildConfig, FaceModelConfig, SensorConfig, SourceConfig
from fg3d_builder.facemodel.model import FaceModel
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import decode_image, encode_jpeg, encode_png
from fg3d_builder.geometry.camera import intrinsics_matrix, px_from_cam
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.heads.library import get_model, head_population
from fg3d_builder.heads.population import SyntheticHead
from fg3d_builder.records import Array, Pose
from fg3d_builder.rendering.rasterizer import interpolate, rasterize
from fg3d_builder.report.paper import contact_sheet, joined

PICTURES = Path(__file__).parent / "pictures"
BENCH = Path(__file__).parents[1] / "build" / "bench"
DATA = Path(__file__).parents[2] / "shared" / "data"
POSES = {
    "(0, 0, 0) faces the camera": (0, 0, 0),
    "pitch +20: looks up": (20, 0, 0),
    "pitch -20: looks down": (-20, 0, 0),
    "yaw +35: to the subject's left": (0, 35, 0),
    "yaw -35: to the subject's right": (0, -35, 0),
    "roll +20: counter-clockwise": (0, 0, 20),
}
AUGMENTED = """
name = "pictures"
[[sources]]
kind = "synthetic"
subjects = 6
captures_per_subject = 1
seed = 20
sensor = { kind = "structured_light", seed = 1 }
[transform]
shapes_per_capture = 2
[shards]
test_fraction = 0.0
image_format = "png"
"""
"""Six subjects with two new shapes under each photo."""

LARGEST_BYTES = 300_000
"""Of a picture's file: the repository keeps every version of it."""

AXES = {"x": (210, 60, 50), "y": (40, 150, 60), "z": (50, 90, 220)}


def rendered_head(head: SyntheticHead, pose: Pose, intrinsics: Array, size: int) -> Array:
    """Render a head on white."""
    triangles = np.concatenate(
        [head_population().head.sheet_triangles, head.context_triangles + len(head.albedo)]
    )
    albedo = np.concatenate([head.albedo, head.context_albedo])
    points = pose.cam_from_obj(np.concatenate([head.shape(None), head.context_vertices_obj_mm]))
    normals = vertex_normals(points, triangles)
    light = np.clip(normals @ [0.25, -0.35, -0.9], 0, 1)[:, None] * 0.9 + 0.25
    fragments = rasterize(points, triangles, intrinsics, size, size)
    colour = interpolate(fragments, triangles, albedo * light)
    picture = (np.clip(colour, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
    picture[fragments.triangle < 0] = 255
    return picture


def posed_head(head: SyntheticHead, angles: tuple[float, float, float], size: int = 420) -> Array:
    """Render a head at the given (pitch, yaw, roll) with the axes of its object frame."""
    model = get_model(FaceModelConfig())
    intrinsics = intrinsics_matrix(2.1 * size, 2.1 * size, size / 2, size / 2)
    pose = Pose(1.0, rotation_from_angles(*angles), np.array([0.0, 0.0, 800.0]))
    picture = rendered_head(head, pose, intrinsics, size)
    start = model.mean[np.argmax(model.mean[:, 2])]
    for axis, (name, paint) in enumerate(AXES.items()):
        tip = start + 70.0 * np.eye(3)[axis]
        a, b = px_from_cam(pose.cam_from_obj(np.stack([start, tip])), intrinsics)
        pa, pb = tuple(int(v) for v in np.rint(a)), tuple(int(v) for v in np.rint(b))
        cv2.arrowedLine(picture, pa, pb, paint, 3, cv2.LINE_AA, tipLength=0.15)
        cv2.putText(
            picture,
            name,
            (pb[0] + 6, pb[1] - 6),
            cv2.FONT_HERSHEY_SIMPLEX,
            0.7,
            paint,
            2,
            cv2.LINE_AA,
        )
    return picture


def conventions() -> Array:
    """Object axes and the signs of the pose angles."""
    head = head_population().subject(3)
    pictures = [(label, posed_head(head, angles)) for label, angles in POSES.items()]
    title = "Object frame (x red, y green, z blue) and pose angles (pitch, yaw, roll) in degrees"
    return contact_sheet(pictures, title=title, columns=3, height=330)


def population() -> Array:
    """Synthetic people, in order of their seeds: nobody was chosen."""
    size = 300
    intrinsics = intrinsics_matrix(2.3 * size, 2.3 * size, size / 2, size / 2)
    rows = []
    for first in range(0, 24, 8):
        heads = [head_population().subject(50_000 + first + i) for i in range(8)]
        for yaw in (0, 55):
            pose = Pose(1.0, rotation_from_angles(0, yaw, 0), np.array([0.0, -10.0, 760.0]))
            rows.append(np.hstack([rendered_head(h, pose, intrinsics, size) for h in heads]))
    return cv2.resize(np.vstack(rows), None, fx=0.6, fy=0.6, interpolation=cv2.INTER_AREA)


def surround() -> Array:
    """The head beyond the face: mean and random identities, regions of the surround tinted."""
    model = get_model(FaceModelConfig())
    random = np.random.default_rng(0)
    shapes = [random.standard_normal(len(model.id_sd)) * model.id_sd for _ in range(3)]
    rows = [whole_head(model, alpha) for alpha in (np.zeros(len(model.id_sd)), *shapes)]
    return np.vstack(rows)


def whole_head(model: FaceModel, alpha_id: Array, size: int = 350) -> Array:
    """Render face and surround of an identity from front, 45 degrees, side and back."""
    around = model.surround
    assert around is not None
    # The surround as expected, but tied to the face as it is on any registered one.
    face, rest = model.shape(alpha_id), around.shape(alpha_id)
    rest[around.skirt] = around.attached(face, model.triangles)
    points = np.concatenate([face, rest])
    triangles = np.concatenate([model.triangles, around.triangles + len(face)])
    paint = np.full((len(points), 3), 0.55)
    for weight, tint in (
        (around.neck, (0.45, 0.5, 0.6)),
        (around.scalp, (0.3, 0.2, 0.12)),
        (around.ear, (0.75, 0.4, 0.35)),
    ):
        paint[len(face) :] += weight[:, None] * (np.array(tint) - paint[len(face) :])
    intrinsics = intrinsics_matrix(2.4 * size, 2.4 * size, size / 2, size / 2)
    views = []
    for yaw in (0.0, 45.0, 90.0, 180.0):
        pose = Pose(1.0, rotation_from_angles(0, yaw, 0), np.array([0.0, 0.0, 900.0]))
        turned = pose.cam_from_obj(points)
        fragments = rasterize(turned, triangles, intrinsics, size, size)
        normals = interpolate(fragments, triangles, vertex_normals(turned, triangles))
        light = np.clip(normals @ [0.35, -0.35, -0.87], 0, 1)[..., None] * 0.9 + 0.2
        colour = interpolate(fragments, triangles, paint) * light
        picture = (np.clip(colour, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
        picture[fragments.triangle < 0] = 255
        views.append(picture)
    return np.hstack(views)


def confidence() -> Array:
    """Things before a face, what of the depth is told not to be its own, and the confidence."""
    from benchmarks.occluders import add_occluder
    from fg3d_builder.occlusion.foreign import REFINED, ForeignFinder
    from fg3d_builder.pipeline.register import register_capture
    from fg3d_builder.rendering.depth_surface import DepthSurface

    sensor = SensorConfig(kind="structured_light", seed=2)
    source = open_source(SourceConfig(subjects=3, captures_per_subject=1, seed=24, sensor=sensor))
    model, tiles = get_model(FaceModelConfig()), []
    for entry, kind in zip(source.entries(), ("fringe", "glasses", "hand"), strict=True):
        capture = add_occluder(source.load(entry), kind, seed=5)
        registration = register_capture(model, capture, BuildConfig()).registration
        vertices = registration.vertices_cam_mm
        surface = DepthSurface.from_depth(capture.depth_mm, capture.intrinsics)
        foreign = ForeignFinder(model, surface, capture.rgb).find(vertices, REFINED)
        marked = capture.rgb.copy()
        marked[foreign] = (0.35 * marked[foreign] + [150, 20, 20]).astype(np.uint8)
        height, width = foreign.shape
        fragments = rasterize(vertices, model.triangles, capture.intrinsics, height, width)
        shown = fragments.triangle >= 0
        known = interpolate(fragments, model.triangles, registration.confidence[:, None])[..., 0]
        colours = cv2.applyColorMap((255 * known).astype(np.uint8), cv2.COLORMAP_VIRIDIS)
        painted = capture.rgb.copy()
        painted[shown] = colours[shown][:, ::-1]
        at = px_from_cam(vertices, capture.intrinsics).mean(axis=0).astype(int)
        half = round(130 * capture.intrinsics[0, 0] / np.median(vertices[:, 2]))
        rows = slice(max(0, at[1] - half), at[1] + half)
        columns = slice(max(0, at[0] - half), at[0] + half)
        for label, picture in (
            (kind, capture.rgb),
            ("not the face", marked),
            ("confidence, 0 dark to 1 bright", painted),
        ):
            tiles.append((label, picture[rows, columns]))
    return contact_sheet(tiles, columns=3, height=300)


def augmentation() -> Array:
    """One capture turned, and the same photo with two new shapes, as samples store them."""
    from fg3d_builder.report.transform_sheet import plaster
    from fg3d_builder.shards.reader import ShardReader

    with tempfile.TemporaryDirectory() as folder:
        reader = ShardReader(built(AUGMENTED, Path(folder)), "train")
        own = [s for s in reader if s["capture_id"] == reader[0]["capture_id"]]  # type: ignore[attr-defined]
        sources = ("capture", "transform-0", "transform-1")
        names = ("view+00+00", "view+00+15", "view+00+30", "view+00-15", "view+00-30", "view-25+00")
        by_id = {sample["sample_id"]: sample for sample in own}
        tiles = []
        for source in sources:
            row = [by_id[f"{own[0]['capture_id']}/{name}/{source}"] for name in names]
            label = "registered shape" if source == "capture" else "a new shape"
            tiles.append((label, plaster(reader.model, row[0]["shape_obj_mm"].astype(float))))
            tiles += [(n[4:], s["image"]) for n, s in zip(names, row, strict=True)]
    return contact_sheet(tiles, columns=len(names) + 1, height=200)


def relief() -> Array:
    """Depth, registered face and truth under raking light, without noise and with a sensor's."""
    from fg3d_builder.pipeline.register import register_capture
    from fg3d_builder.rendering.depth_surface import DepthSurface

    model, tiles = get_model(FaceModelConfig()), []
    for kind in ("none", "structured_light"):
        sensor = SensorConfig(kind=kind, seed=7)
        source = open_source(
            SourceConfig(subjects=2, captures_per_subject=1, seed=7_000, sensor=sensor)
        )
        capture = source.load(source.entries()[1])
        depth = DepthSurface.from_depth(capture.depth_mm, capture.intrinsics)
        found = register_capture(model, capture, BuildConfig(), surface=depth).registration
        assert capture.truth is not None
        centre = found.vertices_cam_mm[model.reliable].mean(axis=0)
        noise = "no noise" if kind == "none" else "a sensor's noise"
        tiles += [
            (f"depth, {noise}", raked(depth.vertices_cam_mm, depth.triangles, centre)),
            ("registered", raked(found.vertices_cam_mm, model.triangles, centre)),
            ("truth", raked(capture.truth.vertices_cam_mm, model.triangles, centre)),
        ]
    return contact_sheet(tiles, columns=3, height=400)


def raked(points_cam_mm: Array, triangles: Array, centre_cam_mm: Array, size: int = 400) -> Array:
    """Render a surface in grey, 190 mm wide about a centre, lit from the side."""
    focal = size / 190.0 * centre_cam_mm[2]
    middle = size / 2 - focal * centre_cam_mm[:2] / centre_cam_mm[2]
    intrinsics = intrinsics_matrix(focal, focal, middle[0], middle[1])
    fragments = rasterize(points_cam_mm, triangles, intrinsics, size, size)
    normals = interpolate(fragments, triangles, vertex_normals(points_cam_mm, triangles))
    light = np.array([-0.85, -0.25, -0.46])
    shade = 0.12 + 0.88 * np.clip(normals @ (light / np.linalg.norm(light)), 0, 1)
    shade[fragments.triangle < 0] = 1.0
    grey = (np.clip(shade, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def quality() -> Array:
    """Predicted against true errors of registrations that nothing was calibrated on."""
    from benchmarks.quality import MODELS, REPORTED_SEED
    from benchmarks.quality_picture import quality_picture

    files = {name: BENCH / f"quality-{name}-{REPORTED_SEED}.jsonl" for name in MODELS}
    return quality_picture({name: file for name, file in files.items() if file.is_file()})


def learnt() -> Array:
    """How well learnt models explain faces that they have not seen."""
    from benchmarks.learnt_model import TITLES, panel
    from fg3d_builder.report.curves import curves_picture

    files = {part: BENCH / f"learnt-{part}.json" for part in TITLES}
    results = {part: json.loads(file.read_text()) for part, file in files.items()}
    return curves_picture([panel(part, result) for part, result in results.items()])


def imported() -> Array:
    """Faces cut from heads of several makers, with what was carried over to them."""
    from benchmarks.model_sources import (
        facefuns_source,
        ict_source,
        meshmonk_source,
        valid_source,
    )
    from fg3d_builder.facemodel.importing import import_model
    from fg3d_builder.report.model_overview import model_strip

    donor = get_model(FaceModelConfig())
    sources = (
        ict_source(DATA, 10)[0],
        valid_source(DATA, "Black_F_1"),
        meshmonk_source(DATA),
        facefuns_source(DATA),
    )
    return joined([model_strip(import_model(source, donor).model) for source in sources], 0, 8)


def turned_heads() -> Array:
    """The forty views of the blind look, each above the same head truly turned where known."""
    from benchmarks.turned_sheet import REPORTED_SEED, drawn_pairs

    pairs = drawn_pairs(get_model(FaceModelConfig()), DATA, [], REPORTED_SEED)
    tiles = []
    for _, _, pair in pairs:
        truth = np.full_like(pair.view, 250) if pair.truth is None else pair.truth
        tiles.append(np.vstack([pair.view, truth]))
    columns = 8
    rows = [joined(tiles[i : i + columns], 1, 6) for i in range(0, len(tiles), columns)]
    return joined(rows, 0, 16)


def review() -> Array:
    """The review page of the demo's least certain capture, in Chromium."""
    with tempfile.TemporaryDirectory() as folder:
        build = ["-m", "fg3d_builder.cli", "build", "tasks/demo.toml", "--out", folder]
        subprocess.run([sys.executable, *build], check=True)
        return review_page(Path(folder))


def review_page(root: Path) -> Array:
    """Photograph the page of the least certain capture of a build."""
    from playwright.sync_api import sync_playwright

    from fg3d_builder.browser.server import ReviewServer

    server = ReviewServer(root, 0)
    threading.Thread(target=server.serve, daemon=True).start()
    graphics = ["--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader"]
    with sync_playwright() as control:
        chromium = shutil.which("chromium")
        browser = control.chromium.launch(
            executable_path=chromium, args=["--no-sandbox", *graphics]
        )
        tab = browser.new_page(viewport={"width": 1280, "height": 1000})
        tab.set_default_timeout(300_000)
        tab.goto(server.address)
        tab.click("text=Review, lowest quality first")
        tab.click("#rows a")
        tab.wait_for_selector("#scene[data-drawn]")
        tab.select_option("#colours", label="distance to depth")
        tab.wait_for_selector('#scene[data-shown="distance to depth"]')
        tab.wait_for_load_state("networkidle")
        shot = tab.screenshot()
        browser.close()
    server.stop()
    return decode_image(shot)


class Picture(NamedTuple):
    """A picture of the documentation.

    Attributes
    ----------
    make : callable
        Returns it, (H, W, 3) uint8.
    suffix : str
        ``".jpg"`` for photographs, ``".png"`` for drawings.
    missing : callable
        Returns what it needs and is not there, in words; nothing where it can be made.
    """

    make: Callable[[], Array]
    suffix: str
    missing: Callable[[], str] = str


def _missing_data() -> str:
    return "" if DATA.is_dir() else f"there is no real data in {DATA}"


def _missing_browser() -> str:
    return "" if shutil.which("chromium") else "needs Chromium (Debian: chromium)"


def _missing_quality() -> str:
    made = any(BENCH.glob("quality-*.jsonl"))
    return "" if made else "needs what `python -m benchmarks.quality` writes"


def _missing_learnt() -> str:
    made = all((BENCH / f"learnt-{part}.json").is_file() for part in ("meshmonk", "synthetic"))
    return "" if made else "needs what `python -m benchmarks.learnt_model` writes"


ALL = {
    "readme": Picture(lambda: real_capture(DATA), ".jpg", _missing_data),
    "conventions": Picture(conventions, ".png"),
    "augmentation": Picture(augmentation, ".jpg"),
    "population": Picture(population, ".jpg"),
    "surround": Picture(surround, ".jpg"),
    "relief": Picture(relief, ".jpg"),
    "confidence": Picture(confidence, ".jpg"),
    "review": Picture(review, ".jpg", _missing_browser),
    "quality": Picture(quality, ".png", _missing_quality),
    "learnt": Picture(learnt, ".png", _missing_learnt),
    "imported": Picture(imported, ".jpg", _missing_data),
    "turned-heads": Picture(turned_heads, ".jpg", _missing_data),
}


def coded(picture: Array, suffix: str) -> bytes:
    """Encode a picture, 1400 pixels wide at most, in no more than `LARGEST_BYTES`.

    Photographs lose quality until they fit, drawings all but 256 colours.

    Raises
    ------
    ValueError
        It does not fit.
    """
    factor = min(1.0, 1400 / picture.shape[1])
    small = cv2.resize(picture, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA)
    if suffix == ".png":
        data = encode_png(small)
        if len(data) > LARGEST_BYTES:
            few = Image.fromarray(small).quantize(256, Image.Quantize.MEDIANCUT)
            stream = io.BytesIO()
            few.save(stream, "PNG", optimize=True)
            data = stream.getvalue()
    else:
        for quality_percent in range(88, 50, -4):
            data = encode_jpeg(small, quality_percent)
            if len(data) <= LARGEST_BYTES:
                break
    if len(data) > LARGEST_BYTES:
        raise ValueError(f"{len(data)} bytes, more than {LARGEST_BYTES}")
    return data


def main() -> None:
    """Write the pictures that the arguments name, all without arguments."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help=f"of {', '.join(ALL)}; all without")
    named = parser.parse_args().names
    unknown = set(named) - set(ALL)
    if unknown:
        parser.error(f"no picture named {', '.join(sorted(unknown))}")
    PICTURES.mkdir(exist_ok=True)
    left_out = []
    for name in named or ALL:
        picture = ALL[name]
        missing = picture.missing()
        if missing:
            left_out.append(f"left out {name}: {missing}")
            continue
        file = PICTURES / f"{name}{picture.suffix}"
        write_bytes(file, coded(picture.make(), picture.suffix))
        print(f"wrote {file}: {file.stat().st_size / 1e3:.0f} kB", flush=True)
    print("\n".join(left_out) or "none was left out")
    if named and left_out:
        sys.exit(1)


if __name__ == "__main__":
    main()
