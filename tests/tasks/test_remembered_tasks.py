"""What tasks remember is what they would be told again."""

from __future__ import annotations

import luigi
import pytest

from fg3d_builder.pipeline.dataset import DonorDraws
from fg3d_builder.tasks import dataset_tasks
from fg3d_builder.tasks.base import BuildTask
from fg3d_builder.tasks.chunks import Index
from fg3d_builder.tasks.dataset_tasks import DrawDonors, TransformShapes, WriteShard
from fg3d_builder.tasks.report_tasks import DrawAugmentation, WriteReport


@pytest.mark.parametrize(
    "kind", [BuildTask, DrawDonors, TransformShapes, WriteShard, DrawAugmentation, WriteReport]
)
def test_parameters_are_those_that_luigi_finds(kind: type[BuildTask]) -> None:
    found = luigi.Task.get_params.__func__(kind)  # type: ignore[attr-defined]
    assert kind.get_params() == found
    assert {"root", "config"} <= {name for name, _ in found}


def test_draws_of_chunks_are_forgotten_with_the_dataset_that_they_are_of() -> None:
    memory, index = dataset_tasks.ChunkDraws(), Index(())
    first, second = DonorDraws({}, {}), DonorDraws({}, {})
    memory.of(first, index)["chunk"] = ({}, "a")
    assert memory.of(first, index) == {"chunk": ({}, "a")}
    assert memory.of(second, index) == {}
    memory.of(second, index)["chunk"] = ({}, "b")
    assert memory.of(second, Index(())) == {}
