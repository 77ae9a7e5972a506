"""Synthetic captures of a population of heads, with ground truth."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import open3d
from open3d.core import Tensor

from fg3d_builder.captures.background import random_background
from fg3d_builder.captures.fine_surface import fine_surface
from fg3d_builder.captures.scan import camera_of
from fg3d_builder.captures.sensor import apply_sensor, capture_generator
from fg3d_builder.captures.source import CaptureEntry
from fg3d_builder.captures.varied.clothes import hanging_clothes
from fg3d_builder.captures.varied.framing import draw_framing, reachable_distances_mm
from fg3d_builder.captures.varied.look import Look, draw_background, draw_look, lit_by_room
from fg3d_builder.captures.varied.worn import HeadSurface, Solid, joined
from fg3d_builder.config import SourceConfig
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.model import topology_hash
from fg3d_builder.geometry.camera import cam_from_depth, px_from_cam
from fg3d_builder.geometry.meshes import normalized, vertex_normals
from fg3d_builder.geometry.pose import rotation_from_angles
from fg3d_builder.records import Array, Capture, CaptureTruth, Pose
from fg3d_builder.rendering.rasterizer import rasterize
from fg3d_builder.rendering.shading import Light, phong, srgb_from_linear

if TYPE_CHECKING:
    from fg3d_builder.heads.blended import BlendedPopulation
    from fg3d_builder.heads.population import HeadPopulation, SyntheticHead

EXPRESSIONS: dict[str, dict[str, float]] = {
    "smile": {
        "mouthSmileLeft": 0.8,
        "mouthSmileRight": 0.8,
        "cheekSquintLeft": 0.5,
        "cheekSquintRight": 0.5,
    },
    "jaw_open": {"jawOpen": 0.45},
    "surprise": {
        "browInnerUp": 0.8,
        "browOuterUpLeft": 0.8,
        "browOuterUpRight": 0.8,
        "jawOpen": 0.25,
        "eyeWideLeft": 0.6,
        "eyeWideRight": 0.6,
    },
    "squint": {
        "eyeSquintLeft": 0.8,
        "eyeSquintRight": 0.8,
        "browDownLeft": 0.6,
        "browDownRight": 0.6,
    },
    "pucker": {"mouthPucker": 0.8},
    "frown": {
        "mouthFrownLeft": 0.8,
        "mouthFrownRight": 0.8,
        "browDownLeft": 0.7,
        "browDownRight": 0.7,
    },
    "one_sided_smile": {"mouthSmileLeft": 0.9, "mouthDimpleLeft": 0.4, "cheekSquintLeft": 0.5},
    "sneer": {
        "noseSneerLeft": 0.8,
        "noseSneerRight": 0.8,
        "mouthUpperUpLeft": 0.4,
        "mouthUpperUpRight": 0.4,
    },
}
"""Full weights of facial actions by expression tag; a capture shows 60 to 100 % of them."""

ROLL_SIGMA_DEG = 4.0
DISTANCE_JITTER = 0.08
OFF_AXIS = 0.05
"""Standard deviation of the face's place in the picture, as a part of its size."""
_OCCLUSION_TOLERANCE_MM = 0.2
_EMBEDDED_LICENCE = "CC0"


@dataclass(frozen=True)
class Subject:
    """A head of the population, with what all heads of the population share.

    Attributes
    ----------
    head : SyntheticHead
    triangles : (m, 3) int32
        Triangles of the face.
    topology_hash : str
    action_names : tuple of str
        Names of the facial actions, in the order of ``head.expression_offsets``.
    eyes : tuple of (k,) int64
        Vertices of the face on the left and on the right eye.
    hair_albedo : (3,) float64 or None
        Linear RGB of the hair; None for a bald head.
    licence : str
        Of what the head is made of.
    sex : str
        One of `records.SEXES`; ``""`` where the population does not say.
    """

    head: SyntheticHead
    triangles: Array
    topology_hash: str
    action_names: tuple[str, ...]
    eyes: tuple[Array, Array]
    hair_albedo: Array | None
    licence: str
    sex: str = ""


