from __future__ import annotations

import dataclasses

import numpy as np
from toy_models import toy_model

from fg3d_builder.commands.models_check import findings_of


def test_a_model_with_few_landmarks_is_doubtful_and_told_to_the_end() -> None:
    """One with the inner points of the 68 alone, as a file of one's own may have them."""
    findings = list(findings_of(toy_model()))
    doubtful = [finding.text for finding in findings if not finding.good]
    assert "ibug68: 51 points, 24 contour lines" in doubtful
    assert "mediapipe478: none" in doubtful
    assert any(text.startswith("surround: none") for text in doubtful)
    assert any(finding.text.startswith("chart: 256 x 256") for finding in findings)


def test_a_sheet_with_a_hole_is_doubtful() -> None:
    model = toy_model()
    middle = model.mean[model.triangles].mean(axis=1) - model.mean.mean(axis=0)
    inner = int(np.argmin(np.linalg.norm(middle, axis=1)))
    holed = dataclasses.replace(model, triangles=np.delete(model.triangles, inner, axis=0))
    first = next(findings_of(holed))
    assert not first.good
    assert "borders: 2, Euler number 0" in first.text
