"""Every reader of the product with a small valid file, what it may raise, and what makes sense.

A reader either gives what the file held, or values that make sense, or the error that it
documents with the file's name in it.
"""

from __future__ import annotations

import dataclasses
import pickle
import shutil
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from PIL import Image

from benchmarks.drill.mutate import Random
from benchmarks.drill.site import Site, chosen, names_below
from benchmarks.drill.world import drill_capture, drill_mesh, drill_model
from fg3d_builder.captures.folder import read_capture, read_landmarks, write_capture
from fg3d_builder.config import load_preset
from fg3d_builder.errors import CaptureError, ConfigError
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.fgnet.training.checkpoint import read_checkpoint
from fg3d_builder.fgnet.training.settings import read_settings
from fg3d_builder.files.images import read_rgb, read_uint16
from fg3d_builder.files.mesh_io import TexturedMesh, read_mesh, write_mesh
from fg3d_builder.files.products import ProductError, read_product
from fg3d_builder.files.sealed import DamagedFileError
from fg3d_builder.layout import BuildLayout
from fg3d_builder.records import Capture, Registration
from fg3d_builder.review.review_list import read_review_list
from fg3d_builder.shards.reader import ShardReader, read_manifest
from fg3d_builder.shards.verify import verify_dataset
from fg3d_builder.tasks.chunks import read_index
from fg3d_builder.tasks.dataset_tasks import read_draws
from fg3d_builder.tasks.review import read_decisions, read_verdicts
from fg3d_builder.testsets import open_protocol
from fg3d_builder.testsets.mesh_files import read_mesh_landmarks

HUGE = 1e9
"""Coordinates and depths beyond it are nonsense in any unit."""

SMALL = (12, 16)
"""Height and width of the pictures: readers look at every pixel."""


@dataclass(frozen=True)
class Reader:
    """A reader with a valid input.

    Attributes
    ----------
    name : str
    form : str
        See `mutate.FORMS`.
    make : callable
        Writes the input into an empty folder; returns the file to mutate.
    read : callable
        Reads that file.
    errors : tuple of exception types
        That it documents.
    wrong : callable
        Says what is wrong with a value that was read, ``""`` where nothing is; its second
        argument is what the valid file gives.
    mutate : callable or None
        A mutation of its own, which changes the file in its place, for one case in two.
    """

    name: str
    form: str
    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...]
    wrong: Callable[[Any, Any], str]
    mutate: Callable[[Path, Random], None] | None = None


def equal(found: Any, wanted: Any) -> str:
    """Say whether a file that carries its own seal was believed in another state."""
    return "" if _plain(found) == _plain(wanted) else "a changed file was believed"


def _plain(value: Any) -> bytes:
    return pickle.dumps(_comparable(value))


