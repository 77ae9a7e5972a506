"""Base of the detectors with neural networks: late loading, one set per process, no face."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from typing import Any

from fg3d_builder.errors import CaptureError
from fg3d_builder.records import Array, Capture, Landmarks


class NetworkDetector(ABC):
    """A detector that opens its networks with the first image.

    Networks do not survive a fork, nor should two threads share one: each process and thread
    that uses a detector opens its own. Pickling leaves them behind. A process is to be forked
    before any network of MediaPipe has run in it: its library ends those forked later as they look.
    """

    name: str
    scheme: str
    title: str
    """The detector's name in messages."""

    def __init__(self) -> None:
        self._networks: Any = None
        self._owner = (0, 0)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_networks": None}

    def detect(self, capture: Capture) -> Landmarks:
        """Return the landmarks of the largest face.

        Raises
        ------
        CaptureError
            ``"no_face"``.
        MissingDependencyError
            The package or its weights are absent; the message names the file and its place.
        """
        found = self.detect_image(capture.rgb)
        if found is None:
            raise CaptureError(
                "no_face",
                f"{self.title} finds no face in the colour image of capture {capture.capture_id}",
            )
        return found

    @abstractmethod
    def detect_image(self, rgb: Array) -> Landmarks | None:
        """Return the landmarks of the largest face in an image (H, W, 3) uint8, or None."""

    def networks(self) -> Any:
        """Return this process's and thread's own networks."""
        owner = (os.getpid(), threading.get_ident())
        if self._networks is None or self._owner != owner:
            self._networks, self._owner = self._open(), owner
        return self._networks

    @abstractmethod
    def _open(self) -> Any:
        """Load the networks."""
