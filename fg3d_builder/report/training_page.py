"""The page of a training run: its curves, its errors on the face, and its worst samples.

Read from the files in the run's folder, so that it can be written again anywhere, without torch.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fg3d_builder.fgnet.training.log import WATCHED, read_log, watched_split
from fg3d_builder.fgnet.training.names import (
    ASSESSMENT_NAME,
    BOARD_NAME,
    CALIBRATED,
    CONFIG_NAME,
    CONSTANT,
    ERROR_MAPS_NAME,
    FIT,
    KEYS,
    LOG_NAME,
    LOOK,
    PREDICTED,
    REPORT_NAME,
)
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.sealed_object import read_sealed_object
from fg3d_builder.report.charts import Chart, Line, lines_svg
from fg3d_builder.report.templating import rendered
from fg3d_builder.wording import counted

PICTURES = "pictures"
_CURVE_POINTS = 120


def page_can_be_written(folder: Path) -> bool:
    """Whether a folder has what the page needs: settings of a training run, and be it no more.

    `fgnet.training.names.is_run` asks for more: something that a run has begun or left to go on
    with.
    """
    return (folder / CONFIG_NAME).is_file() and not (folder / "work").is_dir()


def write_training_page(run: Path) -> Path:
    """Write the page of a run as far as it has come, whole or not at all; return its path.

    Raises
    ------
    FileNotFoundError
        The folder holds no training run.
    """
    config = read_sealed_object(run / CONFIG_NAME)
    rows = read_log(run / LOG_NAME)
    assessments, damaged = [], []
    for file in sorted(run.glob(f"assessment-*/{ASSESSMENT_NAME}")):
        try:
            assessments.append(_assessment(file.parent))
        except ValueError as error:
            damaged.append(f"{error}; `fg3d assess` makes it anew")
    page = rendered(
        "training.html",
        brand=_name(run),
        title=f"{_name(run)}: training run",
        navigation=_navigation(assessments),
        here=REPORT_NAME,
        numbers=_numbers(config, rows),
        charts=_charts(rows),
        assessments=assessments,
        damaged=damaged,
        grids=_grids(run),
        watched=watched_split(rows) or "watched",
        network=config["network"],
        seed=config["seed"],
        board=f"{run}/{BOARD_NAME}" if (run / BOARD_NAME).is_dir() else "",
        per_epoch=round(rows[-1]["step"] / rows[-1]["epoch"]) if rows else 0,
    )
    write_bytes(run / REPORT_NAME, page.encode("utf-8", "backslashreplace"))
    return run / REPORT_NAME


def _name(run: Path) -> str:
    """Return the names of the run's folder and of the one around it: most are called training."""
    folder = run.resolve()
    return f"{folder.parent.name}/{folder.name}".lstrip("/")


def _grids(run: Path) -> list[tuple[int, str]]:
    """Return the pictures of samples with their epochs, in the order of these."""
    found = {file.stem.removeprefix("epoch-"): file for file in run.glob(f"{PICTURES}/epoch-*.png")}
    epochs = sorted((int(number), file) for number, file in found.items() if number.isdecimal())
    return [(epoch, f"{PICTURES}/{file.name}") for epoch, file in epochs]


def _navigation(assessments: Sequence[Mapping[str, Any]]) -> list[tuple[str, str, None]]:
    anchors = [(one["title"], f"#{one['anchor']}", None) for one in assessments]
    return [("Training", REPORT_NAME, None), *anchors]


def _numbers(config: Mapping[str, Any], rows: Sequence[Mapping[str, float]]) -> list[Any]:
    last = rows[-1] if rows else {}
    split = watched_split(rows)
    tested = [row for row in rows if math.isfinite(row.get(f"{split}_nme", math.nan))]
    shown = [
        (f"{last.get('epoch', 0):.0f} of {config['epochs']}", "epochs"),
        (f"{last.get('step', 0):,.0f}", "steps"),
        (f"{last['total']:.4g}" if rows else "-", "loss of the last epoch"),
    ]
    if tested:
        newest = tested[-1]
        nme, fit = newest[f"{split}_nme"], newest.get(f"{split}_fit_nme", math.nan)
        shown.append((f"{100 * nme:.2f} %", f"NME of the network, {split} split"))
        if math.isfinite(fit):
            shown.append((f"{100 * fit:.2f} %", f"NME of the 3DMM fit, {split} split"))
            shown.append((f"{100 * (nme / fit - 1):+.1f} %", "NME against the 3DMM fit"))
    return shown


