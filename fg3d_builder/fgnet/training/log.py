"""What a training reports: a table, a picture of its curves, and TensorBoard where it is there."""

from __future__ import annotations

import csv
import importlib.util
import math
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import cv2
import numpy as np

from fg3d_builder.fgnet.training.names import BOARD_NAME, LOG_NAME
from fg3d_builder.files.atomic import replacing, write_bytes
from fg3d_builder.files.encoding import encode_png
from fg3d_builder.records import Array
from fg3d_builder.wording import duration

WATCHED = ("val", "test")
"""Splits that a training may watch, see `loop.Trainer`."""

ERRORS = ("nme", "fit_nme", "dace", "fit_dace")
"""Errors of the network and of the 3DMM fit after the epochs that are pictured, as fractions of the
interocular distance; a column's name begins with the split, as in ``val_nme``."""

NAMES = (
    *("step", "epoch", "rate", "total", "mse", "psd", "vgd"),
    *(f"{split}_{error}" for split in WATCHED for error in ERRORS),
)
LOSS_COLOUR, ERROR_COLOUR = (40, 90, 200), (200, 110, 30)
WIDTH, HEIGHT, BORDER = 900, 420, 60

PAUSE_S = 10.0
"""Between two lines within an epoch."""

_MARKS = 6
"""Lines that the present pace is measured over: a minute, or so many steps that take longer."""


