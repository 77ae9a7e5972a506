"""An experiment as Markdown and CSV: the paper's rows beside ours, and how to run each again."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from fg3d_builder.evaluation.comparison import SeedSpread
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.csv_text import csv_text
from fg3d_builder.files.markdown import code, page, table
from fg3d_builder.reproduction.results import ExperimentResult, RowResult
from fg3d_builder.reproduction.runs import printed
from fg3d_builder.reproduction.setting import Setting
from fg3d_builder.reproduction.statistics import WORDS, Verdict
from fg3d_builder.reproduction.tables import Claim, Column
from fg3d_builder.reproduction.variants import Dataset

NONE = "-"


def write_experiment(
    result: ExperimentResult, setting: Setting, datasets: Mapping[str, Dataset], again: str
) -> list[Path]:
    """Write ``NAME.md``, ``NAME.csv`` and ``NAME-runs.csv``; return their paths.

    Parameters
    ----------
    result : ExperimentResult
    setting : Setting
    datasets : mapping of variant to Dataset
        Datasets that the rows are trained and tested on.
    again : str
        The command that makes this page.
    """
    name, out = result.experiment.name, setting.out
    files = {
        out / f"{name}.md": markdown(result, setting, datasets, again),
        out / f"{name}.csv": summary_csv(result),
        out / f"{name}-runs.csv": runs_csv(result),
    }
    for path, text in files.items():
        write_bytes(path, text.encode())
    return list(files)


def markdown(
    result: ExperimentResult, setting: Setting, datasets: Mapping[str, Dataset], again: str
) -> str:
    """Return the page; parameters as for `write_experiment`."""
    experiment = result.experiment
    builds = [setting.variants.command(variant, setting.workers) for variant in datasets]
    words = [words for row in result.rows for run in row.runs for words in run.commands()]
    trains = dict.fromkeys(printed(w, setting.threads) for w in words)
    errors = (
        f"Errors in per cent of the outer interocular distance: mean of {result.samples} test "
        f"samples of {result.subjects} subjects, ± standard deviation over training runs with "
        "different seeds. *paper* is what the paper states for its own data and networks; "
        f"compare orders and ratios, not numbers. {experiment.paper_note}"
    )
    return page(
        experiment.title,
        {
            "": [
                experiment.about,
                errors.rstrip(),
                *_table(result),
                f"![{experiment.title}]({experiment.name}.png)",
            ],
            "Does the paper's order hold here?": verdict_paragraphs(result.verdicts),
            "What this is": ["\n".join(setting_lines(setting, datasets))],
            "Commands": [
                "This page:",
                code([again]),
                "What it runs, each by itself; a finished or interrupted run is gone on with:",
                code([*builds, *trains]),
            ],
        },
    )


def summary_csv(result: ExperimentResult) -> str:
    """One line per row and column: ours in per cent, with the paper's beside it."""
    heads = ["row", "training_samples", "runs", "failed", "column", "measure"]
    heads += ["mean_percent", "sd_percent", "least_percent", "largest_percent", "paper_percent"]
    lines: list[list[object]] = [list(heads)]
    for row in result.rows:
        for column in result.shown_columns:
            spread, paper = row.spread[column.title], row.row.paper.get(column.title, "")
            figures = [""] * 4 if spread is None else percentages(spread)
            known = [row.row.name, row.training_samples, len(row.seeds), len(row.failures)]
            lines.append([*known, column.title, column.measure, *figures, paper])
    return csv_text(lines)


def runs_csv(result: ExperimentResult) -> str:
    """One line per training run: its folder, and its mean errors in per cent."""
    columns = result.shown_columns
    lines: list[list[object]] = [["row", "seed", "state", "folder", *(c.title for c in columns)]]
    for row in result.rows:
        for run in row.runs:
            state = "failed" if run.seed in row.failures else "not run"
            state = "finished" if run.seed in row.seeds else state
            means = [row.means[c.title].get(run.seed, math.nan) for c in columns]
            cells = [_cell(100.0 * mean) for mean in means]
            lines.append([row.row.name, run.seed, state, run.folder.name, *cells])
    return csv_text(lines)


def _table(result: ExperimentResult) -> list[str]:
    columns = result.shown_columns
    stated = [c for c in columns if any(c.title in r.row.paper for r in result.rows)]
    counted = any(row.row.paper_samples for row in result.rows)
    heads = ["", "runs", "training samples", *(c.title for c in columns)]
    heads += [f"*paper* {c.title}" for c in stated]
    heads += ["*paper* training samples"] if counted else []
    best = {c.title: _least(result, c) for c in columns}
    rows = []
    for row in result.rows:
        cells = [row.row.name, _run_count(row), f"{row.training_samples:,}"]
        if row.row.recipe is None:
            cells = [row.row.name, NONE, NONE]
        cells += [figure_text(row.spread[c.title], best[c.title]) for c in columns]
        cells += [_stated(row.row.paper.get(c.title)) for c in stated]
        if counted:
            cells += [f"{row.row.paper_samples:,}" if row.row.paper_samples else NONE]
        rows.append(cells)
    paragraphs = ["\n".join(table(heads, rows))]
    failures = [(row.row.name, s, text) for row in result.rows for s, text in row.failures.items()]
    if failures:
        shown = [f"* {name}, seed {seed}: `{text}`" for name, seed, text in failures]
        paragraphs += ["Failed training runs, which are in no figure:", "\n".join(shown)]
    return paragraphs