@dataclass(frozen=True)
class Scene:
    """Everything random about one capture, drawn from its own generator.

    Attributes
    ----------
    expression : str
    weights : dict of str to float
        Activations of facial actions.
    pose : Pose
    light : Light
        Light in the camera frame.
    background : (H, W, 3) float64
        Linear light.
    wall : (3,) float64 or None
        Flat wall behind the head: ``1 / z = wall . (x / z, y / z, 1)`` on it, per mm.
    image_noise : float
        Standard deviation of the noise at white, in linear light.
    intrinsics : (3, 3) float64
    look : Look or None
        What makes the capture varied; it takes the place of `light` and `image_noise`.
    """

    expression: str
    weights: dict[str, float]
    pose: Pose
    light: Light
    background: Array
    wall: Array | None
    image_noise: float
    intrinsics: Array
    look: Look | None = None


class SyntheticSource:
    """Subjects sampled from the embedded head population, each seen in several captures.

    Subject ``i`` of seed ``s`` is the same head whatever the number of subjects. Captures show
    expressions if the configuration asks for them, the first of a subject only where it need not be
    neutral.
    """

    name = "synthetic"

    def __init__(self, config: SourceConfig) -> None:
        for field in ("subjects", "captures_per_subject"):
            if getattr(config, field) < 1:
                raise ConfigError(f"sources.{field}: at least 1, found {getattr(config, field)}")
        if config.population != "default":
            _people(config.population)
        if config.variety.kind != "none":
            reachable_distances_mm(config)
        self._config = config
        self._last: tuple[int, HeadPopulation | BlendedPopulation, Subject] | None = None
        self._place = {
            f"synthetic-{config.seed}-{subject:05d}-{number:02d}": (subject, number)
            for subject in range(config.subjects)
            for number in range(config.captures_per_subject)
        }

    def entries(self) -> list[CaptureEntry]:
        """List subjects times captures."""
        return [
            CaptureEntry(
                capture_id,
                capture_id.rsplit("-", 1)[0],
                f"population seed {self._seed(subject)}",
                expression="" if shows_expression(self._config, number) else "neutral",
            )
            for capture_id, (subject, number) in sorted(self._place.items())
        ]

    def scene(self, entry: CaptureEntry) -> tuple[Subject, Scene]:
        """Draw who and what a capture shows; the same every time."""
        index, number = self._place[entry.capture_id]
        subject = self._subject(index)
        rng = capture_generator(self._config.seed, entry.capture_id, "scene")
        scene = draw_scene(self._config, subject, number, rng)
        if self._config.variety.kind != "none":
            rng = capture_generator(self._config.seed, entry.capture_id, "variety")
            scene = varied(self._config, subject, scene, rng)
        return subject, scene

    def load(self, entry: CaptureEntry) -> Capture:
        """Render one capture; never fails."""
        subject, scene = self.scene(entry)
        return render_capture(self._config, subject, scene, entry.capture_id, entry.subject_id)

    def _seed(self, index: int) -> int:
        return int(capture_generator(self._config.seed, str(index), "subject").integers(2**31))

    def _subject(self, index: int) -> Subject:
        """Captures of one subject come one after the other: keep the last head.

        The population's file may have changed since.
        """
        people = _people(self._config.population)
        if self._last is None or self._last[0] != index or self._last[1] is not people:
            subject = draw_subject(self._seed(index), self._config.population)
            self._last = (index, people, subject)
        return self._last[2]


def _people(name: str) -> HeadPopulation | BlendedPopulation:
    """Return who is drawn from; see `SourceConfig.population`."""
    from fg3d_builder.heads.blended import blended_population
    from fg3d_builder.heads.library import head_population

    return head_population() if name == "default" else blended_population(name)


def draw_subject(seed: int, people: str = "default") -> Subject:
    """Draw a head.

    Parameters
    ----------
    seed : int
    people : str
        See `SourceConfig.population`. The embedded ones are built and cached on first use.

    Raises
    ------
    ConfigError
        A file that is no blend.
    """
    from fg3d_builder.heads.blended import BlendedPopulation as Blend
    from fg3d_builder.heads.library import head_population

    population, drawn_from = head_population(), _people(people)
    head = drawn_from.subject(seed)
    licence, sex = _EMBEDDED_LICENCE, _embedded_sex(population, seed)
    if isinstance(drawn_from, Blend):
        licence = drawn_from.licence
        if not drawn_from.is_embedded(seed):
            sex = ""  # its face is of a model that does not tell the sex
    triangles = population.head.sheet_triangles
    eye, anatomy = population.head.eye, population.anatomy
    scalp = head.context_albedo[np.argmax(anatomy.context_hair_mm)]
    bare = (anatomy.context_hair_mm < -20.0) & (anatomy.context_cloth_mm < -10.0)
    bald = np.array_equal(scalp, head.context_albedo[np.argmax(bare)])
    return Subject(
        head,
        triangles,
        topology_hash(len(head.neutral_obj_mm), triangles),
        population.action_names,
        eyes=(np.flatnonzero(eye == 1), np.flatnonzero(eye == 2)),
        hair_albedo=None if bald else scalp,
        licence=licence,
        sex=sex,
    )