def _charts(rows: Sequence[Mapping[str, float]]) -> list[Chart]:
    if not rows:
        return []
    epochs = [row["epoch"] for row in rows]
    split = watched_split(rows) or WATCHED[-1]

    def line(name: str, key: str, colour: int, factor: float = 1.0) -> Line:
        return Line(name, epochs, [factor * row.get(key, math.nan) for row in rows], colour)

    terms = [
        line("MSE, mm²", "mse", 0),
        line("VGD, mm²", "vgd", 1),
        line("PSD, of full brightness", "psd", 2),
    ]
    return [
        Chart(
            "Loss",
            lines_svg([line("loss", "total", 0)], "epoch", "loss, weighted sum of its terms", True),
            "Mean of an epoch, on a logarithmic axis. It should fall fast, then slowly.",
        ),
        Chart(
            "Terms of the loss",
            lines_svg([one for one in terms if _any(one)], "epoch", "term, in its unit", True),
            "Before they are weighted; those that the loss has not are not computed.",
        ),
        Chart(
            f"NME on the {split} split",
            lines_svg(
                _against_fit(rows, line, f"{split}_nme", f"{split}_fit_nme"),
                "epoch",
                "NME, % of interocular distance",
            ),
            "After the epochs that are pictured. Below the dashed line the network is better than "
            "the 3DMM fit that it starts from; where it rises while the loss falls, it learns the "
            "training faces by heart.",
        ),
        Chart(
            f"DACE on the {split} split",
            lines_svg(
                _against_fit(rows, line, f"{split}_dace", f"{split}_fit_dace"),
                "epoch",
                "DACE, % of interocular distance",
            ),
            "Of some samples: distance to the surface, whatever slides along it.",
        ),
        Chart(
            "Learning rate",
            lines_svg([line("rate", "rate", 3)], "epoch", "learning rate", True),
            "At the last step of each epoch.",
        ),
    ]


def _against_fit(rows: Sequence[Mapping[str, float]], line: Any, key: str, fit: str) -> list[Line]:
    levels = [row[fit] for row in rows if math.isfinite(row.get(fit, math.nan))]
    lines = [line(PREDICTED, key, 0, 100.0)]
    return [*lines, *([Line(FIT, [], [100 * levels[-1]], 1, True)] if levels else [])]


def _any(line: Line) -> bool:
    return any(math.isfinite(value) for value in line.y)


def _assessment(folder: Path) -> dict[str, Any]:
    """Return what the page says of an assessment.

    Raises
    ------
    ValueError
        The file is damaged.
    """
    value = read_sealed_object(folder / ASSESSMENT_NAME)
    # The maps of earlier versions had another unit.
    has_maps = "mean_mm" in value and (folder / ERROR_MAPS_NAME).is_file()
    samples, about = value["samples"], value["about"]
    subjects = {sample["subject_id"] for sample in samples}
    pictures = [one for one in value.get("worst", []) if (folder / one["picture"]).is_file()]
    return {
        "anchor": folder.name,
        "title": f"Assessment, {about['split']} split" + _elsewhere(folder, about["split"]),
        "content": about["content_sha256"][:16],
        "samples": len(samples),
        "of_whom": f"{counted(len(samples), 'sample')} of {counted(len(subjects), 'subject')}",
        "mean_fit": value["mean_fit"],
        "mean_predicted": value["mean_predicted"],
        "lowered_by": value["lowered_by"],
        "dace": _means(samples, "dace", list(value["by_yaw"])),
        "psd": _means(samples, "psd", list(value["by_yaw"])),
        "paired": value["paired"],
        "methods": list(value["by_yaw"]),
        "by_yaw": _yaw_rows(value["by_yaw"]),
        "charts": _error_charts(samples),
        "maps": f"{folder.name}/{ERROR_MAPS_NAME}" if has_maps else "",
        "worst": [
            {**samples[one["sample"]], "picture": f"{folder.name}/{one['picture']}"}
            for one in pictures
        ],
    }


def _elsewhere(folder: Path, split: str) -> str:
    other = folder.name.removeprefix(f"assessment-{split}")
    return f" of dataset {other.lstrip('-')}" if other else ""


def _means(
    samples: Sequence[Mapping[str, Any]], measure: str, names: Sequence[str]
) -> list[float] | None:
    """Means of the methods `names`; None for a measure that the assessment does not have."""
    keys = [f"{KEYS[name]}_{measure}" for name in names]
    if not samples or any(key not in samples[0] for key in keys):
        return None
    return [float(np.mean([sample[key] for sample in samples])) for key in keys]


def _yaw_rows(tables: Mapping[str, Sequence[Mapping[str, float]]]) -> list[dict[str, Any]]:
    rows = list(zip(*tables.values(), strict=True))  # the last is that of all
    names = [f"{one[0]['low_deg']:g} to {one[0]['high_deg']:g}" for one in rows[:-1]]
    return [
        {"name": name, "samples": int(one[0]["samples"]), "errors": [row["mean"] for row in one]}
        for name, one in zip([*names, "all"], rows, strict=True)
    ]


def _error_charts(samples: Sequence[Mapping[str, Any]]) -> list[Chart]:
    """Return the cumulative curve of all methods' errors."""
    names = (PREDICTED, FIT, CALIBRATED, CONSTANT, LOOK)  # the last ones may be missing
    lines = [
        _cumulative(name, [sample[KEYS[name]] for sample in samples], colour)
        for colour, name in enumerate(names)
        if KEYS[name] in samples[0]
    ]
    return [
        Chart(
            "Cumulative errors",
            lines_svg(lines, "NME, % of interocular distance", "samples below it, %"),
            "The further left and up, the better.",
        ),
    ]


def _cumulative(name: str, errors: Sequence[float], colour: int) -> Line:
    values = 100 * np.sort(np.array(errors, dtype=np.float64))
    share = 100 * np.arange(1, len(values) + 1) / len(values)
    kept = np.unique(np.linspace(0, len(values) - 1, _CURVE_POINTS).round().astype(int))
    return Line(name, values[kept].tolist(), share[kept].tolist(), colour)
