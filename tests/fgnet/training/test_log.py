"""What a training says within an epoch."""

from __future__ import annotations

import pytest

from fg3d_builder.fgnet.training import log
from fg3d_builder.fgnet.training.log import StepLines


def test_lines_within_an_epoch_count_the_epochs_after_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now = {"s": 100.0}
    monkeypatch.setattr(log.time, "monotonic", lambda: now["s"])
    lines = StepLines(epochs=3, steps=50, first=60)
    assert not lines.due()
    now["s"] += 20.0
    assert lines.due()
    # Ten steps in 20 s; 30 of the second epoch are left, and the third.
    line = lines.line(epoch=1, batch=20, step=70, sums={"total": 40.0})
    assert line == "epoch 2/3, step 20/50: loss 2 so far, about 160 s left"
    assert not lines.due()
