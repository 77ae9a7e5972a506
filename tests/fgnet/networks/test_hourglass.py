"""The hourglass's geometry: features stay centred on what they describe."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest
import torch

from fg3d_builder.fgnet.networks.blocks import ConvUnit, ResidualBlock, UpConvUnit
from fg3d_builder.fgnet.networks.hourglass import Encoder, Hourglass


@pytest.mark.parametrize(
    "make",
    [
        partial(ConvUnit, 3, 4),
        partial(ResidualBlock, 3, 4, 1),
        partial(ResidualBlock, 3, 4, 2),
        partial(UpConvUnit, 3, 4),
        partial(Encoder, 3, 4, 3),
    ],
)
def test_mirrored_kernels_on_a_mirrored_image_give_mirrored_features(
    make: Callable[[], torch.nn.Module],
) -> None:
    """No unit shifts features by a fraction of a pixel: that would break this symmetry."""
    unit = make().eval()
    image = torch.randn(1, 3, 16, 16)

    def run(given: torch.Tensor) -> torch.Tensor:
        out = unit(given)
        return out[-1] if isinstance(out, list) else out

    there = run(image)
    with torch.no_grad():
        for weight in unit.parameters():
            if weight.dim() == 4:
                weight.copy_(weight.flip(-1, -2))
    back = run(image.flip(-1, -2)).flip(-1, -2)
    torch.testing.assert_close(there, back, atol=1e-5, rtol=1e-4)


def test_each_view_is_encoded_by_the_same_weights() -> None:
    network = Hourglass(3, 4, 3, views=3).eval()
    torch.nn.init.normal_(network.decoder.out.weight)
    views = torch.randn(2, 3, 3, 32, 32)
    alone = [network.encoder(views[:, v]) for v in range(3)]
    together = network.encoder(views.reshape(-1, 3, 32, 32))
    for level, features in enumerate(together):
        joined = features.reshape(2, 3, *features.shape[1:])
        for v in range(3):
            torch.testing.assert_close(joined[:, v], alone[v][level], atol=1e-5, rtol=1e-4)


def test_every_view_and_every_scale_reaches_the_output() -> None:
    network = Hourglass(3, 4, 3, views=3).eval()
    torch.nn.init.normal_(network.decoder.out.weight)
    views = torch.randn(1, 3, 3, 32, 32, requires_grad=True)
    network(views).square().sum().backward()
    assert views.grad is not None
    assert views.grad.flatten(2).abs().amax(dim=-1).min() > 0
    for name, weight in network.named_parameters():
        assert weight.grad is not None, name
        assert weight.grad.abs().max() > 0, name


def test_levels_that_the_decoder_lacks_are_refused() -> None:
    with pytest.raises(ValueError, match="levels"):
        Hourglass(3, 4, 6, views=1)


def test_folded_images_stay_centred() -> None:
    """Pixels go into channels and come back by interpolation: nothing moves by part of a texel."""
    network = Hourglass(3, 4, 2, views=1, folds=2).eval()
    torch.nn.init.normal_(network.decoder.out.weight)
    image = torch.randn(1, 1, 3, 32, 32)
    there = network(image)
    assert there.shape == (1, 3, 32, 32)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() == 4:
                weight.copy_(weight.flip(-1, -2))
        # What lies within a fold is mirrored, too: the first kernels' channels are its pixels.
        first = network.encoder.stem[0].weight
        pixels = first.view(4, 3, 4, 4, 3, 3)
        first.copy_(pixels.flip(2, 3).reshape_as(first))
    back = network(image.flip(-1, -2)).flip(-1, -2)
    torch.testing.assert_close(there, back, atol=1e-4, rtol=1e-3)


def test_a_folded_pyramid_begins_at_the_features_size() -> None:
    """Texels look for their features where the unfolded network has them, a level further."""
    network = Hourglass(3, 4, 2, views=1, folds=1).eval()
    torch.nn.init.normal_(network.decoder.out.weight)
    size = 32
    place = (torch.arange(size) + 0.5) / size * 2 - 1
    identity = torch.stack(torch.meshgrid(place, place, indexing="xy"), dim=-1)
    image = torch.randn(1, 1, 3, size, size)
    # Sampled where each feature lies, features are those that were there.
    torch.testing.assert_close(
        network(image, identity[None, None]), network(image), atol=1e-4, rtol=1e-3
    )
