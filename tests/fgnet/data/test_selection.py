from __future__ import annotations

import numpy as np
import pytest

from fg3d_builder.fgnet.data.selection import SelectionConfig, selected

SOURCES = ["capture", "transform-0", "transform-1", "transform-2"] * 5
IDS = [f"face-{i // 4}/view+00+00/{source}" for i, source in enumerate(SOURCES)]


@pytest.mark.parametrize(("transforms", "count"), [(-1, 20), (0, 5), (1, 10), (3, 20)])
def test_so_many_transformed_shapes(transforms: int, count: int) -> None:
    found = selected(SelectionConfig(transforms=transforms), IDS, SOURCES)
    assert len(found) == count
    if transforms == 0:
        assert {SOURCES[i] for i in found} == {"capture"}


def test_a_lower_limit_is_part_of_a_higher_one() -> None:
    few = selected(SelectionConfig(limit=4), IDS, SOURCES)
    more = selected(SelectionConfig(limit=9), IDS, SOURCES)
    assert len(few) == 4
    assert set(few) < set(more)
    assert np.all(np.diff(more) > 0)
    # What else there is does not matter: the same samples are chosen of a longer list.
    names = [IDS[i] for i in few]
    order = np.random.default_rng(0).permutation(20)
    again = selected(SelectionConfig(limit=4), [IDS[i] for i in order], [SOURCES[i] for i in order])
    assert {IDS[order[i]] for i in again} == set(names)


def test_what_cannot_be_selected_is_refused() -> None:
    with pytest.raises(ValueError, match="no sample"):
        selected(SelectionConfig(transforms=0), ["a"], ["transform-0"])
    with pytest.raises(ValueError, match="unknown shape source 'morph'"):
        selected(SelectionConfig(transforms=0), ["a"], ["morph"])
    with pytest.raises(ValueError, match="limit = -1"):
        SelectionConfig(limit=-1)
