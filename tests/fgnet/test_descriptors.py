"""Oriented gradients of pictures: what they keep and what they do not."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from fg3d_builder.fgnet.descriptors import CELLS, DIRECTIONS, PICTURE_PX, described

SIDE = torch.linspace(-1.0, 1.0, PICTURE_PX)


def picture(values: Tensor) -> Tensor:
    """A grey picture (1, 1, 3, S, S) in [-1, 1] of values in [0, 1]."""
    return (2.0 * values - 1.0).expand(1, 1, 3, -1, -1)


def blob(x: float, y: float) -> Tensor:
    distance = (SIDE[None] - x).square() + (SIDE[:, None] - y).square()
    return 0.2 + 0.6 * torch.exp(-distance / 0.05)


def by_cell(pictures: Tensor) -> Tensor:
    return described(pictures).view(DIRECTIONS, CELLS, CELLS)


@pytest.mark.parametrize(("angle_deg", "strongest"), [(0.0, 0), (90.0, 2), (180.0, 4), (225.0, 5)])
def test_a_ramp_is_strongest_in_its_own_direction(angle_deg: float, strongest: int) -> None:
    angle = math.radians(angle_deg)
    ramp = SIDE[None] * math.cos(angle) + SIDE[:, None] * math.sin(angle)
    found = by_cell(picture(0.5 + 0.25 * ramp))[:, 4:12, 4:12].mean(dim=(1, 2))
    assert int(found.argmax()) == strongest
    opposite = (strongest + DIRECTIONS // 2) % DIRECTIONS
    assert found[opposite] < 0.1 * found[strongest]


def test_exposure_and_colour_hardly_matter() -> None:
    one = described(picture(blob(0.1, -0.2)))
    darker = described(picture(0.6 * blob(0.1, -0.2)))
    moved = described(picture(blob(0.25, -0.2)))
    assert (one - darker).norm() < 0.2 * (one - moved).norm()
    tinted = picture(blob(0.1, -0.2)) * torch.tensor([1.0, 1.0, 1.0]).view(3, 1, 1)
    torch.testing.assert_close(described(tinted), one)


def test_a_small_shift_is_a_small_change() -> None:
    pixel = 2.0 / PICTURE_PX
    one = described(picture(blob(0.0, 0.0)))
    changes = [
        float((described(picture(blob(k * pixel, 0.0))) - one).norm()) for k in (0.25, 0.5, 1.0)
    ]
    assert 0.0 < changes[0] < changes[1] < changes[2]
    assert changes[1] == pytest.approx(2.0 * changes[0], rel=0.15)  # a quarter of a pixel tells


def test_a_mirrored_picture_has_mirrored_descriptors() -> None:
    values = blob(0.2, 0.1) + 0.1 * SIDE[:, None]
    mirrored = by_cell(picture(values.flip(1))).flip(2)
    swap = [(DIRECTIONS // 2 - k) % DIRECTIONS for k in range(DIRECTIONS)]
    torch.testing.assert_close(mirrored[swap], by_cell(picture(values)), atol=1e-4, rtol=0)


def test_size_of_the_pictures_hardly_matters() -> None:
    large = torch.nn.functional.interpolate(
        picture(blob(0.1, 0.2))[0], (128, 128), mode="bilinear", align_corners=False
    )[None]
    one, other = described(picture(blob(0.1, 0.2))), described(large)
    assert (one - other).norm() < 0.1 * one.norm()


def test_pictures_follow_each_other() -> None:
    two = torch.cat([picture(blob(0.1, 0.0)), picture(blob(-0.3, 0.2))], dim=1)
    each = torch.cat([described(two[:, :1]), described(two[:, 1:])], dim=1)
    torch.testing.assert_close(described(two), each)
