"""An experiment as Markdown and CSV: the paper's rows beside ours, and how to run each again."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path

from fg3d_builder.evaluation.comparison import SeedSpread
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.reproduction.collecting import ExperimentResult, RowResult
from fg3d_builder.reproduction.runs import Run, Workers, printed
from fg3d_builder.reproduction.scales import Scale
from fg3d_builder.reproduction.statistics import WORDS, Verdict
from fg3d_builder.reproduction.tables import Claim, Column

NONE = "-"


def write_experiment(
    result: ExperimentResult,
    out: Path,
    workers: Workers,
    builds: dict[str, str],
    again: str,
) -> list[Path]:
    """Write ``NAME.md``, ``NAME.csv`` and ``NAME-trainings.csv``; return their paths.

    Parameters
    ----------
    result : ExperimentResult
    out : Path
    workers : Workers
        Their threads stand in the commands.
    builds : dict of variant to str
        The command that builds each dataset.
    again : str
        The command that makes this page.
    """
    name = result.experiment.name
    files = {
        out / f"{name}.md": markdown(result, workers, builds, again),
        out / f"{name}.csv": summary_csv(result),
        out / f"{name}-trainings.csv": trainings_csv(result),
    }
    for path, text in files.items():
        write_bytes(path, text.encode())
    return list(files)


def markdown(result: ExperimentResult, workers: Workers, builds: dict[str, str], again: str) -> str:
    """Return the page."""
    experiment, name = result.experiment, result.experiment.name
    note = f" {experiment.paper_note}" if experiment.paper_note else ""
    lines = [
        *(f"# {experiment.title}", "", experiment.about, ""),
        f"Errors in per cent of the outer interocular distance: mean of {result.samples} test "
        f"samples of {result.subjects} subjects, ± standard deviation over trainings with "
        f"different seeds. *paper* is what the paper states for its own data and networks; "
        f"compare orders and ratios, not numbers.{note}",
        *("", *_table(result), "", f"![{experiment.title}]({name}.png)", ""),
        *("## Does the paper's order hold here?", "", *verdict_table(result.verdicts), ""),
        *("## What this is", "", *setting_lines(result.scale, result.preset, _runs(result)), ""),
        *("## Commands", "", "This page:", "", "```", again, "```", ""),
        *("What it runs, each by itself; a finished or interrupted one is gone on with:", ""),
        *("```", *builds.values(), *_run_commands(result, workers), "```"),
    ]
    return "\n".join(lines) + "\n"


def summary_csv(result: ExperimentResult) -> str:
    """One line per row and column: ours in per cent, with the paper's beside it."""
    heads = ["row", "training_samples", "trainings", "failed", "column", "measure"]
    heads += ["mean_percent", "sd_percent", "least_percent", "largest_percent", "paper_percent"]
    lines: list[list[object]] = [list(heads)]
    for row in result.rows:
        for column in result.shown_columns:
            spread, paper = row.spread[column.title], row.row.paper.get(column.title, "")
            figures = [""] * 4 if spread is None else percentages(spread)
            known = [row.row.name, row.training_samples, len(row.seeds), len(row.failures)]
            lines.append([*known, column.title, column.measure, *figures, paper])
    return csv_text(lines)


def trainings_csv(result: ExperimentResult) -> str:
    """One line per training: its folder, and its mean errors in per cent."""
    columns = result.shown_columns
    lines: list[list[object]] = [["row", "seed", "state", "folder", *(c.title for c in columns)]]
    for row in result.rows:
        for run in row.runs:
            state = "failed" if run.seed in row.failures else "not run"
            state = "finished" if run.finished else state
            means = [row.means[c.title].get(run.seed, math.nan) for c in columns]
            cells = [_cell(100.0 * mean) for mean in means]
            lines.append([row.row.name, run.seed, state, run.folder.name, *cells])
    return csv_text(lines)


def _table(result: ExperimentResult) -> list[str]:
    columns = result.shown_columns
    stated = [c for c in columns if any(c.title in r.row.paper for r in result.rows)]
    counted = any(row.row.paper_samples for row in result.rows)
    heads = ["", "trainings", "training samples", *(c.title for c in columns)]
    heads += [f"*paper* {c.title}" for c in stated]
    heads += ["*paper* training samples"] if counted else []
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    best = {c.title: _least(result, c) for c in columns}
    for row in result.rows:
        cells = [row.row.name, _trainings(row), f"{row.training_samples:,}"]
        if row.row.training is None:
            cells = [row.row.name, NONE, NONE]
        cells += [figure_text(row.spread[c.title], best[c.title]) for c in columns]
        cells += [_stated(row.row.paper.get(c.title)) for c in stated]
        if counted:
            cells += [f"{row.row.paper_samples:,}" if row.row.paper_samples else NONE]
        lines.append(f"| {' | '.join(cells)} |")
    failures = [(row.row.name, s, text) for row in result.rows for s, text in row.failures.items()]
    if failures:
        lines += ["", "Failed trainings, which no figure contains:", ""]
        lines += [f"* {name}, seed {seed}: `{text}`" for name, seed, text in failures]
    return lines


