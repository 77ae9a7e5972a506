"""The example of docs/faq.md runs as written and finds the tip of the nose."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
from toy_shards import write_toy_shards

PAGE = Path(__file__).resolve().parents[2] / "docs" / "faq.md"


def test_the_tip_of_the_nose_is_where_the_faq_looks_for_it(tmp_path: Path) -> None:
    write_toy_shards(tmp_path, train=2)
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    *statements, last = example.replace("build/demo/dataset", str(tmp_path)).strip().splitlines()
    names: dict[str, Any] = {}
    exec("\n".join(statements), names)
    (tip,) = eval(last, names)
    # The point of the toy face that stands out farthest is its nose.
    shape = names["train"][0]["shape_obj_mm"]
    assert np.linalg.norm(shape[shape[:, 2].argmax()] - tip) < 3.0
