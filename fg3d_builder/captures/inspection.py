"""Looks at captures as a build does before it registers them: loaded, face found, depth checked."""

from __future__ import annotations

import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from multiprocessing import get_context

import numpy as np

from fg3d_builder.captures.opening import open_source
from fg3d_builder.captures.source import CaptureEntry, CaptureSource
from fg3d_builder.config import LandmarkConfig, SourceConfig
from fg3d_builder.errors import CaptureError, ConfigError, MissingDependencyError
from fg3d_builder.landmarks.background_plane import WALL_SHARE, wall_shares
from fg3d_builder.landmarks.checks import depth_share, face_hull
from fg3d_builder.landmarks.depth_checks import check_depth
from fg3d_builder.landmarks.detector import LandmarkDetector, open_detector
from fg3d_builder.landmarks.face_pose import face_angles_deg, face_distance_mm
from fg3d_builder.landmarks.face_size import face_size
from fg3d_builder.records import Array, Capture, Landmarks
from fg3d_builder.rendering.depth_noise import estimate_noise

_BATCH = 4
"""Captures that a process looks at before it hands them on; views of one scan stay together."""


@dataclass(frozen=True)
class FaceFigures:
    """What is seen of a face before anything is fitted to it; NaN where nothing can be told.

    Attributes
    ----------
    pitch_deg, yaw_deg : float
        See `fg3d_builder.geometry.pose`.
    distance_mm : float
        Along the camera's axis.
    width_mm : float
        From cheekbone to cheekbone, by the size of what lies between eyes, nose and mouth.
    extent_px : float
        Larger side of the landmarks' box.
    noise_mm : float
        Median standard deviation of the depth's pixels, see `estimate_noise`.
    depth_share : float
        Share of the face that has depth, in [0, 1].
    along_ray : bool, optional
        A wall behind the face is flat only if depth is along the ray (True), or along z (False).
    """

    pitch_deg: float
    yaw_deg: float
    distance_mm: float
    width_mm: float
    extent_px: float
    noise_mm: float
    depth_share: float
    along_ray: bool | None


@dataclass(frozen=True)
class Inspected:
    """What became of one capture.

    Attributes
    ----------
    entry : CaptureEntry
    width, height : int
        In pixels; 0 where it could not be loaded.
    depth_coverage : float
        Share of the pixels that have a depth, in [0, 1].
    expression : str
    unit_mm : float, optional
        As the capture declares it.
    face : FaceFigures, optional
        Where a face was found.
    error : CaptureError, optional
        Why it is rejected.
    sex : str
        As the capture states it.
    """

    entry: CaptureEntry
    width: int = 0
    height: int = 0
    depth_coverage: float = 0.0
    expression: str = ""
    unit_mm: float | None = None
    face: FaceFigures | None = None
    error: CaptureError | None = None
    sex: str = ""


@dataclass(frozen=True)
class Seen:
    """One capture with what was found in it, as far as it came.

    Attributes
    ----------
    inspected : Inspected
    capture : Capture, optional
        None where it could not be loaded.
    landmarks : Landmarks, optional
        None where no face was found.
    """

    inspected: Inspected
    capture: Capture | None = None
    landmarks: Landmarks | None = None


def inspect(source: CaptureSource, entry: CaptureEntry, detector: LandmarkDetector) -> Seen:
    """Load a capture, find its face and check its depth; what is wrong with it is in the result."""
    capture = landmarks = error = None
    try:
        capture = source.load(entry)
        landmarks = detector.detect(capture)
        check_depth(capture, landmarks)
    except CaptureError as problem:
        error = problem
    except (ConfigError, MissingDependencyError, MemoryError):
        raise
    except Exception as problem:  # a bug that one capture meets must not cost the others
        where = traceback.format_exc().rstrip().splitlines()[-3].strip()
        error = CaptureError("internal_error", f"{type(problem).__name__}: {problem} ({where})")
    if capture is None:
        return Seen(Inspected(entry, expression=entry.expression, error=error))
    height, width = capture.depth_mm.shape
    inspected = Inspected(
        entry,
        width,
        height,
        float(np.mean(np.isfinite(capture.depth_mm))),
        capture.expression,
        capture.unit_mm,
        None if landmarks is None else _figures(capture, landmarks),
        error,
        capture.sex,
    )
    return Seen(inspected, capture, landmarks)