def _embedded_sex(people: HeadPopulation, seed: int) -> str:
    """Return the sex that a person's phenotype was drawn around, see `Macro.gender`."""
    phenotype, _, _ = people.neutral(seed)
    return "female" if phenotype.gender < 0.5 else "male"


def shows_expression(config: SourceConfig, number: int) -> bool:
    """Say whether a subject's capture `number` shows an expression."""
    return config.expressions and (number > 0 or not config.neutral_first)


def draw_scene(
    config: SourceConfig, subject: Subject, number: int, rng: np.random.Generator
) -> Scene:
    """Draw expression, pose, light and background of a subject's capture `number`."""
    expression, weights = "neutral", {}
    if shows_expression(config, number):
        expression = sorted(EXPRESSIONS)[rng.integers(len(EXPRESSIONS))]
        strength = rng.uniform(0.6, 1.0)
        weights = {n: strength * w for n, w in EXPRESSIONS[expression].items()}
    height, width = config.image_size
    return Scene(
        expression=expression,
        weights=weights,
        pose=_draw_pose(config, subject, rng),
        light=_draw_light(rng),
        background=random_background(height, width, rng),
        wall=_draw_wall(config.distance_mm, rng),
        image_noise=rng.uniform(0.002, 0.008),
        intrinsics=camera_of(config),
    )


def varied(config: SourceConfig, subject: Subject, scene: Scene, rng: np.random.Generator) -> Scene:
    """Return a scene with another camera, light, background, and with what the person wears."""
    framing = draw_framing(config, rng)
    rotation = scene.pose.rotation
    face = subject.head.neutral_obj_mm
    center = (face.min(axis=0) + face.max(axis=0)) / 2.0
    pose = Pose(1.0, rotation, framing.center_cam_mm - rotation @ center)
    shape = subject.head.shape(_activations(subject, scene.weights))
    vertices, triangles, _ = whole_head(subject, shape)
    eyes = np.stack([shape[own].mean(axis=0) for own in subject.eyes])
    surface = HeadSurface(vertices, triangles)
    look = draw_look(config.variety, surface, eyes, subject.hair_albedo, rng)
    return replace(
        scene,
        pose=pose,
        background=draw_background(config.variety, config.image_size, rng),
        wall=_draw_wall(framing.center_cam_mm[2], rng),
        intrinsics=framing.intrinsics,
        look=look,
    )


def render_capture(
    config: SourceConfig, subject: Subject, scene: Scene, capture_id: str, subject_id: str
) -> Capture:
    """Render a scene into a capture with its ground truth.

    `capture_id` and `subject_id` become the capture's; the former also seeds its image noise.
    """
    height, width = config.image_size
    intrinsics = scene.intrinsics
    shape = subject.head.shape(_activations(subject, scene.weights))
    solid = _posed(subject, shape, scene)
    depth = rasterize(solid.vertices_mm, solid.triangles, intrinsics, height, width).depth_mm
    rng = capture_generator(config.seed, capture_id, "image noise")
    rgb = _picture(solid, scene, config.image_size, rng)
    visible = _seen_vertices(*solid[:3], intrinsics, config.image_size)
    if scene.wall is not None:
        depth = np.where(
            np.isfinite(depth), depth, _wall_depth(scene.wall, intrinsics, depth.shape)
        )
    count = len(shape)
    return Capture(
        capture_id=capture_id,
        subject_id=subject_id,
        source=SyntheticSource.name,
        rgb=rgb,
        depth_mm=apply_sensor(depth, rgb, intrinsics, config.sensor, capture_id),
        intrinsics=intrinsics,
        expression=scene.expression,
        licence=subject.licence,
        sex=subject.sex,
        truth=CaptureTruth(
            topology_hash=subject.topology_hash,
            vertices_cam_mm=solid.vertices_mm[:count].astype(np.float32),
            shape_obj_mm=shape.astype(np.float32),
            pose=scene.pose,
            visible=visible[:count],
        ),
    )


