"""Parameters and multiply-adds of the networks, counted without computing anything."""

from __future__ import annotations

import bisect
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from fg3d_builder.fgnet.networks.architectures import (
    FUSIONS,
    PRESETS,
    NetworkConfig,
    NetworkInput,
    build_network,
)
from fg3d_builder.fgnet.view_sets import VIEW_SETS, view_count
from fg3d_builder.files import markdown


class Complexity(NamedTuple):
    """Trainable numbers of one network, and what a forward pass of one face costs.

    `multiply_adds` counts the convolutions; warping, normalisation and activations, a few per
    cent together, are left out.

    Attributes
    ----------
    config : NetworkConfig
    parameters : int
        Trainable numbers.
    multiply_adds : int
    """

    config: NetworkConfig
    parameters: int
    multiply_adds: int


def complexity(config: NetworkConfig) -> Complexity:
    """Count for a batch of one face."""
    with torch.device("meta"):
        network = build_network(config).eval()
        given = input_of_shape(config, 1, torch.zeros)
    return Complexity(config, _parameters(network), multiply_adds(network, given))


def _parameters(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def multiply_adds(module: nn.Module, *given: Any) -> int:
    """Multiply-adds of the matrix products and convolutions of one forward pass."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        module(*given)
    return counter.get_total_flops() // 2


def input_of_shape(config: NetworkConfig, batch: int, fill: Callable[..., Tensor]) -> NetworkInput:
    """A `NetworkInput` with all fields of `batch` faces, made by ``fill(*shape)``."""
    s, v = config.size, view_count(config.view_set)
    return NetworkInput(
        image=fill(batch, 3, s, s),
        pncc=fill(batch, 3, s, s),
        uv_from_image=fill(batch, s, s, 2),
        image_visible=fill(batch, 1, s, s),
        views=fill(batch, v, 3, s, s),
        uv_from_view=fill(batch, v, s, s, 2),
        view_visible=fill(batch, v, 1, s, s),
        shape_map=fill(batch, 3, s, s),
    )


def variants(preset: str) -> list[NetworkConfig]:
    """The networks that the paper compares, in one size: Table 1, Table 2 and Fig. 13."""
    base = PRESETS[preset]
    networks = [dataclasses.replace(base, network=name) for name in ("cvn", "mvn")]
    views = [dataclasses.replace(base, view_set=name) for name in VIEW_SETS]
    fusions = [dataclasses.replace(base, fusion=name) for name in FUSIONS[1:]]
    return [*networks, *views, *fusions]


def with_shape_maps(preset: str) -> list[NetworkConfig]:
    """The three networks with the fit's shape as a map, and MVN as large as VMN is without one.

    MVN has one encoder's features to fuse and VMN those of five views: half of its parameters are
    in what joins them. A comparison of equal width is one of unequal networks.
    """
    base = PRESETS[preset]
    found = [dataclasses.replace(base, network=n, shape_map=True) for n in ("cvn", "mvn", "vmn")]
    return [*found, widened(found[1], complexity(base).parameters)]


WIDEST = 1024
"""Largest `base_channels` of `NetworkConfig`."""


def widened(config: NetworkConfig, parameters: int) -> NetworkConfig:
    """Change `base_channels` so that the network has as nearly as possible so many parameters.

    Parameters
    ----------
    config : NetworkConfig
    parameters : int
    """

    def of_width(width: int) -> NetworkConfig:
        return dataclasses.replace(config, base_channels=width)

    def count(width: int) -> int:
        with torch.device("meta"):
            return _parameters(build_network(of_width(width)))

    # Widths are numbered from 0 here: so many are too narrow.
    below = max(1, bisect.bisect_right(range(1, WIDEST), parameters, key=count))
    return of_width(min(below, below + 1, key=lambda width: abs(count(width) - parameters)))


def table(configs: Sequence[NetworkConfig]) -> str:
    """Markdown table of `configs`, one row each."""
    headings = ["network", "views", "fusion", "shape map", "images", "features", "channels"]
    headings += ["parameters (M)", "multiply-adds (G)"]
    rows = []
    for config in configs:
        found = complexity(config)
        vmn = config.network == "vmn"
        rows.append(
            [
                config.network.upper(),
                config.view_set if vmn else "-",
                config.fusion.replace("_", " ") if vmn else "-",
                "yes" if config.shape_map else "-",
                str(config.size),
                str(config.size >> config.folds),
                str(config.base_channels),
                f"{found.parameters / 1e6:.2f}",
                f"{found.multiply_adds / 1e9:.2f}",
            ]
        )
    return "\n".join(markdown.table(headings, rows))
