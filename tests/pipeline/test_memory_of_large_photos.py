"""A photo of twelve megapixels takes little more memory than a small one, in every stage."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from fg3d_builder.captures.folder import write_capture
from fg3d_builder.captures.opening import open_source
from fg3d_builder.config import SourceConfig
from fg3d_builder.geometry.camera import scaled_intrinsics
from fg3d_builder.records import Capture

MOST_MORE_MB = 220.0
"""Of these, 80 are the capture itself, and 120 the picture and its backdrop at all sizes."""

STAGES = """
import sys
from pathlib import Path
from fg3d_builder.captures.folder import read_capture
from fg3d_builder.config import BuildConfig, FullViewConfig
from fg3d_builder.heads.library import get_model
from fg3d_builder.pipeline.augmentation import ChunkInput, PreparedCapture, make_views
from fg3d_builder.pipeline.augmentation_report import draw_views
from fg3d_builder.pipeline.stages import detect_landmarks, fit_coarse, register_all
from fg3d_builder.report.sheets import capture_sheet

config = BuildConfig(fullview=FullViewConfig(yaw_steps_deg=(30.0,), pitch_steps_deg=()))
model = get_model(config.facemodel)
captures = {"a": read_capture(Path(sys.argv[1]))}
landmarks = detect_landmarks(captures, config.landmarks).records
fits = fit_coarse(model, captures, landmarks, config.fit).records
found = register_all(model, captures, landmarks, fits, config.registration).records
chunk = ChunkInput(captures, landmarks, fits, found)
assert len(make_views(model, chunk, config).records) == 1
draw_views(PreparedCapture(model, captures["a"], found["a"], config), fits["a"].initial)
capture_sheet(model, captures["a"], landmarks["a"], fits["a"].coarse, found["a"])
# Not getrusage: its peak counts the process that started this one as well.
status = Path("/proc/self/status").read_text()
print(float(status.split("VmHWM:")[1].split()[0]) / 1024.0)
"""


def enlarged(capture: Capture, factor: int) -> Capture:
    """Return the same picture in more pixels, as phones hand it out."""
    size = (capture.rgb.shape[1] * factor, capture.rgb.shape[0] * factor)
    return Capture(
        capture_id="a",
        subject_id="a",
        source="folder",
        rgb=np.asarray(cv2.resize(capture.rgb, size, interpolation=cv2.INTER_CUBIC)),
        depth_mm=np.asarray(
            cv2.resize(capture.depth_mm, size, interpolation=cv2.INTER_NEAREST), np.float32
        ),
        intrinsics=scaled_intrinsics(capture.intrinsics, factor),
    )


def peak_mb(folder: Path) -> float:
    """Peak memory of a process that does everything that a build does with one capture."""
    done = subprocess.run(
        [sys.executable, "-c", STAGES, str(folder)], capture_output=True, text=True, check=True
    )
    return float(done.stdout.split()[-1])


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="needs Linux's /proc")
def test_twelve_megapixels_take_little_more_memory(tmp_path: Path) -> None:
    source = open_source(
        SourceConfig(subjects=1, captures_per_subject=1, image_size=(320, 240), focal_px=450.0)
    )
    capture = source.load(source.entries()[0])
    peaks = []
    for factor in (2, 12):
        write_capture(tmp_path / f"times-{factor}", enlarged(capture, factor))
        peaks.append(peak_mb(tmp_path / f"times-{factor}"))
    assert peaks[1] - peaks[0] < MOST_MORE_MB, peaks
