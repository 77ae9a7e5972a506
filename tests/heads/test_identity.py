import numpy as np
import pytest

from fg3d_builder.heads.identity import IdentitySampler, LocalAxis, Spread
from fg3d_builder.heads.makehuman import Macro, macro_weights
from fg3d_builder.heads.recipe import load_recipe

MIDDLE = LocalAxis("nose/nose-hump-decr", ("nose/nose-hump-decr",), ("nose/nose-hump-incr",), 0.1)
PAIR = LocalAxis("eyes/l-eye-bag-in", ("eyes/l-eye-bag-in", "eyes/r-eye-bag-in"), (), 0.2)
NAMES = [
    "nose/nose-hump-decr",
    "nose/nose-hump-incr",
    "nose/nose-trans-in",
    "nose/nose-trans-out",
    "head/head-oval",
    *(f"eyes/{side}-eye-trans-{end}" for side in "lr" for end in ("in", "out")),
]
LOCAL = {"nose": 0.1, "head": 0.1, "eyes": 0.1, "asymmetry": 0.3}


def sampler(both_sides, sides_apart, share=1.0):
    faces = {
        "phenotype_share": share,
        "limit": 1.0,
        "both_sides": both_sides,
        "sides_apart": sides_apart,
    }
    recipe = load_recipe()["population"] | {"local": LOCAL, "faces": faces}
    return IdentitySampler(recipe, NAMES)


def local_weights(one, draws):
    names = one.target_names
    weights = np.array([one.draw(np.random.default_rng(seed))[1] for seed in range(draws)])
    return {name: weights[:, i] for i, name in enumerate(names) if name in NAMES}


def signed(weights, plus, minus):
    return weights[plus] - weights[minus]


def test_a_spread_has_the_covariance_that_its_rows_say():
    table = {MIDDLE.name: [0.5, 0.1, 0.3], PAIR.name: [-0.2, 0.2, -0.4]}
    spread = Spread.read(table, [MIDDLE, PAIR], np.array([9.0, 9.0]))
    rng = np.random.default_rng(0)
    drawn = np.array([spread.draw(rng) for _ in range(20_000)])
    np.testing.assert_allclose(drawn.mean(axis=0), [0.5, -0.2], atol=0.01)
    wanted = [[0.1**2 + 0.3**2, -0.12], [-0.12, 0.2**2 + 0.4**2]]
    np.testing.assert_allclose(np.cov(drawn.T), wanted, atol=0.005)


def test_axes_without_a_row_keep_the_hand_set_spread():
    spread = Spread.read({MIDDLE.name: [0.5, 0.1, 0.3]}, [MIDDLE, PAIR], np.array([0.1, 0.2]))
    np.testing.assert_array_equal(spread.mean, [0.5, 0.0])
    np.testing.assert_array_equal(spread.own, [0.1, 0.2])
    np.testing.assert_array_equal(spread.loadings, [[0.3], [0.0]])


def test_a_row_of_an_axis_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="nose/none"):
        Spread.read({"nose/none": [0.0, 0.1]}, [MIDDLE], np.array([0.1]))


def test_rows_of_different_lengths_are_refused():
    table = {MIDDLE.name: [0.0, 0.1], PAIR.name: [0.0, 0.1, 0.2]}
    with pytest.raises(ValueError, match="equally long"):
        Spread.read(table, [MIDDLE, PAIR], np.zeros(2))


def test_sides_share_what_is_common_and_differ_by_what_is_not():
    eyes = "eyes/l-eye-trans-in"
    weights = local_weights(sampler({eyes: [0.2, 0.1]}, {eyes: [0.0, 0.05]}), 3000)
    left = signed(weights, "eyes/l-eye-trans-in", "eyes/l-eye-trans-out")
    right = signed(weights, "eyes/r-eye-trans-in", "eyes/r-eye-trans-out")
    assert ((left + right) / 2).mean() == pytest.approx(0.2, abs=0.01)
    assert ((left + right) / 2).std() == pytest.approx(0.1, rel=0.05)
    assert ((left - right) / 2).mean() == pytest.approx(0.0, abs=0.01)
    assert ((left - right) / 2).std() == pytest.approx(0.05, rel=0.05)


def test_a_change_to_the_side_is_as_often_to_either():
    """Its row is among what sets the sides apart; what both share does not move it."""
    nose = "nose/nose-trans-in"
    weights = local_weights(sampler({nose: [0.9, 0.5]}, {nose: [0.0, 0.2]}), 3000)
    value = signed(weights, "nose/nose-trans-in", "nose/nose-trans-out")
    assert value.mean() == pytest.approx(0.0, abs=0.02)
    assert value.std() == pytest.approx(0.2, rel=0.05)


def test_a_change_without_opposite_is_never_negative():
    weights = local_weights(sampler({"head/head-oval": [0.0, 0.3]}, {}), 200)
    assert weights["head/head-oval"].min() == 0.0
    assert weights["head/head-oval"].max() > 0.3


def test_phenotypes_move_the_shape_by_their_share():
    one = sampler({}, {}, share=0.5)
    macro = Macro(0.9, 0.4, 0.5, 0.8, 0.5, 0.6, 0.2, 0.2)
    middle = one.phenotype_weights(None)
    np.testing.assert_allclose(
        one.phenotype_weights(macro), 0.5 * middle + 0.5 * macro_weights(macro)
    )
