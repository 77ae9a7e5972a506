"""Captures to turn, registered, and pictures of the same heads truly turned.

Registering takes seconds and changes with other code than turning does: captures, registrations
and true pictures are kept in build/bench/turned until something that they are made of changes.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np

from benchmarks.kept import Kept, code_behind
from benchmarks.turned_reference import kept_pixels
from fg3d_builder.captures import open_source
from fg3d_builder.captures.mesh_view import view_mesh as view_scan
from fg3d_builder.captures.scan import read_scan, scan_camera, scan_unit_mm
from fg3d_builder.captures.source import CaptureEntry
from fg3d_builder.captures.synthetic import (
    Scene,
    Subject,
    SyntheticSource,
    render_capture,
    seamless_normals,
    shaded,
    whole_head,
)
from fg3d_builder.config import BuildConfig, SensorConfig, SourceConfig, load_preset
from fg3d_builder.config.presets import digest
from fg3d_builder.errors import CaptureError
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.files.hashes import sha256
from fg3d_builder.files.mesh_io import TexturedMesh
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.fullview.views import ViewCamera
from fg3d_builder.geometry.meshes import vertex_normals
from fg3d_builder.heads.cache import code_digest
from fg3d_builder.landmarks import open_detector
from fg3d_builder.landmarks.detector import LandmarkDetector
from fg3d_builder.pipeline.register import register_capture
from fg3d_builder.records import Array, Capture, CoarseFit, Registration
from fg3d_builder.rendering.rasterizer import interpolate, rasterize, visible_vertices
from fg3d_builder.rendering.shading import Light, srgb_from_linear
from fg3d_builder.testsets.setup import mesh_digest, model_digest

FOLDER = Path("build/bench/turned")

REPORTED_HEADS = (
    *("AIAN_F_1", "AIAN_M_1", "Asian_F_1", "Asian_F_3"),
    *("Asian_M_2", "Black_F_1", "Black_F_3", "Black_M_2"),
)
"""The heads whose figures are stated: the first eight by name. Nothing is tuned on them."""

REPORTED, OTHERS = "heads", "other heads"
SYNTHETIC, SCANS, SVEN, DEMO = "synthetic", "scans", "sven", "demo"

MAKERS = (
    *("captures", "facemodel", "files", "fitting", "geometry", "heads", "landmarks", "numerics"),
    *("occlusion", "pipeline/register.py", "pipeline/working.py", "registration", "rendering"),
)
"""Folders and modules whose code decides what a registration and a true picture are."""

OWN_MAKERS = ("turned_heads.py", "turned_reference.py")
"""Modules beside this one that count as well."""


class TruePicture(NamedTuple):
    """A head seen by the camera of a view.

    Attributes
    ----------
    rgb : (S, S, 3) uint8
        Black where the head is not.
    coverage : (S, S) float32
        Share of each pixel that the head covers.
    exposed : (S, S) bool
        Shows what the capture does not.
    """

    rgb: Array
    coverage: Array
    exposed: Array


class TrueHead(Protocol):
    """A head whose surface and colours are known, in the camera frame of its capture."""

    def surface(self) -> tuple[Array, Array]:
        """Return vertices (v, 3), camera frame, mm, and triangles (t, 3)."""

    def picture(self, camera: ViewCamera) -> TruePicture:
        """Render what the camera sees."""


@dataclasses.dataclass(frozen=True)
class LitHead:
    """A synthetic head under its light, which turns with it as the camera moves.

    Attributes
    ----------
    vertices_cam_mm, normals_cam : (n, 3) float
    triangles : (t, 3) int
    albedo : (n, 3) float
        Linear RGB.
    light : Light
    seen : (n,) bool
        Vertices that the capture shows.
    """

    vertices_cam_mm: Array
    normals_cam: Array
    triangles: Array
    albedo: Array
    light: Light
    seen: Array

    @classmethod
    def of(cls, subject: Subject, scene: Scene, capture: Capture) -> LitHead:
        """Take a synthetic capture's head; only faces without expression are known so far."""
        if scene.weights:
            raise ValueError(f"{capture.capture_id}: an expression")
        shape = subject.head.shape(np.zeros(len(subject.action_names)))
        vertices, triangles, albedo = whole_head(subject, shape)
        cam = scene.pose.cam_from_obj(vertices)
        normals = seamless_normals(vertices, triangles) @ scene.pose.rotation.T
        known = capture.truth
        assert known is not None
        seen = np.concatenate([known.visible, np.ones(len(vertices) - len(shape), bool)])
        return cls(cam, normals, triangles, albedo, scene.light, seen)

    def surface(self) -> tuple[Array, Array]:
        """Return vertices and triangles of face and surroundings."""
        return self.vertices_cam_mm, self.triangles

    def picture(self, camera: ViewCamera) -> TruePicture:
        """Render the head with smooth shading."""
        turned = camera.view_from_cam(self.vertices_cam_mm)
        light = dataclasses.replace(self.light, direction=camera.rotation @ self.light.direction)
        color, coverage = shaded(
            turned,
            self.triangles,
            self.albedo,
            self.normals_cam @ camera.rotation.T,
            camera.intrinsics,
            light,
            (camera.size, camera.size),
        )
        exposed = newly_exposed(turned, self.triangles, self.seen, camera)
        return TruePicture(srgb_from_linear(color), coverage.astype(np.float32), exposed)