def _comparable(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [_comparable(getattr(value, f.name)) for f in dataclasses.fields(value)]
    if isinstance(value, dict):
        return [(k, _comparable(v)) for k, v in value.items()]
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
    known = config.landmarks.detector in ("annotation", "mediapipe", "face_alignment")
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


def _capture_maker(mutated: str, depth: str = "png", colour: str = "png") -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        capture = drill_capture(drill_model(), 0, SMALL)
        write_capture(folder, capture, depth_format=depth)
        if colour != "png":
            (folder / "color.png").unlink()
            Image.fromarray(capture.rgb).save(folder / f"color.{colour}")
        return folder / mutated

    return make


def _landmarks_maker(folder: Path) -> Path:
    import json

    make = _capture_maker("capture.json")
    table = json.loads(make(folder).read_text())
    path = folder / "points.json"
    path.write_text(json.dumps({"landmarks": table["landmarks"]}))
    return path


def _picture_maker(name: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        rng = np.random.default_rng(3)
        Image.fromarray(rng.integers(0, 255, (*SMALL, 3), dtype=np.uint8)).save(folder / name)
        return folder / name

    return make


def _depth_picture(folder: Path) -> Path:
    levels = np.arange(SMALL[0] * SMALL[1], dtype=np.uint16).reshape(SMALL)
    Image.fromarray(levels).save(folder / "depth.png")
    return folder / "depth.png"


def _obj_maker(mutated: str) -> Callable[[Path], Path]:
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


def _mesh_maker(name: str, textured: bool = False) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        write_mesh(folder / name, drill_mesh(textured))
        return folder / name

    return make


def _ascii_ply(folder: Path) -> Path:
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


def _preset_maker(site: Site) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        shutil.copyfile(site.preset, folder / "preset.toml")
        return folder / "preset.toml"

    return make


def _settings_maker(folder: Path) -> Path:
    path = folder / "settings.toml"
    path.write_text('preset = "tiny"\nepochs = 2\nbatch_size = 4\n[network]\nnetwork = "mvn"\n')
    return path


def _now_maker(mutated: str) -> Callable[[Path], Path]:
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


def _stirling_maker(mutated: str) -> Callable[[Path], Path]:
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


def _vertices_maker(folder: Path) -> Path:
    points = ", ".join(f'"{17 + 5 * i}": {100 + i}' for i in range(9))
    path = folder / "landmarks.json"
    path.write_text(
        f'{{"schema": "fg3d-mesh-landmarks-1", "vertex_index": {{{points}}}, "mirrored": false}}'
    )
    return path


def _review_maker(folder: Path) -> Path:
    path = folder / "review.csv"
    path.write_text(
        "# a comment\ncapture_id,verdict,quality,note\n"
        'anna-001,auto,0.912,\nanna-002,reject,0.634,"hand, chin"\nben,accept,,good\n'
    )
    return path


def _copy_of(site: Site, pattern: str) -> Callable[[Path], Path]:
    """Return a maker that copies the first file of the undisturbed build of a name."""

    def make(folder: Path) -> Path:
        name = chosen(names_below(site.reference), pattern)[0]
        target = folder / Path(name).name
        shutil.copyfile(site.reference / name, target)
        return target

    return make


def _dataset_copy(site: Site, mutated: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        for file in (site.small / "dataset").resolve().iterdir():
            shutil.copyfile(file, folder / file.name)
        return folder / mutated

    return make


def _read_registrations(site: Site) -> Callable[[Path], Any]:
    from fg3d_builder.tasks.finding import layout_of

    layout = layout_of(load_preset(site.preset), site.reference)
    digest = layout.stage_digest("registration")
    return lambda path: read_product(path, "registration", digest, Registration).records


def _read_samples(path: Path) -> Any:
    reader = ShardReader(path.parent, "train")
    found = [reader[i] for i in range(len(reader))]
    reader.close()
    return found


def _read_frozen(path: Path) -> Any:
    work = path.parent / "work"
    work.mkdir(exist_ok=True)
    shutil.copyfile(path, work / path.name)
    return BuildLayout.frozen(path.parent, path.stem.removeprefix("config-")).config


def _cached(read: Any) -> Callable[[Path], Any]:
    """Return a function that is remembered once per process as one that is not."""

    def call(path: Path) -> Any:
        read.cache_clear()
        return read(path)

    return call if hasattr(read, "cache_clear") else read


def odd_model(path: Path, rng: Random) -> None:
    """Change one dataset or attribute of an HDF5 file so that HDF5 itself finds nothing wrong."""
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file.visititems(lambda n, o: names.append(n) if isinstance(o, h5py.Dataset) else None)
        name = names[int(rng.integers(len(names)))]
        values = file[name][()]
        way = int(rng.integers(7))
        if way == 0:
            del file[name]
        elif way == 1:
            _replaced(file, name, np.resize(values, [max(0, s - 1) for s in values.shape]))
        elif way == 2:
            _replaced(file, name, values.ravel())
        elif way == 3:
            del file[name]
            file[name] = h5py.ExternalLink("/etc/hostname", "/x")
        elif way == 4:
            key = list(file.attrs)[int(rng.integers(len(file.attrs)))]
            if rng.random() < 0.5:
                del file.attrs[key]
            else:
                file.attrs[key] = [1, -5] if rng.random() < 0.5 else "x\x01" * 40
        elif way == 5:
            shape = tuple(s * 4000 for s in values.shape) or (10**9,)
            del file[name]
            # Declared, not there: gigabytes of fill values from a small file.
            file.create_dataset(name, shape, values.dtype, chunks=True)
        else:
            odd = [np.nan, np.inf, 1e30, -1.0] if values.dtype.kind == "f" else [-1, 2**31 - 1, 255]
            changed = values.copy().reshape(-1)
            if len(changed):
                with warnings.catch_warnings(), np.errstate(all="ignore"):
                    warnings.simplefilter("ignore")
                    where = int(rng.integers(len(changed)))
                    value = np.array(odd[int(rng.integers(len(odd)))]).astype(values.dtype)
                    changed[where] = value
                _replaced(file, name, changed.reshape(values.shape))


def _replaced(file: h5py.File, name: str, values: Any) -> None:
    del file[name]
    file[name] = values


def all_readers(site: Site, checkpoint: Path | None = None) -> list[Reader]:
    """Return every reader."""
    capture, config = (CaptureError,), (ConfigError,)
    sealed = (ProductError, DamagedFileError)
    own = (DamagedFileError, ValueError)

    def protocol(name: str) -> Callable[[Path], Any]:
        def read(path: Path) -> Any:
            return open_protocol(name, _base(path, name))

        return read

    def of_capture(path: Path) -> Any:
        return read_capture(path.parent, "x")

    readers = [
        Reader(
            "capture.json",
            "json",
            _capture_maker("capture.json"),
            of_capture,
            capture,
            wrong_capture,
        ),
        Reader(
            "landmarks.json", "json", _landmarks_maker, read_landmarks, capture, wrong_landmarks
        ),
        Reader(
            "depth.npy",
            "npy",
            _capture_maker("depth.npy", "npy"),
            of_capture,
            capture,
            wrong_capture,
        ),
        Reader("depth.png", "png", _depth_picture, read_uint16, capture, wrong_image),
        Reader("color.png", "png", _picture_maker("a.png"), read_rgb, capture, wrong_image),
        Reader("color.jpg", "picture", _picture_maker("a.jpg"), read_rgb, capture, wrong_image),
        Reader("photo.tiff", "picture", _picture_maker("a.tiff"), read_rgb, capture, wrong_image),
        Reader("photo.webp", "picture", _picture_maker("a.webp"), read_rgb, capture, wrong_image),
        Reader("mesh.obj", "text", _obj_maker("mesh.obj"), read_mesh, capture, wrong_mesh),
        Reader(
            "mesh.mtl",
            "text",
            _obj_maker("mesh.mtl"),
            lambda path: read_mesh(path.with_suffix(".obj")),
            capture,
            wrong_mesh,
        ),
        Reader("ascii.ply", "text", _ascii_ply, read_mesh, capture, wrong_mesh),
        Reader("binary.ply", "mixed", _mesh_maker("mesh.ply"), read_mesh, capture, wrong_mesh),
        Reader("mesh.glb", "glb", _mesh_maker("mesh.glb"), read_mesh, capture, wrong_mesh),
        Reader(
            "textured.glb", "glb", _mesh_maker("mesh.glb", True), read_mesh, capture, wrong_mesh
        ),
        Reader("preset.toml", "text", _preset_maker(site), load_preset, config, wrong_preset),
        Reader("settings.toml", "text", _settings_maker, read_settings, config, wrong_settings),
        Reader("review.csv", "text", _review_maker, read_review_list, config, wrong_review),
        Reader(
            "NoW list",
            "text",
            _now_maker("imagepathsvalidation.txt"),
            protocol("now"),
            config,
            wrong_protocol,
        ),
        Reader(
            "NoW points",
            "text",
            _now_maker("scans_lmks_onlypp/anna/head_picked_points.pp"),
            protocol("now"),
            config,
            wrong_protocol,
        ),
        Reader(
            "Stirling table",
            "text",
            _stirling_maker("photos.csv"),
            protocol("stirling"),
            config,
            wrong_protocol,
        ),
        Reader(
            "Stirling points",
            "text",
            _stirling_maker("annotations/F_3D_N/F1001_N.lnd"),
            protocol("stirling"),
            config,
            wrong_protocol,
        ),
        Reader(
            "method's landmarks", "json", _vertices_maker, read_mesh_landmarks, config, any_value
        ),
        Reader(
            "face model file",
            "binary",
            lambda folder: _world_model(site, folder),
            load_model,
            (ValueError,),
            wrong_model,
            odd_model,
        ),
        Reader(
            "face model of a build",
            "binary",
            _copy_of(site, r"^work/facemodel-"),
            load_model,
            own,
            equal,
        ),
        Reader(
            "product",
            "binary",
            _copy_of(site, r"^work/registration-.*h5$"),
            _read_registrations(site),
            sealed,
            equal,
        ),
        Reader("index", "json", _copy_of(site, r"^work/index-"), _cached(read_index), own, equal),
        Reader("config", "json", _copy_of(site, r"^work/config-"), _read_frozen, own, equal),
        Reader(
            "decisions",
            "json",
            _copy_of(site, r"^work/decisions-"),
            _cached(read_decisions),
            own,
            equal,
        ),
        Reader("draws", "json", _copy_of(site, r"^work/draws-"), _cached(read_draws), own, equal),
        Reader(
            "verdicts",
            "json",
            _copy_of(site, r"^work/verdicts-"),
            _cached(read_verdicts),
            own,
            equal,
        ),
        Reader(
            "manifest",
            "json",
            _dataset_copy(site, "manifest.json"),
            lambda path: read_manifest(path.parent),
            own,
            equal,
        ),
        Reader(
            "manifest, verify",
            "json",
            _dataset_copy(site, "manifest.json"),
            lambda path: verify_dataset(path.parent),
            (),
            wrong_verification,
        ),
        Reader(
            "shard, verify",
            "binary",
            _dataset_copy(site, "train-00000.h5"),
            lambda path: verify_dataset(path.parent),
            (),
            wrong_verification,
        ),
        Reader(
            "topology, verify",
            "binary",
            _dataset_copy(site, "topology.h5"),
            lambda path: verify_dataset(path.parent),
            (),
            wrong_verification,
        ),
        Reader(
            "face model of a dataset, verify",
            "binary",
            _dataset_copy(site, "facemodel.h5"),
            lambda path: verify_dataset(path.parent),
            (),
            wrong_verification,
        ),
    ]
    if checkpoint is not None:
        readers.append(
            Reader(
                "checkpoint",
                "binary",
                lambda folder: Path(shutil.copyfile(checkpoint, folder / checkpoint.name)),
                read_checkpoint,
                own,
                equal,
            )
        )
    return readers


def _world_model(site: Site, folder: Path) -> Path:
    return Path(shutil.copyfile(site.preset.parent / "model.h5", folder / "model.h5"))


def _base(path: Path, name: str) -> Path:
    """Return the folder of a test set that a file is in."""
    marks = {"now": "imagepathsvalidation.txt", "stirling": "photos.csv"}
    return next(folder for folder in path.parents if (folder / marks[name]).is_file())
