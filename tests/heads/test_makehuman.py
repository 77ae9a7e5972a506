import itertools

import numpy as np
import pytest

from fg3d_builder.errors import ConfigError
from fg3d_builder.heads.makehuman import (
    Macro,
    MakeHumanData,
    macro_target_names,
    macro_weights,
)


@pytest.fixture(scope="module")
def data():
    return MakeHumanData.find()


@pytest.fixture(scope="module")
def base(data):
    return data.base_mesh()


def test_base_mesh_is_read_exactly(base):
    assert base.vertices_mm.shape == (19158, 3)
    assert len(base.quads) == 13378
    assert base.quads.max() == 13379
    body = base.vertices_mm[np.unique(base.quads)]
    assert 1600 < np.ptp(body[:, 1]) < 1750  # the height of a person, in millimetres


def test_mirror_is_an_involution_that_mirrors(base):
    assert np.array_equal(base.mirror[base.mirror], np.arange(len(base.mirror)))
    skin = np.unique(base.quads)
    error = base.vertices_mm[base.mirror[skin]] - base.vertices_mm[skin] * [-1, 1, 1]
    assert np.median(np.abs(error)) < 0.1


def test_macro_weights_are_products_of_partitions_of_unity():
    random = np.random.default_rng(1)
    names = macro_target_names()
    for _ in range(5):
        race = random.dirichlet([1, 1, 1])
        weights = macro_weights(Macro(*random.random(5), *race))
        by_name = dict(zip(names, weights, strict=True))
        assert min(weights) >= 0
        people = sum(w for n, w in by_name.items() if n.count("/") == 1 and "universal" not in n)
        bodies = sum(w for n, w in by_name.items() if "universal" in n)
        assert people == pytest.approx(1)
        assert bodies == pytest.approx(1)


def test_macro_corner_uses_single_targets():
    macro = Macro(1.0, 1.0, 0.0, 1.0, 0.5, 0.0, 1.0, 0.0)
    names = itertools.compress(macro_target_names(), macro_weights(macro))
    assert list(names) == [
        "macrodetails/asian-male-old",
        "macrodetails/universal-male-old-minmuscle-maxweight",
    ]


def test_targets_are_millimetres(data, base):
    offsets = data.target("nose/nose-trans-forward", len(base.vertices_mm))
    moved = np.abs(offsets[:, 2]).max()
    assert 2 < moved < 30
    with pytest.raises(ConfigError, match="no-such"):
        data.target("nose/no-such", 10)


def test_lip_mask_covers_lips_only(data, base):
    centre = base.vertices_mm[base.quads].mean(axis=1)
    lips = data.texture_mask("lips", base.quad_uv).mean(axis=1) > 0.5
    assert 150 < lips.sum() < 400
    assert np.ptp(centre[lips, 0]) < 60
    assert np.ptp(centre[lips, 1]) < 40
