"""The networks as a whole."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from fg3d_builder.fgnet.networks.architectures import (
    PRESETS,
    NetworkConfig,
    NetworkInput,
    build_network,
)
from fg3d_builder.fgnet.networks.complexity import input_of_shape, variants

SMALLEST = NetworkConfig(size=32, base_channels=4, levels=3)


def _seeded(config: NetworkConfig, seed: int = 100) -> torch.nn.Module:
    torch.manual_seed(seed)
    network = build_network(config)
    torch.nn.init.normal_(network.hourglass.decoder.out.weight, std=0.1)
    return network


def _some_input(config: NetworkConfig, batch: int = 2) -> NetworkInput:
    generator = torch.Generator().manual_seed(101)
    given = input_of_shape(
        config, batch, lambda *shape: torch.rand(*shape, generator=generator) * 2 - 1
    )
    assert given.view_visible is not None
    assert given.image_visible is not None
    return given._replace(
        view_visible=(given.view_visible > -0.5).float(),
        image_visible=(given.image_visible > -0.5).float(),
    )


def _smallest_variants() -> list[NetworkConfig]:
    plain = [
        dataclasses.replace(c, size=32, base_channels=4, levels=3, folds=0)
        for c in variants("tiny")
    ]
    masked = [dataclasses.replace(c, mask_occluded=True) for c in plain if c.network == "vmn"]
    return [*plain, *masked, *(dataclasses.replace(c, shape_map=True) for c in plain)]


def _variant_name(config: NetworkConfig) -> str:
    words = [config.network, config.view_set, config.fusion]
    words += [name for name in ("shape_map", "mask_occluded") if getattr(config, name)]
    return "-".join(words)


@pytest.mark.parametrize("config", _smallest_variants(), ids=_variant_name)
def test_every_variant_uses_what_it_needs_and_nothing_else(config: NetworkConfig) -> None:
    network = _seeded(config).eval()
    full = _some_input(config)
    needed = (
        {
            "direct": {"views"} | (network.needs & {"shape_map"}),
        }.get(config.fusion, set(network.needs))
        if config.network == "vmn"
        else set(network.needs)
    )
    only = NetworkInput(**{name: getattr(full, name) for name in network.needs})
    out = network(only)
    assert out.shape == (2, 3, 32, 32)
    assert out.dtype == torch.float32
    for name in network.needs:
        field = getattr(full, name)
        changed = network(
            only._replace(**{name: 1.0 - field if "visible" in name else field * 0.5})
        )
        assert (changed - out).abs().max().item() > 0 or name not in needed, name
    torch.testing.assert_close(network(full), out)
    missing = only._replace(**{min(needed): None})
    with pytest.raises(ValueError, match=min(needed)):
        network(missing)


@pytest.mark.parametrize("network", ["cvn", "mvn", "vmn"])
def test_the_shape_is_given_in_units_of_the_displacement(network: str) -> None:
    """Twice the unit and twice the shape: the network computes the same, and answers twice."""
    config = dataclasses.replace(SMALLEST, network=network, shape_map=True, displacement_mm=2.0)
    given = _some_input(config)
    out = _seeded(config).eval()(given)
    assert given.shape_map is not None
    larger = dataclasses.replace(config, displacement_mm=4.0)
    twice = _seeded(larger).eval()(given._replace(shape_map=2.0 * given.shape_map))
    torch.testing.assert_close(twice, 2.0 * out)


@pytest.mark.parametrize("network", ["cvn", "mvn", "vmn"])
def test_one_vertex_of_the_shape_reaches_the_whole_face(network: str) -> None:
    """How wide a jaw is says something about the brow: every texel sees the whole shape."""
    config = dataclasses.replace(SMALLEST, network=network, shape_map=True)
    seeded, given = _seeded(config).eval(), _some_input(config, 1)
    assert given.shape_map is not None
    shape = given.shape_map.requires_grad_()
    seeded(given._replace(shape_map=shape))[0, :, 0, 0].sum().backward()
    assert shape.grad is not None
    assert shape.grad[0].abs().amax(dim=0)[24:, 24:].max() > 0


@pytest.mark.parametrize("network", ["cvn", "vmn"])
def test_with_and_without_the_shape_encoders_begin_alike(network: str) -> None:
    """Runs of one seed share what they have in common."""
    config = dataclasses.replace(SMALLEST, network=network)
    with_shape = _seeded(dataclasses.replace(config, shape_map=True)).hourglass.encoder
    for one, other in zip(
        _seeded(config).hourglass.encoder.parameters(), with_shape.parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_an_untrained_network_answers_with_the_fit() -> None:
    network = build_network(SMALLEST)
    assert not network(_some_input(SMALLEST)).any()


def test_faces_of_a_batch_do_not_see_each_other() -> None:
    network = _seeded(SMALLEST).eval()
    given = _some_input(SMALLEST, batch=3)
    both = network(given)
    for i in range(3):
        one = network(NetworkInput(*(None if t is None else t[i : i + 1] for t in given)))
        torch.testing.assert_close(one, both[i : i + 1], atol=1e-5, rtol=1e-4)


def test_hidden_texels_count_unless_they_are_masked() -> None:
    """What a view shows at hidden texels alone changes nothing when they are masked."""
    given = _some_input(SMALLEST)
    hidden = given._replace(view_visible=torch.zeros_like(given.view_visible))  # type: ignore[arg-type]
    other = hidden._replace(views=-hidden.views)  # type: ignore[operator]
    masked = _seeded(dataclasses.replace(SMALLEST, mask_occluded=True)).eval()
    torch.testing.assert_close(masked(hidden), masked(other))
    unmasked = _seeded(SMALLEST).eval()
    assert (unmasked(hidden) - unmasked(other)).abs().max() > 1e-3


@pytest.mark.parametrize("fusion", ["convolve_then_warp", "warp_then_convolve"])
def test_moving_views_and_grids_together_changes_little(fusion: str) -> None:
    """Shift the pictures by whole coarse cells and the grids with them: same answer inside."""
    config = dataclasses.replace(SMALLEST, size=64, fusion=fusion)
    network = _seeded(config).eval()
    generator = torch.Generator().manual_seed(5)
    views = torch.zeros(1, 5, 3, 64, 64)
    views[..., 24:40, 16:32] = torch.rand(1, 5, 3, 16, 16, generator=generator)
    y, x = torch.meshgrid(torch.linspace(-1, 1, 64), torch.linspace(-1, 1, 64), indexing="ij")
    grid = torch.stack([0.25 * x - 0.25, 0.25 * y], dim=-1).expand(1, 5, 64, 64, 2)
    visible = torch.ones(1, 5, 1, 64, 64)
    here = network(NetworkInput(views=views, uv_from_view=grid, view_visible=visible))
    shift = torch.tensor([16 * 2 / 64, 0.0])
    there = network(
        NetworkInput(views=views.roll(16, -1), uv_from_view=grid + shift, view_visible=visible)
    )
    fixed = network(NetworkInput(views=views.roll(16, -1), uv_from_view=grid, view_visible=visible))
    moved = (there - here).abs().max()
    assert moved < 0.05 * (fixed - here).abs().max()


def test_same_seed_same_weights_same_answer() -> None:
    given = _some_input(SMALLEST)
    results = []
    for _ in range(2):
        network = _seeded(SMALLEST).train()
        out = network(given)
        out.square().mean().backward()
        results.append((out.detach(), [p.grad for p in network.parameters()]))
    assert torch.equal(results[0][0], results[1][0])
    for a, b in zip(results[0][1], results[1][1], strict=True):
        assert a is not None
        assert b is not None
        assert torch.equal(a, b)


@pytest.mark.parametrize("network", ["cvn", "mvn", "vmn"])
def test_half_precision_and_channels_last_agree_with_float32(network: str) -> None:
    config = dataclasses.replace(SMALLEST, network=network)
    given = _some_input(config)
    plain = _seeded(config).eval()
    expected = plain(given)
    last = plain.to(memory_format=torch.channels_last)
    torch.testing.assert_close(last(given), expected, atol=1e-5, rtol=1e-4)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half = last(given)
    assert half.dtype == torch.float32
    assert (half - expected).norm() < 0.05 * expected.norm()


def test_what_cannot_be_built_is_refused() -> None:
    with pytest.raises(ValueError, match="network"):
        NetworkConfig(network="unet")
    with pytest.raises(ValueError, match="fusion"):
        NetworkConfig(fusion="late")
    with pytest.raises(ValueError, match="size"):
        NetworkConfig(size=100)
    too_few = NetworkInput(views=torch.zeros(1, 3, 3, 32, 32))
    with pytest.raises(ValueError, match="3 given, 5 wanted"):
        build_network(SMALLEST)(too_few)


@pytest.mark.slow
def test_the_tiny_network_learns_four_faces_by_heart() -> None:
    torch.manual_seed(102)
    config = PRESETS["tiny"]
    network = build_network(config)
    given = _some_input(config, batch=4)
    smooth = torch.nn.functional.interpolate(
        torch.randn(4, 3, 6, 6), size=64, mode="bicubic", align_corners=False
    )
    target = 3.0 * smooth
    initial = target.square().sum(dim=1).mean()
    optimiser = torch.optim.Adam(network.parameters(), lr=1e-2)
    for _ in range(90):
        optimiser.zero_grad()
        loss = (network(given) - target).square().sum(dim=1).mean()
        loss.backward()
        optimiser.step()
    assert loss < 0.05 * initial


@pytest.mark.slow
def test_networks_compile_without_a_break() -> None:
    """One graph, same answer: nothing in a network depends on what the tensors hold."""
    for name in ("cvn", "mvn", "vmn"):
        config = dataclasses.replace(SMALLEST, network=name)
        network = _seeded(config).eval()
        given = _some_input(config)
        compiled = torch.compile(network, fullgraph=True, backend="aot_eager")
        torch.testing.assert_close(compiled(given), network(given), atol=1e-5, rtol=1e-4)