def _posed(subject: Subject, shape: Array, scene: Scene) -> Solid:
    """Head, and what it wears, in the camera frame; the face's vertices come first."""
    vertices, triangles, albedo = whole_head(subject, shape)
    head = Solid(vertices, triangles, seamless_normals(vertices, triangles), albedo)
    worn: tuple[Solid, ...] = ()
    if scene.look is not None:
        worn = (hanging_clothes(vertices, triangles, albedo), *scene.look.worn)
    return joined([head, *worn]).in_camera(scene.pose)


def _picture(solid: Solid, scene: Scene, size: tuple[int, int], rng: np.random.Generator) -> Array:
    """(H, W, 3) uint8 of a scene."""
    if scene.look is not None:
        lenses = tuple(lens.in_camera(scene.pose) for lens in scene.look.lenses)
        linear = lit_by_room(
            scene.look.light, solid, lenses, scene.background, scene.intrinsics, rng
        )
        return scene.look.camera.picture(linear, rng)
    color, coverage = shaded(
        solid.vertices_mm,
        solid.triangles,
        solid.albedo,
        solid.normals,
        scene.intrinsics,
        scene.light,
        size,
    )
    linear = color + (1.0 - coverage[:, :, None]) * scene.background
    return srgb_from_linear(_with_noise(linear, scene.image_noise, rng))


def _activations(subject: Subject, weights: dict[str, float]) -> Array:
    if unknown := set(weights) - set(subject.action_names):
        raise ValueError(f"the population has no facial actions {', '.join(sorted(unknown))}")
    return np.array([weights.get(name, 0.0) for name in subject.action_names])


def _draw_pose(config: SourceConfig, subject: Subject, rng: np.random.Generator) -> Pose:
    pitch = rng.uniform(-config.max_pitch_deg, config.max_pitch_deg)
    yaw = rng.uniform(-config.max_yaw_deg, config.max_yaw_deg)
    rotation = rotation_from_angles(pitch, yaw, rng.normal(0.0, ROLL_SIGMA_DEG))
    distance = config.distance_mm * rng.uniform(1 - DISTANCE_JITTER, 1 + DISTANCE_JITTER)
    height, width = config.image_size
    aside = OFF_AXIS * rng.standard_normal(2) * (width, height) * distance / config.focal_px
    face = subject.head.neutral_obj_mm
    center = (face.min(axis=0) + face.max(axis=0)) / 2.0
    return Pose(1.0, rotation, np.array([*aside, distance]) - rotation @ center)


def _draw_light(rng: np.random.Generator) -> Light:
    """Draw a lamp or window in front of the face, and what the room adds."""
    side, height = np.radians(rng.uniform(-60, 60)), np.radians(rng.uniform(-10, 55))
    towards = (np.sin(side) * np.cos(height), -np.sin(height), -np.cos(side) * np.cos(height))
    exposure = rng.uniform(0.85, 1.25)
    ambient = rng.uniform(0.35, 0.65)
    # Warm light has more red and less blue; the camera's white balance removes most of it.
    warm = np.array([1.0, 0.0, -1.0])
    return Light(
        ambient=exposure * ambient * (1.0 + rng.normal(0.0, 0.03) * warm),
        directional=exposure * (1.1 - ambient) * (1.0 + rng.normal(0.0, 0.06) * warm),
        direction=np.array(towards),
        specular=rng.uniform(0.03, 0.12),
        shininess=rng.uniform(8.0, 25.0),
    )


def _draw_wall(face_mm: float, rng: np.random.Generator) -> Array | None:
    """Draw a wall behind a face at a distance of `face_mm`, or none."""
    distance = face_mm + rng.uniform(450.0, 1000.0)
    tilt = rng.normal(0.0, 0.15, size=2)
    return np.array([*tilt, 1.0]) / distance if rng.uniform() < 0.7 else None


