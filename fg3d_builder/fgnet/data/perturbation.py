"""Photometric perturbation of what a network is shown: the same face in another camera and light.

The paper trains "without any perturbation" (Sec. 8.1) on photos of three real cameras. A set of
synthetic captures has one renderer instead, and a network learns its look by heart; the small
presets therefore change exposure, colour, contrast and sharpness of every photo at every step.
Geometry is never touched: it is the answer.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from fg3d_builder.fgnet.networks.architectures import NetworkInput

GAIN, BALANCE, GAMMA, SATURATION, NOISE = 0.25, 0.12, 0.25, 0.5, 0.02
"""Standard deviations at strength 1: of logarithms of exposure, of each channel's gain and of the
exponent, of the saturation's factor, and of a pixel (at most) in units of full brightness."""
BLURRED = 0.3
"""Share of the samples that are blurred at strength 1, by one to three binomial kernels."""
_KERNEL = (0.25, 0.5, 0.25)


def step_generator(seed: int, step: int, rank: int, device: torch.device) -> torch.Generator:
    """Make the generator of one step of one process; a function of its arguments alone."""
    state = np.random.SeedSequence([seed, step, rank]).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed(int(state[0]) << 32 | int(state[1]))


def perturbed(given: NetworkInput, strength: float, generator: torch.Generator) -> NetworkInput:
    """Change the pictures of a batch, every sample in its own way, all views of one alike.

    Geometry stays, and what no mesh covers stays black.

    Parameters
    ----------
    given : NetworkInput
        With `image` (B, 3, S, S) or `views` (B, V, 3, S, S), in [-1, 1].
    strength : float
        0 changes nothing, 1 is as strong as photos differ.
    generator : torch.Generator
        On the pictures' device.
    """
    pictures = given.image if given.views is None else given.views
    if strength == 0.0 or pictures is None:
        return given
    if given.image is not None and given.views is not None:
        raise ValueError("a network is shown the image or its views, not both")
    views = pictures[:, None] if pictures.dim() == 4 else pictures
    changed = _changed((views.float() + 1.0) / 2.0, strength, generator)
    changed = (2.0 * changed - 1.0).to(pictures.dtype).view_as(pictures)
    if given.views is None:
        return given._replace(image=changed)
    return given._replace(views=changed)


def _changed(views: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Pictures (B, V, 3, S, S) in [0, 1]."""
    batch, device = len(views), views.device

    def normal(*shape: int) -> Tensor:
        return torch.randn(batch, *shape, 1, 1, device=device, generator=generator) * strength

    is_drawn = views.amax(dim=2, keepdim=True) > 0
    gamma = torch.exp(GAMMA * normal(1, 1))
    gain = torch.exp(GAIN * normal(1, 1) + BALANCE * normal(1, 3))
    bright = views.clamp(min=1e-4) ** gamma * gain
    grey = bright.mean(dim=2, keepdim=True)
    mixed = grey + (1.0 + SATURATION * normal(1, 1)).clamp(min=0.0) * (bright - grey)
    mixed = _blurred(mixed, strength, generator)
    grain = NOISE * strength * torch.rand(batch, 1, 1, 1, 1, device=device, generator=generator)
    noise = torch.randn(mixed.shape, device=device, generator=generator)
    return (mixed + grain * noise).clamp(0.0, 1.0) * is_drawn


def _blurred(views: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    batch, count, channels, height, width = views.shape
    chance = torch.rand(batch, device=views.device, generator=generator)
    rounds = torch.randint(1, 4, (batch,), device=views.device, generator=generator)
    rounds = rounds.where(chance < BLURRED * strength, 0)
    line = views.new_tensor(_KERNEL)
    kernel = torch.outer(line, line).expand(count * channels, 1, 3, 3)
    flat = views.reshape(batch, count * channels, height, width)
    for done in range(int(rounds.max())):
        padded = functional.pad(flat, (1, 1, 1, 1), mode="replicate")
        softer = functional.conv2d(padded, kernel, groups=count * channels)
        flat = softer.where((rounds > done)[:, None, None, None], flat)
    return flat.view_as(views)
