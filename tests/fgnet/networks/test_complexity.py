"""Counts against counting by hand."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from fg3d_builder.fgnet.networks.architectures import PRESETS, NetworkConfig, build_network
from fg3d_builder.fgnet.networks.complexity import (
    complexity,
    multiply_adds,
    table,
    variants,
    widened,
    with_shape_maps,
)


def test_a_small_stack_counted_by_hand() -> None:
    stack = nn.Sequential(
        nn.Conv2d(3, 8, 3, padding=1), nn.ConvTranspose2d(8, 4, 4, stride=2, padding=1)
    )
    by_hand = 16 * 16 * 8 * 3 * 9 + 16 * 16 * 8 * 4 * 16
    assert multiply_adds(stack, torch.zeros(1, 3, 16, 16)) == by_hand


def test_a_network_counted_by_hand() -> None:
    """One view, one level, width w, in c = 6: all convolutions written out."""
    w, s = 4, 8
    found = complexity(NetworkConfig("cvn", size=s, base_channels=w, levels=1))
    full, half = s * s, s * s // 4
    # (multiply-adds per place, places) of each convolution, in order.
    convolutions = [
        (6 * w * 9, full),  # stem
        (w * w, full), (w * w * 16, half), (w * 2 * w, half), (w * 2 * w, half),  # halving
        (2 * w * w, half), (w * w * 9, half), (w * 2 * w, half),  # second block
        (2 * w * 2 * w * 9, half),  # bottleneck
        (2 * w * w * 16, half), (w * w * 9, full),  # doubling, and one unit more
        (w * 3 * 9, full),  # output
    ]  # fmt: skip
    assert found.multiply_adds == sum(cost * places for cost, places in convolutions)
    normalised = [w, w, w, 2 * w, w, w, 2 * w, 2 * w, w, w]
    assert found.parameters == sum(c for c, _ in convolutions) + 2 * sum(normalised) + 3


def test_views_cost_one_encoder_each() -> None:
    """Encoders share their weights: seven views need those of one, and seven times the work."""
    one, seven = (
        complexity(NetworkConfig(size=64, base_channels=8, levels=3, view_set=v)) for v in "17"
    )
    network = build_network(one.config)
    encoder = multiply_adds(network.hourglass.encoder, torch.zeros(1, 3, 64, 64))
    decoder = one.multiply_adds - encoder
    assert seven.multiply_adds - 7 * encoder > decoder
    widths = network.hourglass.encoder.channels
    more = sum(7 * c * c + c for c in widths[:-1]) + 6 * 9 * widths[-1] ** 2
    assert seven.parameters - one.parameters == more


def test_the_shape_costs_an_encoder_and_a_view_more_to_fuse() -> None:
    plain = NetworkConfig(size=64, base_channels=8, levels=3)
    found, with_shape = (
        complexity(plain),
        complexity(NetworkConfig(**{**vars(plain), "shape_map": True})),
    )
    encoder = build_network(plain).hourglass.encoder
    widths = encoder.channels
    fused = [w * w for w in widths[:-1]] + [9 * widths[-1] ** 2]
    own = sum(p.numel() for p in encoder.parameters())  # the images have three channels, too
    assert with_shape.parameters - found.parameters == own + sum(fused)
    places = [(64 >> level) ** 2 for level in range(4)]
    work = multiply_adds(encoder, torch.zeros(1, 3, 64, 64))
    work += sum(c * p for c, p in zip(fused, places, strict=True))
    assert with_shape.multiply_adds - found.multiply_adds == work


def test_mvn_takes_the_shape_into_its_first_convolution() -> None:
    plain = NetworkConfig("mvn", size=64, base_channels=8, levels=3)
    found, with_shape = (
        complexity(plain),
        complexity(NetworkConfig(**{**vars(plain), "shape_map": True})),
    )
    assert with_shape.parameters - found.parameters == 3 * 8 * 9


@pytest.mark.parametrize("preset", list(PRESETS))
def test_presets_end_in_their_bottleneck_and_stay_within_their_size(preset: str) -> None:
    config = PRESETS[preset]
    wanted = {"tiny": 4, "small": 4, "paper": 8}[preset]
    assert config.size >> (config.levels + config.folds) == wanted
    bound = {"tiny": (1.5e6, 0.1e9), "small": (6e6, 2e9), "paper": (25e6, 10e9)}[preset]
    found = complexity(config)
    assert found.parameters < bound[0]
    assert found.multiply_adds < bound[1]


def test_every_network_of_the_paper_is_listed_once() -> None:
    listed = variants("tiny")
    assert len(set(listed)) == len(listed) == 2 + 5 + 2


@pytest.mark.parametrize("preset", list(PRESETS))
def test_mvn_can_be_as_large_as_vmn(preset: str) -> None:
    wide = with_shape_maps(preset)[-1]
    wanted = complexity(PRESETS[preset]).parameters
    assert (wide.network, wide.shape_map) == ("mvn", True)
    assert complexity(wide).parameters == pytest.approx(wanted, rel=0.04)
    narrow = complexity(with_shape_maps(preset)[1]).parameters
    assert narrow == pytest.approx(wanted / 2, rel=0.02)


def test_a_network_that_has_the_parameters_keeps_its_width() -> None:
    config = PRESETS["tiny"]
    assert widened(config, complexity(config).parameters) == config


def test_the_table_says_what_was_counted() -> None:
    config = PRESETS["tiny"]
    found = complexity(config)
    row = table([config]).splitlines()[2]
    assert row == (
        f"| VMN | 5 | convolve then warp | - | 64 | 32 | 16 | {found.parameters / 1e6:.2f} "
        f"| {found.multiply_adds / 1e9:.2f} |"
    )