def _wall_depth(wall: Array, intrinsics: Array, shape: tuple[int, ...]) -> Array:
    rays = cam_from_depth(np.ones(shape), intrinsics)
    inverse = rays @ wall
    return np.where(inverse > 0, 1.0 / np.maximum(inverse, 1e-9), np.nan).astype(np.float32)


def whole_head(subject: Subject, shape: Array) -> tuple[Array, Array, Array]:
    """Return vertices (object frame), triangles and albedo of face and surroundings together.

    `shape` is the face's, (n, 3) float, mm.
    """
    head = subject.head
    vertices = np.concatenate([shape, head.context_vertices_obj_mm])
    triangles = np.concatenate([subject.triangles, head.context_triangles + len(shape)])
    return vertices, triangles, np.concatenate([head.albedo, head.context_albedo])


def seamless_normals(vertices: Array, triangles: Array) -> Array:
    """Return (n, 3) vertex normals that are equal for vertices in one place.

    So the seam where face and context meet cannot be seen.
    """
    # One number for each place in steps of a micrometre: numbers are sorted faster than points.
    steps = np.rint(1e3 * vertices).astype(np.int64)
    steps -= steps.min(axis=0)
    key = np.ravel_multi_index(tuple(steps.T), tuple(steps.max(axis=0) + 1))
    _, place = np.unique(key, return_inverse=True)
    merged = np.zeros((place.max() + 1, 3))
    merged[place] = vertices
    return np.asarray(vertex_normals(merged, place[triangles])[place])


def shaded(
    vertices_cam: Array,
    triangles: Array,
    albedo: Array,
    normals: Array,
    intrinsics: Array,
    light: Light,
    size: tuple[int, int],
) -> tuple[Array, Array]:
    """Render smooth shading (Eq. 14), supersampled.

    Parameters
    ----------
    vertices_cam : (n, 3) float
    triangles : (m, 3) int
    albedo : (n, 3) float
        Linear RGB.
    normals : (n, 3) float
        In the camera frame.
    intrinsics : (3, 3) float
    light : Light
    size : (int, int)
        Height and width in pixels.

    Returns
    -------
    color : (H, W, 3) float64
        Linear light, premultiplied with the coverage.
    coverage : (H, W) float64
        Share of each pixel that the mesh covers.
    """
    attributes = np.hstack([albedo, normals, vertices_cam])
    surface = fine_surface(vertices_cam, triangles, attributes, intrinsics, size)
    normal, view = normalized(surface.values[:, 3:6]), normalized(-surface.values[:, 6:])
    return surface.picture(phong(surface.values[:, :3], normal, view, _single(light)), size)


def _single(light: Light) -> Light:
    """Return a light in single precision."""
    return replace(
        light,
        ambient=light.ambient.astype(np.float32),
        directional=light.directional.astype(np.float32),
        direction=light.direction.astype(np.float32),
    )


def _seen_vertices(
    vertices_cam: Array,
    triangles: Array,
    normals: Array,
    intrinsics: Array,
    size: tuple[int, int],
) -> Array:
    """(n,) bool: facing the camera, in the picture, and first on its own line of sight."""
    scene = open3d.t.geometry.RaycastingScene(nthreads=1)
    points = vertices_cam.astype(np.float32)
    scene.add_triangles(Tensor.from_numpy(points), Tensor.from_numpy(triangles.astype(np.uint32)))
    rays = Tensor.from_numpy(np.concatenate([np.zeros_like(points), points], axis=1))
    reached = scene.cast_rays(rays, nthreads=1)["t_hit"].numpy()
    free = (1.0 - reached) * np.linalg.norm(points, axis=1) < _OCCLUSION_TOLERANCE_MM
    facing = np.einsum("nd,nd->n", normals, vertices_cam) < 0
    column, row = np.nan_to_num(px_from_cam(vertices_cam, intrinsics), nan=-9.0).T
    inside = (column > -0.5) & (column < size[1] - 0.5) & (row > -0.5) & (row < size[0] - 0.5)
    return np.asarray(free & facing & inside)


def _with_noise(linear: Array, sigma: float, rng: np.random.Generator) -> Array:
    """Add photon noise: its variance grows with the light."""
    noise = rng.standard_normal(linear.shape)
    return np.asarray(linear + sigma * np.sqrt(np.maximum(linear, 0.0)) * noise)
