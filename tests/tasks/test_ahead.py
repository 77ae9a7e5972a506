"""What is imported before processes are forked can be forked."""

from __future__ import annotations

import subprocess
import sys

PROGRAM = """
import sys, psutil
from fg3d_builder.config import LandmarkConfig
from fg3d_builder.tasks.ahead import import_ahead
import fg3d_builder.tasks
threads = psutil.Process().num_threads()
import_ahead(LandmarkConfig("annotation"))
assert "mediapipe" not in sys.modules
import_ahead(LandmarkConfig("mediapipe"))
assert "mediapipe" in sys.modules
assert psutil.Process().num_threads() == threads
before = set(sys.modules)
from mediapipe.python.solutions.face_mesh import FaceMesh
assert set(sys.modules) == before
"""


def test_importing_a_detector_starts_no_thread_and_leaves_nothing_to_import() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
