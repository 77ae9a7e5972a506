"""The networks: VMN (Sec. 4) and its baselines CVN and MVN (Sec. 8.2.1), in several sizes.

All answer with the personalized shape on the UV plane: (B, 3, S, S) displacements of the fitted
3DMM in millimetres, in the model's object frame, float32. With `NetworkConfig.certainty` a fourth
channel is the natural logarithm of the distance, in units of `NetworkConfig.displacement_mm`, that
is to be expected between the answer and the truth.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, NamedTuple

import torch
from torch import Tensor, nn

from fg3d_builder.config import require
from fg3d_builder.config.constraints import Within, one_of
from fg3d_builder.config.quantities import PositiveMm
from fg3d_builder.fgnet.networks.hourglass import Hourglass
from fg3d_builder.fgnet.networks.warping import warp_to_uv
from fg3d_builder.fgnet.view_sets import VIEW_SETS, view_count

NETWORKS = ("vmn", "mvn", "cvn")
FUSIONS = ("convolve_then_warp", "warp_then_convolve", "direct")
"""Fig. 13: what the paper does; images warped before the encoder; features not warped."""


class NetworkInput(NamedTuple):
    """What a network may see of B faces; each network lists in `needs` what it takes.

    Image positions are `grid_sample`'s, ``align_corners=False``: -1 and 1 are the outer borders
    of the first and last pixel, x before y. UV maps are those of `fg3d_builder.fgnet.data.uv`.

    Attributes
    ----------
    image : (B, 3, S, S) float
        Crop around the 3DMM fit, sRGB scaled to [-1, 1].
    pncc : (B, 3, S, S) float
        Projected normalised coordinate code of the fit in the crop, [-1, 1], background -1.
    uv_from_image : (B, S, S, 2) float
        Where each texel's point of the fit falls in `image`; finite everywhere.
    image_visible : (B, 1, S, S) float
        In [0, 1]: the texel is on the chart and seen in `image`.
    views : (B, V, 3, S, S) float
        Simulated views in the order of `VIEW_SETS`, [-1, 1]; for ``"source"`` the image itself.
    uv_from_view : (B, V, S, S, 2) float
        Like `uv_from_image`, for each view.
    view_visible : (B, V, 1, S, S) float
        Like `image_visible`, for each view.
    shape_map : (B, 3, S, S) float
        UV map of the fitted shape less the face model's mean shape, mm, in the object frame.
    """

    image: Tensor | None = None
    pncc: Tensor | None = None
    uv_from_image: Tensor | None = None
    image_visible: Tensor | None = None
    views: Tensor | None = None
    uv_from_view: Tensor | None = None
    view_visible: Tensor | None = None
    shape_map: Tensor | None = None

    def to(self, device: torch.device | str, non_blocking: bool = False) -> NetworkInput:
        """Move all that is there."""
        return NetworkInput(
            *(t if t is None else t.to(device, non_blocking=non_blocking) for t in self)
        )


@dataclass(frozen=True)
class NetworkConfig:
    """Which network, and how large.

    network: one of `NETWORKS`.
    size: S, side of images and UV maps; a multiple of ``2 ** (levels + folds)``.
    base_channels: at full size; doubled with each halving.
    levels: halvings of the images within the network.
    folds: how often 2 x 2 pixels are folded into channels before the first convolution, as no
        paper has it: a network for a CPU sees images of S at a quarter of the cost per fold.
        Features and displacements have ``S / 2 ** folds``, the latter are interpolated.
    view_set: key of `VIEW_SETS`; VMN only.
    views_by_pose: views turn to the side of the face that the photo shows, see
        `SimulationConfig`; VMN only.
    fusion: one of `FUSIONS`; VMN only.
    mask_occluded: features of texels that a view does not see count as zero. The paper tried
        that, found little difference and left it out (Sec. 8.2.3). VMN that warps only.
    displacement_mm: displacement for an output of 1: about what 3DMM fits are off by, so that
        the last layer works with numbers around 1.
    shape_map: the network is also given the fitted shape as a UV map, as MVN's authors do. MVN
        takes it beside the warped image; CVN and VMN encode it by weights of its own and fuse it
        like one view more, which lies on the UV plane already.
    certainty: the network also says how far off it expects each point to be. It takes no part in
        the displacements' loss.
    """

    network: Annotated[str, one_of(*NETWORKS)] = "vmn"
    size: Annotated[int, Within(8, 4096)] = 256
    base_channels: Annotated[int, Within(1, 1024)] = 16
    levels: Annotated[int, Within(1, 10)] = 5
    folds: Annotated[int, Within(0, 10)] = 0
    view_set: Annotated[str, one_of(*VIEW_SETS)] = "5"
    views_by_pose: bool = False
    fusion: Annotated[str, one_of(*FUSIONS)] = "convolve_then_warp"
    mask_occluded: bool = False
    displacement_mm: PositiveMm = 3.0
    shape_map: bool = False
    certainty: bool = False

    def __post_init__(self) -> None:
        require(self)

    def contradictions(self) -> Iterator[tuple[str, str]]:
        """Yield fields that do not go with others, and what is wrong."""
        halvings = self.levels + self.folds
        if self.size % (1 << halvings):
            halved = f"levels = {self.levels} and folds = {self.folds} halve it {halvings} times"
            yield "size", f" = {self.size}: expected a multiple of {1 << halvings}; {halved}"


PRESETS: dict[str, NetworkConfig] = {
    "tiny": NetworkConfig(size=64, base_channels=16, levels=3, folds=1),
    "small": NetworkConfig(size=128, base_channels=24, levels=3, folds=2),
    "paper": NetworkConfig(),
}
"""Sizes, from a bottleneck of 4 x 4 to one of 8 x 8. Choose the network with
`dataclasses.replace`."""


class CVN(nn.Module):
    """Camera view network: the image beside the PNCC of the fit, regressed to the UV plane."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.needs = _needs(config, "image", "pncc")
        self.displacement_mm = config.displacement_mm
        self.hourglass = _hourglass(config, 6, map_channels=_map_channels(config))

    def forward(self, given: NetworkInput) -> Tensor:
        """Return displacements in mm, and perhaps the fourth channel, (B, 3 or 4, S, S)."""
        both = torch.cat([_given(given.image, "image"), _given(given.pncc, "pncc")], dim=1)
        out: Tensor = self.hourglass(both[:, None], uv_map=_shape_map(given, self))
        return _in_mm(out, self.displacement_mm)