def _run_count(row: RowResult) -> str:
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


def verdict_paragraphs(verdicts: Sequence[Verdict]) -> list[str]:
    """Return in Markdown the paper's claims with what is found here, and what that means."""
    heads = ["the paper: lower error", "than", "in", "here: difference, points"]
    heads += ["95 % over subjects", "95 % over seeds", "subjects", "seeds"]
    heads += ["this test sees, %", "*paper*, %", "verdict"]
    rows = []
    for v in verdicts:
        claim, found = v.claim, v.comparison
        figures = [NONE] * 6
        if found is not None:
            figures = [
                f"{100.0 * found.difference:+.3f}",
                _interval(found.low, found.high),
                _interval(*v.over_seeds) if v.seeds > 1 else NONE,
                f"{found.a_better} of {found.subjects}",
                f"{v.seeds_agree} of {v.seeds}",
                f"{100.0 * v.detectable:.1f}",
            ]
        stated = NONE if math.isnan(v.stated) else f"{100.0 * v.stated:.1f}"
        verdict = f"**{v.word}**: {v.why}"
        rows.append([claim.better, claim.worse, _in(claim), *figures, stated, verdict])
    counts = {word: sum(v.word == word for v in verdicts) for word in WORDS}
    tally = ", ".join(f"{count} {word}" for word, count in counts.items() if count)
    return [
        "\n".join(table(heads, rows)),
        f"Of {len(verdicts)} orders of the paper: {tally}. Over subjects: bootstrap, errors "
        "averaged over seeds. Over seeds: of the runs' means, Student's interval of pairs with "
        "the same seed where both rows train the same layers, which then begin alike, and Welch's "
        "elsewhere. An order is "
        "*undecided* where one of both holds 0. *Subjects* and *seeds* count those with the "
        "paper's order; seeds that only one of two rows has finished are left out.",
        _power_paragraph(verdicts),
    ]


def _power_paragraph(verdicts: Sequence[Verdict]) -> str:
    """Say what the page's tests can see, and for how many orders that is enough."""
    text = (
        "*This test sees*: the difference, in per cent of the worse row's error, that would be "
        "found in four of five repetitions with as many subjects and seeds, estimated from how "
        "both scatter here. *paper*: the difference that it states."
    )
    known = [v for v in verdicts if math.isfinite(v.detectable) and math.isfinite(v.stated)]
    if not known:
        return text
    enough = sum(v.detectable <= v.stated for v in known)
    return f"{text} Of {len(known)} orders with both figures, {enough} could be found if they hold."


def _interval(low: float, high: float) -> str:
    return f"{100.0 * low:+.3f} to {100.0 * high:+.3f}"


def setting_lines(setting: Setting, datasets: Mapping[str, Dataset]) -> list[str]:
    """Return in Markdown what was trained on which datasets, at which scale."""
    scale = setting.scale
    epochs = f"{scale.epochs} epochs" if scale.epochs else "the preset's epochs"
    bound = (
        f"at most {scale.captured_samples:,} samples with captured shapes"
        if scale.captured_samples
        else "all samples"
    )
    return [
        f"* scale `{scale.name}`: training preset `{scale.train_preset}`, {epochs}, {bound}",
        f"* captures: `{setting.preset}`",
        f"* seeds: {', '.join(str(seed) for seed in setting.seeds)}",
        *(
            f"* dataset `{variant}`: `{found.folder}`, content `{found.content_sha256}`"
            for variant, found in datasets.items()
        ),
    ]


def verdict_line(verdict: Verdict) -> str:
    """Return a plain sentence about a claim of the paper."""
    claim, found = verdict.claim, verdict.comparison
    text = f"{verdict.word}: {claim.better} better than {claim.worse} ({_in(claim)}); {verdict.why}"
    return text if found is None else f"{text}, {100.0 * found.difference:+.3f} points"


def _in(claim: Claim) -> str:
    measure, title = claim.column.measure, claim.column.title
    return measure if title == measure else f"{measure} {title}"


def percentages(spread: SeedSpread) -> list[str]:
    """Mean, standard deviation, least and largest in per cent, as cells of a CSV file."""
    return [_cell(100.0 * v) for v in (spread.mean, spread.sd, spread.low, spread.high)]


def _cell(value: float) -> str:
    return f"{value:.6g}" if math.isfinite(value) else ""
