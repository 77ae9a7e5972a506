"""What `fg3d predict` says of a photo that cannot be used: its file once, and why."""

from __future__ import annotations

from pathlib import Path

import pytest

from fg3d_builder.commands.prediction_files import Outcome
from fg3d_builder.errors import CaptureError

CAR = Path("photos/car.jpg")


@pytest.mark.parametrize(
    ("code", "message", "said"),
    [
        (
            "no_face",
            "MediaPipe finds no face in the colour image of capture car",
            "photos/car.jpg: no_face: MediaPipe finds no face in the colour image",
        ),
        (
            "no_annotation",
            "capture car has no annotated landmarks, which the detector 'annotation' needs",
            "photos/car.jpg: no_annotation: it has no annotated landmarks, which the detector "
            "'annotation' needs",
        ),
        (
            "missing_file",
            "photos/car.jpg does not exist",
            "missing_file: photos/car.jpg does not exist",
        ),
        (
            "unreadable_image",
            "photos/car.jpg: no image",
            "photos/car.jpg: unreadable_image: no image",
        ),
    ],
)
def test_a_photo_is_named_once(code: str, message: str, said: str) -> None:
    assert Outcome(CAR, Path("out/car"), error=CaptureError(code, message)).reason == said
    assert said.count("car") == 1


def test_a_photo_that_is_reconstructed_has_no_reason() -> None:
    assert Outcome(CAR, Path("out/car")).reason == ""