@dataclasses.dataclass(frozen=True)
class ScannedHead:
    """A textured mesh, lit as its texture is.

    Attributes
    ----------
    file : Path
    config : SourceConfig
        Of the source that shows it, its ``unit_mm`` known.
    """

    file: Path
    config: SourceConfig

    @cached_property
    def _mesh(self) -> TexturedMesh:
        return read_scan(self.file)

    @cached_property
    def _cam(self) -> Array:
        pose, _ = scan_camera(self.config, self.config.views[0], self._mesh)
        return np.asarray(pose.cam_from_obj(self._mesh.vertices))

    @cached_property
    def _seen(self) -> Array:
        """(n,) bool: vertices that lie on the first surface of the capture."""
        _, intrinsics = scan_camera(self.config, self.config.views[0], self._mesh)
        normals = vertex_normals(self._cam, self._mesh.triangles)
        size = self.config.image_size
        return visible_vertices(self._cam, self._mesh.triangles, normals, intrinsics, *size)

    def surface(self) -> tuple[Array, Array]:
        """Return vertices and triangles of all of the scan's parts."""
        return self._cam, self._mesh.triangles

    def picture(self, camera: ViewCamera) -> TruePicture:
        """Render the scan."""
        turned = camera.view_from_cam(self._cam)
        view = view_scan(self._mesh, turned, camera.intrinsics, camera.size, camera.size)
        exposed = newly_exposed(turned, self._mesh.triangles, self._seen, camera)
        rgb = srgb_from_linear(view.rgb_linear)
        return TruePicture(rgb, view.coverage.astype(np.float32), exposed)


@dataclasses.dataclass(frozen=True)
class Frontal:
    """A registered capture that can be turned.

    Attributes
    ----------
    kind : str
        The set that it belongs to.
    capture : Capture
    registration : Registration
    initial : CoarseFit
        From landmarks alone: crops are cut around it.
    head : TrueHead or None
        None where nobody knows how the turned head looks.
    """

    kind: str
    capture: Capture
    registration: Registration
    initial: CoarseFit
    head: TrueHead | None