class TrainingLog:
    """``log.csv``, one row an epoch; a training that goes on drops what it does again.

    Parameters
    ----------
    folder : Path
    step : int
        Steps done: later rows are of a run that was cut off.
    writes : bool
        Other processes of a distributed training keep quiet.
    """

    def __init__(self, folder: Path, step: int, writes: bool = True) -> None:
        self._path = folder / LOG_NAME
        self._writes = writes
        self._board: Any = None
        self.rows = [row for row in read_log(self._path) if row["step"] <= step]
        if writes and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / BOARD_NAME), purge_step=step + 1)

    def __enter__(self) -> TrainingLog:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._board is not None:
            self._board.close()

    def add(
        self,
        step: int,
        epoch: int,
        rate: float,
        terms: Mapping[str, float],
        errors: Mapping[str, float],
    ) -> None:
        """Add one epoch; of `terms` and `errors`, what is not there is not known.

        `rate` is the learning rate, `terms` the loss's mean over the epoch by the name of each
        term, `errors` those on the watched split by the names of their columns, see `ERRORS`.
        """
        row = {"step": step, "epoch": epoch, "rate": rate, **terms, **errors}
        self.rows.append({name: float(row.get(name, math.nan)) for name in NAMES})
        with replacing(self._path) as temporary, temporary.open("w", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(NAMES)
            for known in self.rows:
                writer.writerow([_cell(known[name]) for name in NAMES])
        if self._board is not None:
            for name in NAMES[2:]:
                if math.isfinite(self.rows[-1][name]):
                    self._board.add_scalar(name, self.rows[-1][name], step)

    def curves(self) -> None:
        """Draw ``curves.png``."""
        if self._writes and self.rows:
            data = encode_png(curves_picture(self.rows))
            write_bytes(self._path.with_name("curves.png"), data)


class StepLines:
    """Lines for a person who waits for an epoch: how far it is, and how much longer all takes.

    That is told by the present pace, and not before it is known.

    Parameters
    ----------
    epochs, steps : int
        In all, and of an epoch.
    steady : bool
        Whether the epochs after this one take as long: not where this one simulates inputs that are
        kept for them.
    """

    def __init__(self, epochs: int, steps: int, steady: bool = True) -> None:
        self._epochs, self._steps, self._steady = epochs, steps, steady
        self._said = time.monotonic()
        self._marks: deque[tuple[float, int]] = deque(maxlen=_MARKS)

    def due(self, step: int) -> bool:
        """Take note that so many steps of all are done; return whether it is time for a line."""
        now = time.monotonic()
        if not self._marks:  # what the first step waited for does not come again
            self._marks.append((now, step))
        return now - self._said > PAUSE_S

    def line(self, epoch: int, batch: int, step: int, sums: Mapping[str, float]) -> str:
        """Return a line.

        Parameters
        ----------
        epoch, batch, step : int
            Epochs that are done, steps of this epoch that are done, and of all.
        sums : mapping of str to float
            Sums of the loss's terms over the epoch so far.
        """
        self._said = time.monotonic()
        text = (
            f"epoch {epoch + 1}/{self._epochs}, step {batch}/{self._steps}: "
            f"loss {sums['total'] / max(batch, 1):.4g} so far"
        )
        before, first = self._marks[0]
        self._marks.append((self._said, step))
        if step <= first:
            return text
        pace = (self._said - before) / (step - first)
        if not self._steady and epoch + 1 < self._epochs:
            rest = duration(pace * (self._steps - batch))
            return f"{text}, about {rest} left of this epoch; those after it take less"
        left = ((self._epochs - epoch) * self._steps - batch) * pace
        return f"{text}, about {duration(left)} left"


def read_log(path: Path) -> list[dict[str, float]]:
    """Read the rows of a ``log.csv``; none where there is no such file.

    Values that were not computed are NaN, also those that earlier versions did not write.
    """
    if not path.is_file():
        return []
    with path.open(newline="") as file:
        return [
            {name: float(row.get(name) or math.nan) for name in NAMES}
            for row in csv.DictReader(file)
        ]


def watched_split(rows: Sequence[Mapping[str, float]]) -> str | None:
    """Return the split that the newest errors in a log are of; None where there are none yet."""
    for row in reversed(rows):
        for split in WATCHED:
            if math.isfinite(row.get(f"{split}_nme", math.nan)):
                return split
    return None


def curves_picture(rows: list[dict[str, float]]) -> Array:
    """Draw loss and the watched split's NME over the epochs, RGB uint8.

    Each on its own logarithmic scale.
    """
    picture = np.full((HEIGHT, WIDTH, 3), 255, dtype=np.uint8)
    right, low = WIDTH - BORDER, HEIGHT - BORDER
    cv2.rectangle(picture, (BORDER, BORDER), (right, low), (150, 150, 150), 1)
    last = max(row["epoch"] for row in rows)
    curves = [("total", LOSS_COLOUR)]
    split = watched_split(rows)
    if split is not None:
        curves.append((f"{split}_nme", ERROR_COLOUR))
    for place, (name, colour) in enumerate(curves):
        known = [(r["epoch"], math.log10(r[name])) for r in rows if r[name] > 0]
        if not known:
            continue
        values = [value for _, value in known]
        bottom, top = min(values), max(max(values), min(values) + 1e-3)
        points = [
            (
                BORDER + (right - BORDER) * epoch / max(last, 1.0),
                low - (low - BORDER) * (value - bottom) / (top - bottom),
            )
            for epoch, value in known
        ]
        line = np.rint(points).astype(np.int32)
        cv2.polylines(picture, [line], False, colour, 2, cv2.LINE_AA)
        for x, y in line if len(line) < 20 else line[:0]:
            cv2.circle(picture, (int(x), int(y)), 3, colour, -1, cv2.LINE_AA)
        text = f"{name}: {10 ** values[0]:.4g} -> {10 ** values[-1]:.4g} (least {10**bottom:.4g})"
        _write(picture, text, (BORDER + 8 + 400 * place, BORDER - 14), colour)
    _write(picture, f"epoch 0 to {last:.0f}, logarithmic", (BORDER + 8, low + 28), (60, 60, 60))
    return picture


def _write(picture: Array, text: str, at: tuple[int, int], colour: tuple[int, int, int]) -> None:
    cv2.putText(picture, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, 1, cv2.LINE_AA)


def _cell(value: float) -> str:
    if math.isnan(value):
        return ""
    return f"{value:.0f}" if value == round(value) and abs(value) < 1e9 else f"{value:.8g}"
