import numpy as np
import pytest

from fg3d_builder.geometry.meshes import undirected_edges
from fg3d_builder.heads.blink import BLINKS, closing_blinks, lid_margin, meeting


def opening_mm(population, neutral, face, label):
    """Largest distance between the lids of an eye."""
    ring = lid_margin(
        undirected_edges(population.head.sheet_triangles), population.head.eye == label
    )
    return 2 * np.linalg.norm(meeting(neutral, face, ring), axis=1).max()


@pytest.mark.parametrize("seed", range(50_000, 50_004))
def test_a_full_blink_closes_every_persons_eyes(population, seed):
    head = population.subject(seed)
    for name, label in BLINKS.items():
        weights = np.zeros(len(population.action_names))
        weights[population.action_names.index(name)] = 1.0
        assert opening_mm(population, head.shape(), head.shape(), label) > 6.0
        # The lids are polylines with corners of their own.
        assert opening_mm(population, head.shape(), head.shape(weights), label) < 1.0


def test_only_the_lids_and_the_skin_around_them_are_corrected(population):
    head = population.head
    own = closing_blinks(
        population.average_mm,
        head.actions(),
        head.action_names,
        head.sheet_triangles,
        head.eye,
    )
    changed = np.abs(own - head.actions()).max(axis=(0, 1)) > 1e-6
    assert {head.action_names[i] for i in np.flatnonzero(changed)} == set(BLINKS)
    left = head.action_names.index("eyeBlinkLeft")
    moved = np.linalg.norm(own[..., left] - head.actions()[..., left], axis=1)
    assert moved[population.average_mm[:, 0] < 5].max() == 0.0
    assert moved.max() < 6.0
