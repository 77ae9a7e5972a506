"""The examples of docs/dataset.md run as written, one after the other, on a small dataset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_shards import write_toy_shards

PAGE = Path(__file__).resolve().parents[2] / "docs/dataset.md"
SAMPLES = 19


@pytest.fixture(scope="module")
def scope(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the page's names are when its last example has run."""
    folder = tmp_path_factory.mktemp("toy")
    write_toy_shards(folder, train=SAMPLES)
    examples = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert len(examples) == 3
    names: dict[str, Any] = {}
    for example in examples:
        exec(example.replace("build/demo/dataset", str(folder)), names)
    return names


def test_a_part_of_the_fields_is_read(scope: dict[str, Any]) -> None:
    faces = scope["faces"]
    assert set(faces[0]) == {"image", "delta_obj_mm", "confidence"}
    batch = faces.batch([5, 0, 7])
    np.testing.assert_array_equal(batch["image"][2], faces[7]["image"])


def test_the_last_batch_of_the_loader_is_that_of_its_order(scope: dict[str, Any]) -> None:
    reader, batches = scope["train"], scope["batches"]
    order = list(batches)
    assert len(order) == SAMPLES // 8
    np.testing.assert_array_equal(
        scope["images"].numpy(),
        np.stack([reader[i]["image"] for i in order[-1]]).transpose(0, 3, 1, 2) / np.float32(255),
    )
    np.testing.assert_array_equal(scope["batch"]["rotation"][3], reader[order[-1][3]]["rotation"])
