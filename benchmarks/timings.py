"""Processor seconds per stage and capture, and the peak memory of the process.

`python -m benchmarks.timings` writes build/bench/timings.json with the machine's description.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import resource
import statistics
import time
from pathlib import Path
from typing import Any

from fg3d_builder.captures import open_source
from fg3d_builder.config import (
    BuildConfig,
    FaceModelConfig,
    FitConfig,
    LandmarkConfig,
    SensorConfig,
    SourceConfig,
)
from fg3d_builder.fitting.landmark_fit import fit_landmarks
from fg3d_builder.heads.library import get_model
from fg3d_builder.landmarks import open_detector
from fg3d_builder.pipeline.register import register_capture

STEP_LABELS = {
    "surface": "depth surface",
    "fitting": "3DMM fit, depth",
    "registration": "registration",
}


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    names = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((n.split(":")[1].strip() for n in names if n.startswith("model name")), "unknown")
    return {
        "processor": model,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "blas_threads": os.environ.get("OPENBLAS_NUM_THREADS", "unset"),
    }


def main() -> None:
    """Time each stage over a few synthetic captures; the first capture warms up."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--captures", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("build/bench/timings.json"))
    arguments = parser.parse_args()
    source = open_source(
        SourceConfig(
            subjects=arguments.captures + 1,
            captures_per_subject=1,
            seed=7_000,
            sensor=SensorConfig(kind="structured_light", seed=7),
        )
    )
    model, detector = get_model(FaceModelConfig()), open_detector(LandmarkConfig())
    seconds: dict[str, list[float]] = {}
    clock = time.process_time

    def lap(stage: str, start: float) -> float:
        seconds.setdefault(stage, []).append(clock() - start)
        return clock()

    for entry in source.entries():
        now = clock()
        capture = source.load(entry)
        now = lap("capture (render + noise)", now)
        landmarks = detector.detect(capture)
        now = lap("landmarks", now)
        fit_landmarks(model, landmarks, capture.intrinsics, FitConfig())
        lap("3DMM fit, landmarks", now)
        found = register_capture(model, capture, BuildConfig(), landmarks=landmarks, clock=clock)
        for step, took in found.seconds.items():
            seconds.setdefault(STEP_LABELS[step], []).append(took)

    medians = {stage: statistics.median(values[1:]) for stage, values in seconds.items()}
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    result = {"machine": machine(), "median_seconds": medians, "peak_memory_mb": peak_mb}
    arguments.out.parent.mkdir(parents=True, exist_ok=True)
    arguments.out.write_text(json.dumps(result, indent=1))
    for stage, value in medians.items():
        print(f"{stage:28s} {value * 1000:8.1f} ms")
    print(f"{'peak memory':28s} {peak_mb:8.0f} MB")


if __name__ == "__main__":
    main()