def _trainings(row: RowResult) -> str:
    text = str(len(row.seeds))
    return f"{text}, {len(row.failures)} failed" if row.failures else text


def _least(result: ExperimentResult, column: Column) -> float:
    known = [r.spread[column.title] for r in result.rows]
    return min((s.mean for s in known if s is not None), default=math.nan)


def figure_text(spread: SeedSpread | None, least: float = math.nan) -> str:
    """Mean and standard deviation in per cent; bold where the mean is the least of its column."""
    if spread is None:
        return NONE
    text = f"{100.0 * spread.mean:.3f}"
    text = f"**{text}**" if spread.mean == least else text
    # The fit's spread over seeds is 0, and says nothing.
    return f"{text} ± {100.0 * spread.sd:.3f}" if spread.sd > 0 else text


def _stated(value: float | None) -> str:
    return NONE if value is None else f"{value:.2f}"


def verdict_table(verdicts: tuple[Verdict, ...]) -> list[str]:
    """Return the paper's claims with what is found here, in Markdown."""
    heads = ["the paper: lower error", "than", "in", "here: difference, points"]
    heads += ["95 % over subjects", "95 % over seeds", "subjects", "seeds", "verdict"]
    lines = [f"| {' | '.join(heads)} |", f"|{'---|' * len(heads)}"]
    for v in verdicts:
        claim, found = v.claim, v.comparison
        figures = [NONE] * 5
        if found is not None:
            figures = [
                f"{100.0 * found.difference:+.3f}",
                _interval(found.low, found.high),
                _interval(*v.over_seeds) if v.seeds > 1 else NONE,
                f"{found.a_better} of {found.subjects}",
                f"{v.seeds_agree} of {v.seeds}",
            ]
        cells = [claim.better, claim.worse, _in(claim), *figures, f"**{v.word}**: {v.why}"]
        lines.append(f"| {' | '.join(cells)} |")
    counts = {word: sum(v.word == word for v in verdicts) for word in WORDS}
    tally = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    lines += [
        "",
        f"Of {len(verdicts)} orders of the paper: {tally}. Over subjects: bootstrap, errors "
        "averaged over seeds. Over seeds: Welch's interval of the trainings' means. An order is "
        "*undecided* where one of both holds 0. *Subjects* and *seeds* count those with the "
        "paper's order; seeds that only one of two rows has finished are left out.",
    ]
    return lines


def _interval(low: float, high: float) -> str:
    return f"{100.0 * low:+.3f} to {100.0 * high:+.3f}"


def setting_lines(scale: Scale, preset: Path, runs: Sequence[Run]) -> list[str]:
    """Say in Markdown what was trained on what, at which scale."""
    epochs = f"{scale.epochs} epochs" if scale.epochs else "the preset's epochs"
    bound = (
        f"at most {scale.captured_samples:,} samples with captured shapes"
        if scale.captured_samples
        else "all samples"
    )
    seeds = sorted({run.seed for run in runs})
    datasets = dict.fromkeys(d for run in runs for d in (run.tested_on, run.trained_on))
    return [
        f"* scale `{scale.name}`: training preset `{scale.train_preset}`, {epochs}, {bound}",
        f"* captures: `{preset}`",
        f"* seeds: {', '.join(str(seed) for seed in seeds)}",
        *(f"* dataset `{d.variant}`: `{d.folder}`, content `{d.content_sha256}`" for d in datasets),
    ]


def _run_commands(result: ExperimentResult, workers: Workers) -> list[str]:
    words = [words for run in _runs(result) for words in run.commands]
    return list(dict.fromkeys(printed(w, workers) for w in words))


def _runs(result: ExperimentResult) -> list[Run]:
    return [run for row in result.rows for run in row.runs]


def verdict_lines(verdicts: tuple[Verdict, ...]) -> list[str]:
    """One plain sentence per claim of the paper."""
    lines = []
    for v in verdicts:
        claim = v.claim
        text = f"{v.word}: {claim.better} better than {claim.worse} ({_in(claim)}); {v.why}"
        if v.comparison is not None:
            text += f", {100.0 * v.comparison.difference:+.3f} points"
        lines.append(text)
    return lines


def _in(claim: Claim) -> str:
    measure, title = claim.column.measure, claim.column.title
    return measure if title == measure else f"{measure} {title}"


def percentages(spread: SeedSpread) -> list[str]:
    """Mean, standard deviation, least and largest in per cent, as cells of a CSV file."""
    return [_cell(100.0 * v) for v in (spread.mean, spread.sd, spread.low, spread.high)]


def _cell(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""


def csv_text(lines: list[list[object]]) -> str:
    """Return rows of cells as CSV."""
    buffer = io.StringIO()
    csv.writer(buffer, lineterminator="\n").writerows(lines)
    return buffer.getvalue()