class MVN(nn.Module):
    """Model view network: the image warped to the UV plane, with the mask of what it shows."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        self.needs = _needs(config, "image", "uv_from_image", "image_visible")
        self.displacement_mm = config.displacement_mm
        self.hourglass = _hourglass(config, 4 + _map_channels(config))

    def forward(self, given: NetworkInput) -> Tensor:
        """Return displacements in mm, and perhaps the fourth channel, (B, 3 or 4, S, S)."""
        visible = _given(given.image_visible, "image_visible")
        grid = _given(given.uv_from_image, "uv_from_image")
        warped = warp_to_uv(_given(given.image, "image"), grid, visible)
        on_plane = [warped, visible.to(warped.dtype)]
        shape = _shape_map(given, self)
        on_plane += [] if shape is None else [shape.to(warped.dtype)]
        out: Tensor = self.hourglass(torch.cat(on_plane, dim=1)[:, None])
        return _in_mm(out, self.displacement_mm)


class VMN(nn.Module):
    """Virtual multiview network: views through one encoder, fused on the UV plane (Fig. 2)."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        mask = ("view_visible",) if config.mask_occluded else ()
        self.needs = _needs(config, "views", "uv_from_view", *mask)
        self.displacement_mm = config.displacement_mm
        self.fusion = config.fusion
        self.mask_occluded = config.mask_occluded
        self.view_count = view_count(config.view_set)
        self.hourglass = _hourglass(config, 3, self.view_count, _map_channels(config))

    def forward(self, given: NetworkInput) -> Tensor:
        """Return displacements in mm, and perhaps the fourth channel, (B, 3 or 4, S, S)."""
        views = _given(given.views, "views")
        if views.shape[1] != self.view_count:
            raise ValueError(f"views: {views.shape[1]} given, {self.view_count} wanted")
        shape = _shape_map(given, self)
        if self.fusion == "direct":
            out: Tensor = self.hourglass(views, uv_map=shape)
        else:
            grid = _given(given.uv_from_view, "uv_from_view")
            if self.mask_occluded:
                seen = _given(given.view_visible, "view_visible")
            else:
                seen = torch.ones_like(grid[..., :1]).movedim(-1, 2)
            if self.fusion == "warp_then_convolve":
                flat = [t.reshape(-1, *t.shape[2:]) for t in (views, grid, seen)]
                warped = warp_to_uv(flat[0], flat[1], flat[2])
                out = self.hourglass(warped.reshape(views.shape), uv_map=shape)
            else:
                out = self.hourglass(views, grid, seen, shape)
        return _in_mm(out, self.displacement_mm)


def build_network(config: NetworkConfig) -> CVN | MVN | VMN:
    """Make the network of a configuration, with fresh weights from torch's generator."""
    kinds: dict[str, type[CVN] | type[MVN] | type[VMN]] = {"cvn": CVN, "mvn": MVN, "vmn": VMN}
    return kinds[config.network](config)


def _hourglass(
    config: NetworkConfig, in_channels: int, views: int = 1, map_channels: int = 0
) -> Hourglass:
    return Hourglass(
        in_channels,
        config.base_channels,
        config.levels,
        views,
        config.folds,
        map_channels,
        out_channels=4 if config.certainty else 3,
    )


def _in_mm(out: Tensor, displacement_mm: float) -> Tensor:
    out = out.float()
    return torch.cat([out[:, :3] * displacement_mm, out[:, 3:]], dim=1)


def _needs(config: NetworkConfig, *names: str) -> frozenset[str]:
    return frozenset(names) | ({"shape_map"} if config.shape_map else set())


def _map_channels(config: NetworkConfig) -> int:
    return 3 if config.shape_map else 0


def _shape_map(given: NetworkInput, network: CVN | MVN | VMN) -> Tensor | None:
    """The fit's shape in units of `displacement_mm`, for a network that takes it."""
    if "shape_map" not in network.needs:
        return None
    return _given(given.shape_map, "shape_map") / network.displacement_mm


def _given(value: Tensor | None, name: str) -> Tensor:
    if value is None:
        raise ValueError(f"{name}: this network needs it")
    return value