class Frontals:
    """Reads, registers and keeps captures to turn.

    Parameters
    ----------
    model : FaceModel
    data : Path
        Folder of the real data.
    folder : Path
        Where results are kept.

    Attributes
    ----------
    failed : dict of str to str
        By capture: why it could not be registered.
    """

    def __init__(self, model: FaceModel, data: Path, folder: Path = FOLDER) -> None:
        self._model = model
        self._data = data
        self._build = BuildConfig()
        settings = digest(self._build.landmarks, self._build.fit, self._build.registration)
        own = [code_digest(Path(__file__).with_name(name)) for name in OWN_MAKERS]
        self._kept = Kept(folder, model_digest(model), code_behind(MAKERS), settings, *own)
        self.failed: dict[str, str] = {}

    @cached_property
    def _detector(self) -> LandmarkDetector:
        return open_detector(self._build.landmarks)

    def head_names(self) -> list[str]:
        """List the textured heads by name."""
        return sorted(f.name for f in (self._data / "heads").iterdir() if f.is_dir())

    def heads(self, names: Sequence[str]) -> Iterator[Frontal]:
        """Yield frontal renderings of textured heads."""
        for name in names:
            kind = REPORTED if name in REPORTED_HEADS else OTHERS
            yield from self._scanned(kind, self._data / "heads" / name)

    def scans(self) -> Iterator[Frontal]:
        """Yield frontal renderings of textured scans of people."""
        for folder in sorted(f for f in (self._data / "scans").iterdir() if f.is_dir()):
            yield from self._scanned(SCANS, folder)

    def synthetic(self, subjects: int, seed: int) -> Iterator[Frontal]:
        """Yield neutral captures of synthetic heads, nearly frontal, with a sensor's noise."""
        config = SourceConfig(
            subjects=subjects,
            captures_per_subject=1,
            seed=seed,
            max_yaw_deg=5.0,
            max_pitch_deg=5.0,
            sensor=SensorConfig(kind="structured_light", seed=7),
        )
        yield from self._rendered(SYNTHETIC, config)

    def demo(self) -> Iterator[Frontal]:
        """Yield the neutral captures of the demo's subjects."""
        for source in load_preset("tasks/demo.toml").sources:
            yield from self._rendered(DEMO, source)

    def sven(self) -> Iterator[Frontal]:
        """Yield the frames of a phone's depth camera."""
        config = SourceConfig(kind="folder", path=str(self._data / "captures"))
        source = open_source(config)
        for entry in source.entries():

            def load(entry: CaptureEntry = entry) -> tuple[Capture, TrueHead | None]:
                return source.load(entry), None

            files = sorted(Path(entry.location).iterdir())
            yield from self._frontal(SVEN, entry.capture_id, [], load, files)

    def _scanned(self, kind: str, folder: Path) -> Iterator[Frontal]:
        config = SourceConfig(kind="scan", path=str(folder), unit_mm=0.0)
        source = open_source(config)
        (entry,) = source.entries()
        file = Path(entry.location)

        def load() -> tuple[Capture, TrueHead]:
            unit_mm = scan_unit_mm(read_scan(file), folder.name)
            return source.load(entry), ScannedHead(
                file, dataclasses.replace(config, unit_mm=unit_mm)
            )

        facts = [str(file.resolve()), mesh_digest(file), digest(config)]
        yield from self._frontal(kind, entry.capture_id, facts, load)

    def _rendered(self, kind: str, config: SourceConfig) -> Iterator[Frontal]:
        source = SyntheticSource(config)
        # A subject's first capture is neutral.
        for entry in source.entries()[:: config.captures_per_subject]:

            def load(entry: CaptureEntry = entry) -> tuple[Capture, TrueHead]:
                subject, scene = source.scene(entry)
                names = (entry.capture_id, entry.subject_id)
                capture = render_capture(config, subject, scene, *names)
                return capture, LitHead.of(subject, scene, capture)

            yield from self._frontal(kind, entry.capture_id, [digest(config)], load)

    def _frontal(
        self,
        kind: str,
        name: str,
        facts: list[str],
        load: Callable[[], tuple[Capture, TrueHead | None]],
        files: Sequence[Path] = (),
    ) -> Iterator[Frontal]:
        """Yield a capture with its registration; one that fails is named and left out."""

        def made() -> Frontal:
            capture, head = load()
            found = register_capture(self._model, capture, self._build, detector=self._detector)
            initial = fit_landmarks(
                self._model, found.landmarks, capture.intrinsics, self._build.fit
            )
            return Frontal(kind, capture, found.registration, initial, head)

        try:
            yield self._kept.get(f"{kind}-{name}", [kind, name, *facts], made, files)
        except CaptureError as error:
            self.failed[name] = f"{error.code}: {error.message}"
            print(f"{name}: {error.code}: {error.message}", flush=True)

    def picture(self, frontal: Frontal, camera: ViewCamera) -> TruePicture:
        """Return the true picture of a frontal capture's head, kept like the captures."""
        head = frontal.head
        if head is None:
            raise ValueError(f"{frontal.capture.capture_id}: its turned head is not known")
        name = f"{frontal.kind}-{frontal.capture.capture_id}-picture"
        return self._kept.get(name, self._seen_from(frontal, camera), lambda: head.picture(camera))

    def reference(self, frontal: Frontal, camera: ViewCamera) -> Array:
        """Return what `kept_pixels` makes of the true surface, (S, S, 3) uint8, kept too."""
        head = frontal.head
        if head is None:
            raise ValueError(f"{frontal.capture.capture_id}: its surface is not known")
        name = f"{frontal.kind}-{frontal.capture.capture_id}-reference"
        return self._kept.get(
            name,
            self._seen_from(frontal, camera),
            lambda: kept_pixels(frontal.capture, *head.surface(), camera),
        )

    def _seen_from(self, frontal: Frontal, camera: ViewCamera) -> list[str]:
        """What a picture depends on."""
        numbers = np.concatenate(
            [camera.rotation.ravel(), camera.translation_mm, camera.intrinsics.ravel()]
        )
        capture = np.ascontiguousarray(frontal.capture.rgb)
        return [sha256(numbers.tobytes()), str(camera.size), sha256(capture.data)]


def newly_exposed(turned: Array, triangles: Array, seen: Array, camera: ViewCamera) -> Array:
    """(S, S) bool: surface of a turned mesh whose vertices the capture did not see."""
    size = camera.size
    fragments = rasterize(turned, triangles, camera.intrinsics, size, size)
    share = interpolate(fragments, triangles, seen[:, None].astype(float))[..., 0]
    return np.asarray((fragments.triangle >= 0) & (share < 0.5))