def inspect_all(
    config: SourceConfig,
    entries: Sequence[CaptureEntry],
    landmarks: LandmarkConfig,
    workers: int = 1,
) -> Iterator[Inspected]:
    """Inspect captures of a source, in the order given.

    Parameters
    ----------
    config : SourceConfig
    entries : sequence of CaptureEntry
        Of that source.
    landmarks : LandmarkConfig
    workers : int
        Processes; with one, all is done in this one.
    """
    batches = _batches(entries)
    if workers <= 1 or len(batches) <= 1:
        source, detector = open_source(config), open_detector(landmarks)
        yield from (inspect(source, entry, detector).inspected for entry in entries)
        return
    # Fresh processes: a fork of one whose libraries have threads may hang.
    with ProcessPoolExecutor(min(workers, len(batches)), get_context("spawn")) as pool:
        waiting = [pool.submit(_inspect_batch, config, batch, landmarks) for batch in batches]
        try:
            for future in waiting:
                yield from future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def evenly(entries: Sequence[CaptureEntry], limit: int) -> list[CaptureEntry]:
    """Draw at most `limit` entries, evenly from the first to the last; 0 takes all."""
    count = len(entries)
    if limit <= 0 or count <= limit:
        return list(entries)
    return [entries[number * count // limit] for number in range(limit)]


@lru_cache(maxsize=1)
def _opened(config: SourceConfig) -> CaptureSource:
    return open_source(config)


@lru_cache(maxsize=1)
def _detector(config: LandmarkConfig) -> LandmarkDetector:
    return open_detector(config)


def _inspect_batch(
    config: SourceConfig, batch: Sequence[CaptureEntry], landmarks: LandmarkConfig
) -> list[Inspected]:
    source, detector = _opened(config), _detector(landmarks)
    return [inspect(source, entry, detector).inspected for entry in batch]


def _batches(entries: Sequence[CaptureEntry]) -> list[list[CaptureEntry]]:
    """Cut entries into batches; those of one file follow each other and stay together."""
    batches: list[list[CaptureEntry]] = []
    for entry in entries:
        last = batches[-1] if batches else []
        if last and (len(last) < _BATCH or last[-1].location == entry.location):
            last.append(entry)
        else:
            batches.append([entry])
    return batches


def _figures(capture: Capture, landmarks: Landmarks) -> FaceFigures | None:
    try:
        share = depth_share(capture, landmarks)
    except CaptureError:  # the landmarks are of no use; said by the checks
        return None
    known = landmarks.points_px[landmarks.confidence > 0]
    angles, size = face_angles_deg(capture, landmarks), face_size(capture, landmarks)
    distance = face_distance_mm(capture, landmarks)
    walls = wall_shares(capture, landmarks)
    along_ray = None
    if walls is not None and (walls.is_along_ray or walls.along_z >= WALL_SHARE):
        along_ray = walls.is_along_ray
    return FaceFigures(
        pitch_deg=angles[0] if angles else np.nan,
        yaw_deg=angles[1] if angles else np.nan,
        distance_mm=np.nan if distance is None else distance,
        width_mm=np.nan if size is None else size.width_mm,
        extent_px=float(np.ptp(known, axis=0).max()),
        noise_mm=_noise_mm(capture, face_hull(landmarks, *capture.depth_mm.shape)),
        depth_share=share,
        along_ray=along_ray,
    )


def _noise_mm(capture: Capture, face: Array) -> float:
    """Median noise within the face's mask."""
    row, column = np.nonzero(face)
    box = (slice(row.min(), row.max() + 1), slice(column.min(), column.max() + 1))
    noise = estimate_noise(capture.depth_mm[box])[face[box]]
    known = noise[np.isfinite(noise)]
    return float(np.median(known)) if len(known) else float("nan")
