"""What a training says within an epoch."""

from __future__ import annotations

import pytest

from fg3d_builder.fgnet.training import log
from fg3d_builder.fgnet.training.log import StepLines


def test_lines_within_an_epoch_count_the_epochs_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"s": 100.0}
    monkeypatch.setattr(log.time, "monotonic", lambda: now["s"])
    lines = StepLines(epochs=3, steps=50)
    now["s"] += 500.0  # whatever the first step waits for
    assert lines.due(61)
    # No pace yet.
    sums = {"total": 22.0}
    assert lines.line(epoch=1, batch=11, step=61, sums=sums).endswith("loss 2 so far")
    now["s"] += 20.0
    assert lines.due(71)
    # Ten steps in 20 s; 29 of the second epoch are left, and the third.
    line = lines.line(epoch=1, batch=21, step=71, sums={"total": 42.0})
    assert line == "epoch 2/3, step 21/50: loss 2 so far, about 3 min left"
    assert not lines.due(72)


def test_the_time_left_follows_the_present_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Slow for ten minutes, as while something else runs, then twenty times as fast."""
    now = {"s": 0.0}
    monkeypatch.setattr(log.time, "monotonic", lambda: now["s"])
    lines = StepLines(epochs=1, steps=1000)
    step, said = 0, ""
    for pace, steps in ((12.0, 50), (0.6, 300)):
        for _ in range(steps):
            now["s"] += pace
            step += 1
            if lines.due(step):
                said = lines.line(0, step, step, {"total": 1.0})
    left = float(said.rsplit("about ", 1)[1].split()[0])  # minutes
    assert left == pytest.approx(650 * 0.6 / 60, abs=0.5)


def test_an_epoch_that_makes_inputs_for_the_others_says_nothing_of_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = {"s": 0.0}
    monkeypatch.setattr(log.time, "monotonic", lambda: now["s"])
    lines = StepLines(epochs=45, steps=100, steady=False)
    lines.due(1)
    now["s"] += 20.0
    assert lines.due(11)
    said = lines.line(0, 11, 11, {"total": 11.0})
    assert said.endswith("about 3 min left of this epoch; those after it take less")
