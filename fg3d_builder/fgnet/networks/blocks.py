"""Building blocks of the hourglass, after PRNet.

Where they differ from PRNet: its 4 x 4 kernels stay where the stride is 2; at stride 1 they are
3 x 3, as an even kernel shifts the features by half a pixel, which the warp to the UV plane would
have to know. With stride 2 and a border of 1 an output pixel is centred on the 2 x 2 pixels that
it stands for.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class ConvUnit(nn.Sequential):
    """3 x 3 convolution, batch normalisation, ReLU; keeps the size."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(in_channels, out_channels, kernel, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class UpConvUnit(nn.Sequential):
    """4 x 4 transposed convolution of stride 2, batch normalisation, ReLU; doubles the size."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=1, bias=False),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
        )


class ResidualBlock(nn.Module):
    """PRNet's bottleneck block: 1 x 1 to half the channels, spatial kernel, 1 x 1, plus shortcut.

    `stride` is 1 or 2.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        middle = out_channels // 2
        kernel = 4 if stride == 2 else 3
        self.branch = nn.Sequential(
            nn.Conv2d(in_channels, middle, 1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, middle, kernel, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(middle),
            nn.ReLU(),
            nn.Conv2d(middle, out_channels, 1, bias=False),
        )
        # The mean of 2 x 2 pixels and a 1 x 1 kernel: centred as the branch is.
        self.shortcut = nn.Sequential(
            nn.AvgPool2d(2) if stride == 2 else nn.Identity(),
            nn.Identity()
            if in_channels == out_channels
            else nn.Conv2d(in_channels, out_channels, 1, bias=False),
        )
        self.normalise = nn.BatchNorm2d(out_channels)

    def forward(self, features: Tensor) -> Tensor:
        """(N, in, h, w) -> (N, out, h / stride, w / stride)."""
        mixed = self.branch(features) + self.shortcut(features)
        return functional.relu(self.normalise(mixed))
