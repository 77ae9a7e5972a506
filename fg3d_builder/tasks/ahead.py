"""What a build imports before it starts processes, so that not each of them has to."""

from __future__ import annotations

import importlib
from contextlib import suppress

from fg3d_builder.config import LandmarkConfig

_LATE = {"mediapipe": "mediapipe.python.solutions.face_mesh"}
"""By the name of a detector, the module that it imports when it is opened. None of them starts a
thread by being imported: processes can be forked afterwards."""


def import_ahead(landmarks: LandmarkConfig) -> None:
    """Import what the tasks of a build import late.

    Luigi forks a process for every task. Half a second of each that looks for landmarks went into
    importing MediaPipe: more than the landmarks of a chunk took.
    """
    module = _LATE.get(landmarks.detector)
    if module is not None:
        with suppress(ImportError):  # the task that needs it says what is missing
            importlib.import_module(module)
