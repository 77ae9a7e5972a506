"""The many-to-one hourglass (Sec. 4.2): one encoder for all views, one decoder on the UV plane."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from fg3d_builder.fgnet.networks.blocks import ConvUnit, ResidualBlock, UpConvUnit
from fg3d_builder.fgnet.networks.warping import halved_grids, warp_to_uv

DECODER_UNITS = (3, 3, 3, 2, 2)
"""Units per scale of PRNet's decoder, from the coarsest; the first of each doubles the size."""


class Encoder(nn.Module):
    """PRNet's encoder: a stem, then per scale a residual block that halves and one that does not.

    The stem has `base_channels`, 16 in the paper, which each of the `levels` halvings doubles
    (5 in the paper: 256 -> 8).
    """

    def __init__(self, in_channels: int, base_channels: int, levels: int) -> None:
        super().__init__()
        self.channels = tuple(base_channels << level for level in range(levels + 1))
        self.stem = ConvUnit(in_channels, base_channels)
        self.scales = nn.ModuleList(
            nn.Sequential(ResidualBlock(fine, coarse, 2), ResidualBlock(coarse, coarse, 1))
            for fine, coarse in zip(self.channels[:-1], self.channels[1:], strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        """(N, in, S, S) -> features of every scale, from full size to the bottleneck."""
        features = [self.stem(images)]
        for scale in self.scales:
            features.append(scale(features[-1]))
        return features


class ViewFusion(nn.Module):
    """Join the features of V views of each scale, bottleneck and shortcuts alike.

    They are concatenated: at the bottleneck for a 3 x 3 unit, elsewhere for a 1 x 1 convolution
    to the channels of one view. A single view needs no such convolution.
    """

    def __init__(self, channels: tuple[int, ...], views: int) -> None:
        super().__init__()
        self.views = views
        self.shortcuts = nn.ModuleList(
            nn.Identity() if views == 1 else nn.Conv2d(views * width, width, 1)
            for width in channels[:-1]
        )
        self.bottleneck = ConvUnit(views * channels[-1], channels[-1])

    def forward(self, features: list[Tensor]) -> list[Tensor]:
        """(B * V, c, s, s) per scale -> (B, c, s, s) per scale."""
        joined = [f.reshape(-1, self.views * f.shape[1], *f.shape[2:]) for f in features]
        fused = [shortcut(j) for shortcut, j in zip(self.shortcuts, joined[:-1], strict=True)]
        return [*fused, self.bottleneck(joined[-1])]


class Decoder(nn.Module):
    """PRNet's decoder, with the fused features added at every scale.

    PRNet ends in three layers of three channels and a sigmoid; here one linear layer, which
    starts at zero, gives the displacement: an untrained network answers with the 3DMM fit.
    """

    def __init__(self, channels: tuple[int, ...], out_channels: int) -> None:
        super().__init__()
        levels = len(channels) - 1
        units = DECODER_UNITS[len(DECODER_UNITS) - levels :]
        self.up = nn.ModuleList(
            UpConvUnit(channels[level], channels[level - 1]) for level in range(levels, 0, -1)
        )
        self.refine = nn.ModuleList(
            nn.Sequential(*(ConvUnit(width, width) for _ in range(count - 1)))
            for count, width in zip(units, reversed(channels[:-1]), strict=True)
        )
        self.out = nn.Conv2d(channels[0], out_channels, 3, padding=1)
        nn.init.zeros_(self.out.weight)
        assert self.out.bias is not None
        nn.init.zeros_(self.out.bias)

    def forward(self, fused: list[Tensor]) -> Tensor:
        """Features per scale, finest first -> (B, out_channels, S, S)."""
        features = fused[-1]
        for up, refine, shortcut in zip(self.up, self.refine, reversed(fused[:-1]), strict=True):
            features = refine(up(features) + shortcut)
        out: Tensor = self.out(features)
        return out


class Hourglass(nn.Module):
    """Encoder, fusion and decoder.

    Before the first convolution images are folded `folds` times, 2 x 2 pixels into channels. All
    features are that much smaller, and the map is interpolated back to the images' size.

    What lies on the UV plane from the start, a map of `map_channels`, has an encoder of its own, as
    it is no picture, and is fused as one view more.
    """

    def __init__(
        self,
        in_channels: int,
        base_channels: int,
        levels: int,
        views: int,
        folds: int = 0,
        map_channels: int = 0,
        out_channels: int = 3,
    ) -> None:
        super().__init__()
        if not 1 <= levels <= len(DECODER_UNITS):
            raise ValueError(f"levels must be 1 to {len(DECODER_UNITS)}, not {levels}")
        self.levels, self.folds = levels, folds
        self.encoder = Encoder(in_channels << (2 * folds), base_channels, levels)
        fused = views + (map_channels > 0)
        self.fusion = ViewFusion(self.encoder.channels, fused)
        self.decoder = Decoder(self.encoder.channels, out_channels)
        self.map_encoder = (
            Encoder(map_channels << (2 * folds), base_channels, levels) if map_channels else None
        )

    def forward(
        self,
        images: Tensor,
        grid: Tensor | None = None,
        visible: Tensor | None = None,
        uv_map: Tensor | None = None,
    ) -> Tensor:
        """Images (B, V, in, S, S) to a map (B, out_channels, S, S) on the UV plane.

        With `grid` (B, V, S, S, 2) and `visible` (B, V, 1, S, S), features of every scale are
        warped to the UV plane between encoder and fusion; without, the images lie on it already,
        or the network has to cope. `uv_map` (B, map_channels, S, S) is never warped.
        """
        # reshape, not flatten: channels-last images have no view with both leading axes joined.
        flat = images.reshape(-1, *images.shape[2:])
        features = self.encoder(functional.pixel_unshuffle(flat, 1 << self.folds))
        if grid is not None:
            seen = torch.ones_like(grid[..., :1]).movedim(-1, 2) if visible is None else visible
            flat_grid, flat_seen = (t.reshape(-1, *t.shape[2:]) for t in (grid, seen))
            pyramid = halved_grids(flat_grid, flat_seen, self.folds + self.levels)[self.folds :]
            features = [warp_to_uv(f, *p) for f, p in zip(features, pyramid, strict=True)]
        if self.map_encoder is not None:
            if uv_map is None:
                raise ValueError("uv_map: this hourglass needs it")
            on_plane = self.map_encoder(functional.pixel_unshuffle(uv_map, 1 << self.folds))
            views = images.shape[1]
            features = [_beside(f, m, views) for f, m in zip(features, on_plane, strict=True)]
        out: Tensor = self.decoder(self.fusion(features))
        if self.folds:
            scale = float(1 << self.folds)
            out = functional.interpolate(out, scale_factor=scale, mode="bilinear")
        return out


def _beside(features: Tensor, of_map: Tensor, views: int) -> Tensor:
    """Put a map's features (B, c, s, s) behind those of V views, (B * V, c, s, s) as well."""
    by_face = features.reshape(-1, views, *features.shape[1:])
    joined = torch.cat([by_face, of_map[:, None].to(features.dtype)], dim=1)
    return joined.reshape(-1, *features.shape[1:])
