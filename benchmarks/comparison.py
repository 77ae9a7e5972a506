"""One capture made ready for every method, and each method run in a process of its own."""

from __future__ import annotations

import dataclasses
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from fg3d_builder.config import BuildConfig, FaceModelConfig, FitConfig, RegistrationConfig
from fg3d_builder.facemodel import FaceModel
from fg3d_builder.records import Array, Capture, CoarseFit, Landmarks

if TYPE_CHECKING:
    # Ours is measured in a process of its own, which has no need of what the public methods import.
    from benchmarks.peers import PeerTask

REPEATS = 3
"""Ours takes seconds: one run warms up compiled code, the median of this many counts."""


class Prepared(NamedTuple):
    """A capture with everything that the methods share.

    Attributes
    ----------
    model : FaceModelConfig
    capture, landmarks, coarse
        Input and result of the coarse fit with the default configuration.
    peer : PeerTask
        Starts from the coarse fit, so that only the nonrigid step differs.
    """

    model: FaceModelConfig
    capture: Capture
    landmarks: Landmarks
    coarse: CoarseFit
    peer: PeerTask


class OurTask(NamedTuple):
    """What our registration is given: what its users give it, without the public methods' task."""

    model: FaceModelConfig
    capture: Capture
    landmarks: Landmarks


class Result(NamedTuple):
    """(n, 3) vertices in the camera frame, processor seconds, and peak memory in MB."""

    vertices_cam_mm: Array
    seconds: float
    register_seconds: float
    peak_mb: float


def prepare(config: FaceModelConfig, model: FaceModel, capture: Capture) -> Prepared:
    """Detect landmarks, fit the 3DMM, triangulate the depth and lift the landmarks to it."""
    from benchmarks.peers import PeerTask
    from benchmarks.regions import INNER, inner_landmarks
    from fg3d_builder.config import LandmarkConfig
    from fg3d_builder.landmarks import open_detector
    from fg3d_builder.pipeline.register import fit_face
    from fg3d_builder.rendering.depth_surface import DepthSurface

    landmarks = open_detector(LandmarkConfig()).detect(capture)
    surface = DepthSurface.from_depth(capture.depth_mm, capture.intrinsics)
    coarse = fit_face(model, capture, landmarks, FitConfig(), surface)
    lifted, _, ok = surface.lookup(landmarks.points_px)
    points = inner_landmarks(model).subset(INNER[ok[INNER] & (landmarks.confidence[INNER] > 0)])
    peer = PeerTask(
        start_cam_mm=coarse.pose.cam_from_obj(coarse.shape_obj_mm),
        triangles=model.triangles,
        target_cam_mm=surface.vertices_cam_mm,
        target_triangles=surface.triangles,
        landmark_triangle=points.triangle,
        landmark_barycentric=points.barycentric,
        landmarks_cam_mm=lifted[points.point_index],
    )
    return Prepared(config, capture, landmarks, coarse, peer)


def without(*terms: str) -> RegistrationConfig:
    """Return the default registration with the weights of some terms zero throughout.

    Parameters
    ----------
    terms : "edge_weight" (`E_edge`, Eq. 9) or "contour_weight" (`E_cont`, Eq. 10)
    """
    default = RegistrationConfig()
    nothing: dict[str, Any] = dict.fromkeys(terms, 0.0)
    levels = tuple(dataclasses.replace(level, **nothing) for level in default.levels)
    return dataclasses.replace(default, levels=levels)


ABLATIONS: dict[str, Callable[[], RegistrationConfig]] = {
    "ours": RegistrationConfig,
    "ours without E_edge": lambda: without("edge_weight"),
    "ours without E_cont": lambda: without("contour_weight"),
    "ours without both": lambda: without("edge_weight", "contour_weight"),
}
REGISTRATIONS = {name: ABLATIONS[name] for name in ("ours", "ours without E_edge")}
"""What runs beside the public methods, on MediaPipe's landmarks: those have no outline, so
`E_cont` does nothing there."""

PEER_METHODS = ("trimesh amberg", "trimesh sumner")
METHODS = (*REGISTRATIONS, *PEER_METHODS)


def run_apart(method: str, prepared: Prepared, peer_start: str = "coarse") -> Result:
    """Run one of `METHODS` in a fresh single-threaded process, so that its memory is its own.

    Parameters
    ----------
    peer_start : "coarse" or "mean"
        Where the public methods start; see `benchmarks.peers.aligned_mean`.
    """
    threads = dict.fromkeys(
        ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"), "1"
    )
    peer = prepared.peer
    if method in PEER_METHODS and peer_start == "mean":
        from benchmarks.peers import aligned_mean
        from fg3d_builder.heads.library import get_model

        peer = aligned_mean(get_model(prepared.model).mean, peer)
    with tempfile.TemporaryDirectory() as folder:
        task, result = Path(folder) / "task.pickle", Path(folder) / "result.npz"
        # Everyone gets their own task alone: what is the others' does not count as their memory.
        ours = OurTask(prepared.model, prepared.capture, prepared.landmarks)
        task.write_bytes(pickle.dumps(peer if method in PEER_METHODS else ours))
        command = [sys.executable, "-m", "benchmarks.comparison", method, str(task), str(result)]
        subprocess.run(command, check=True, env={**os.environ, **threads})
        with np.load(result) as saved:
            timing = saved["seconds"]
            return Result(saved["vertices"], float(timing[0]), float(timing[1]), float(timing[2]))


def peak_memory_mb() -> float:
    """Peak resident memory of this program, MB (Linux).

    Not `getrusage`: its figure starts from the parent's memory at the time of the fork.
    """
    status = Path("/proc/self/status").read_text().splitlines()
    line = next(entry for entry in status if entry.startswith("VmHWM"))
    return float(line.split()[1]) / 1024


def _run_ours(method: str, task: OurTask) -> tuple[Array, float, float]:
    from fg3d_builder.heads.library import get_model
    from fg3d_builder.pipeline.register import register_capture

    model, config = get_model(task.model), BuildConfig(registration=REGISTRATIONS[method]())
    both, alone = [], []
    for _ in range(1 + REPEATS):
        found = register_capture(
            model,
            task.capture,
            config,
            landmarks=task.landmarks,
            clock=time.process_time,
        )
        both.append(sum(found.seconds.values()))
        alone.append(found.seconds["registration"])
    seconds = float(np.median(both[1:])), float(np.median(alone[1:]))
    return found.registration.vertices_cam_mm, *seconds


def _main() -> None:
    method, task_file, result_file = sys.argv[1:]
    task = pickle.loads(Path(task_file).read_bytes())
    if method in PEER_METHODS:
        from benchmarks.peers import PEERS

        start = time.process_time()
        vertices = PEERS[method](task)
        both = alone = time.process_time() - start
    else:
        vertices, both, alone = _run_ours(method, task)
    np.savez(result_file, vertices=vertices, seconds=[both, alone, peak_memory_mb()])


if __name__ == "__main__":
    _main()
