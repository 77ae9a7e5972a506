"""MediaPipe's two networks: the face finder, and the landmarks of a face whose place is known.

Its Face Mesh runs both: it finds faces in a picture and marks each. Where a face is known, the
landmark network alone can be shown a rectangle around it, which may be turned: it samples the
rectangle at its own resolution of 192 pixels. That is a graph of one node, of MediaPipe's own.

No picture leaves a trace in the next one: nothing is tracked.
"""

from __future__ import annotations

import contextlib
import math
import os
import sys
import threading
from collections.abc import Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from fg3d_builder.errors import MissingDependencyError
from fg3d_builder.records import Array

_STDERR = threading.Lock()
_MAX_FACES = 4

_IN_RECTANGLE = """
executor { type: "ApplicationThreadExecutor" }
input_stream: "image"
input_stream: "rectangle"
input_side_packet: "with_attention"
output_stream: "landmarks"
node {
  calculator: "FaceLandmarkCpu"
  input_stream: "IMAGE:image"
  input_stream: "ROI:rectangle"
  input_side_packet: "WITH_ATTENTION:with_attention"
  output_stream: "LANDMARKS:landmarks"
}
"""

# How protocol buffers write a point: the lengths of it and, each after a tag, of x, y and z.
_POINT = np.dtype(
    [
        ("head", "u1", 2),
        ("tag_x", "u1"),
        ("x", "<f4"),
        ("tag_y", "u1"),
        ("y", "<f4"),
        ("z", "u1", 5),
    ]
)


class Rectangle(NamedTuple):
    """A square of an image that is shown to the landmark network.

    Attributes
    ----------
    centre_px : (2,) float64
    side_px : float
    angle : float
        Radians by which its x axis is turned towards the image's y axis.
    """

    centre_px: Array
    side_px: float
    angle: float


class FaceNetworks:
    """One set of networks; for one thread. Each is opened when it is first run.

    Parameters
    ----------
    min_confidence : float
        Least confidence of the face finder.
    """

    def __init__(self, min_confidence: float) -> None:
        self._min_confidence = min_confidence

    def faces(self, image: Array) -> list[Array]:
        """Find all faces of an image (H, W, 3) uint8.

        Returns
        -------
        list of (478, 2) float64
            Pixels, with pixel centres at integers.

        Raises
        ------
        MissingDependencyError
            MediaPipe is not installed.
        """
        with _silenced_stderr():
            result = self._mesh.process(np.ascontiguousarray(image))
        return [_points_px(face, image) for face in result.multi_face_landmarks or ()]

    def face_in(self, image: Array, rectangle: Rectangle) -> Array | None:
        """Return the points (478, 2) of the face in a rectangle, pixels; None where none is.

        Parameters
        ----------
        image : (H, W, 3) uint8
        rectangle : Rectangle
            May reach out of the image, which goes on there as its border pixels do.
        """
        with _silenced_stderr():
            found = self._in_rectangle.landmarks(image, rectangle)
        return None if found is None else _points_px(found, image)

    # Both are opened while their log is kept off the terminal.
    @cached_property
    def _mesh(self) -> Any:
        try:
            from mediapipe.python.solutions.face_mesh import FaceMesh
        except ImportError as error:
            raise MissingDependencyError(
                "landmarks: the detector 'mediapipe' needs the package mediapipe 0.10.21, "
                f"installed without its dependency pins ({error})"
            ) from error
        return FaceMesh(
            static_image_mode=True,
            refine_landmarks=True,
            max_num_faces=_MAX_FACES,
            min_detection_confidence=self._min_confidence,
        )

    @cached_property
    def _in_rectangle(self) -> _RectangleGraph:
        return _RectangleGraph()


class _RectangleGraph:
    """Runs `_IN_RECTANGLE`; times that rise by one are all that connects its runs."""

    def __init__(self) -> None:
        import mediapipe

        self._mediapipe = mediapipe
        self._graph = mediapipe.CalculatorGraph(graph_config=_IN_RECTANGLE)
        self._found: list[Any] = []
        self._runs = 0
        # Not a method of this object: the graph would hold it, and neither would ever be freed.
        found = self._found
        self._graph.observe_output_stream("landmarks", lambda _, packet: found.append(packet))
        self._graph.start_run({"with_attention": mediapipe.packet_creator.create_bool(True)})

    def landmarks(self, image: Array, rectangle: Rectangle) -> Any | None:
        """Return MediaPipe's own list of landmarks, None where the network sees no face."""
        from mediapipe.framework.formats.rect_pb2 import NormalizedRect

        creator, height, width = self._mediapipe.packet_creator, *image.shape[:2]
        frame = creator.create_image_frame(
            image_format=self._mediapipe.ImageFormat.SRGB, data=np.ascontiguousarray(image)
        )
        place = NormalizedRect(
            x_center=(rectangle.centre_px[0] + 0.5) / width,
            y_center=(rectangle.centre_px[1] + 0.5) / height,
            width=rectangle.side_px / width,
            height=rectangle.side_px / height,
            rotation=rectangle.angle,
        )
        self._found.clear()
        self._runs += 1
        self._graph.add_packet_to_input_stream("image", frame.at(self._runs))
        packet = creator.create_proto(place).at(self._runs)
        self._graph.add_packet_to_input_stream("rectangle", packet)
        self._graph.wait_until_idle()
        return self._mediapipe.packet_getter.get_proto(self._found[0]) if self._found else None


def rectangle_around(points_px: Array, share: float) -> Rectangle:
    """Return the square around a face (478, 2), upright as its eyes are.

    It is as large as the larger extent of the points along its axes, times `share`.
    """
    across = points_px[_LEFT_EYE] - points_px[_RIGHT_EYE]
    angle = math.atan2(across[1], across[0])
    axes = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    along = points_px @ axes.T
    low, high = along.min(axis=0), along.max(axis=0)
    return Rectangle((low + high) / 2 @ axes, share * float((high - low).max()), angle)


_RIGHT_EYE, _LEFT_EYE = 33, 263
"""Outer corners."""


def _points_px(face: Any, image: Array) -> Array:
    height, width = image.shape[:2]
    points = np.frombuffer(face.SerializeToString(), _POINT)
    if (points["tag_x"] != 13).any() or (points["tag_y"] != 21).any():
        raise RuntimeError("this version of MediaPipe writes its landmarks in another order")
    share = np.stack([points["x"], points["y"]], axis=1).astype(np.float64)
    return np.asarray(share * [width, height] - 0.5)


@contextlib.contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Keep the C++ library's log off the terminal; it obeys no setting before its start."""
    # Two threads at once could restore each other's closed terminal.
    with _STDERR:
        sys.stderr.flush()
        saved = os.dup(2)
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, 2)
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
            os.close(nowhere)
