"""Real scans in Florence's layout."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fg3d_builder.fgnet.trained import Trained
from fg3d_builder.files.products import SUFFIX
from fg3d_builder.testsets import evaluate_protocol, open_protocol
from fg3d_builder.testsets.results import FIT


@pytest.mark.data
@pytest.mark.slow
def test_facefuns_scans_in_florences_layout(
    shared_data: Path, untrained: Trained, tmp_path: Path
) -> None:
    scans = shared_data / "scans"
    for number, name in enumerate(("facefuns-f18", "facefuns-m66"), start=1):
        place = tmp_path / "data" / f"subject_{number:02d}/Model/frontal1"
        place.mkdir(parents=True)
        (place / "obj").symlink_to(scans / name)
    protocol = open_protocol("florence", tmp_path / "data")
    views = ("pitch+00_yaw+00", "pitch+20_yaw+30", "pitch+00_yaw-45")
    images = tuple(image for image in protocol.images if image.image_id.endswith(views))
    results = evaluate_protocol(
        replace(protocol, images=images), tmp_path / "out", untrained.model, {"net": untrained}
    )
    assert not results.unusable
    errors = results.errors(FIT)
    # Averages of ten people are easier than the people; no photo is fitted to the bone.
    assert np.all(errors > 0.004)
    assert np.all(errors < 0.025)
    assert np.allclose(results.errors("net"), errors, atol=1e-7)
    assert {p.name for p in (tmp_path / "out/truth").iterdir()} == {
        f"subject_{number:02d}{suffix}" for number in (1, 2) for suffix in (".png", SUFFIX)
    }
