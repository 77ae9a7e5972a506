"""Table 5 and Fig. 17 from the command line to the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fg3d_builder.fgnet.training.names import CHECKPOINT_NAME
from fg3d_builder.reproduction.published_sets import Evaluation, evaluate, kept, verdicts
from fg3d_builder.reproduction.published_writing import write_published
from fg3d_builder.reproduction.runs import printed
from fg3d_builder.reproduction.setting import Setting, show
from fg3d_builder.reproduction.writing import verdict_line
from fg3d_builder.tasks.training import EvaluateFGNet
from fg3d_builder.testsets.paper import TITLES
from fg3d_builder.testsets.setup import named_paths


def published_pages(
    runs: Mapping[str, Sequence[EvaluateFGNet]], setting: Setting, facts: Sequence[str]
) -> bool:
    """Evaluate the finished runs on the named sets, and write the page.

    Where nothing is to be done, what is there is read.

    Parameters
    ----------
    runs : mapping of row's name to its runs
        Empty where checkpoints are named.
    setting : Setting
    facts : sequence of str
        What was trained, as lines of Markdown.

    Returns
    -------
    bool
        Whether every set has been evaluated.
    """
    found = []
    each = [run for of_row in runs.values() for run in of_row]
    evaluations = planned_evaluations(each, setting)
    for evaluation in evaluations:
        if setting.acts:
            show(evaluation.command)
        found.append(evaluate(evaluation) if setting.acts else kept(evaluation))
    if setting.options.checkpoint:
        facts = [f"* network: `{path}`" for path in setting.options.checkpoint]
    commands = [printed(w, setting.threads) for run in each for w in run.commands()]
    commands += [evaluation.command for evaluation in evaluations]
    paths = write_published(found, facts, commands, setting.out)
    for result in found:
        lines = [verdict_line(verdict) for verdict in verdicts(result)]
        for line in [result.error, *lines] if result.error else lines:
            show(f"  {TITLES[result.evaluation.protocol]}: {line}")
    for path in paths:
        show(str(path))
    return not any(result.error for result in found)


def planned_evaluations(runs: Sequence[EvaluateFGNet], setting: Setting) -> list[Evaluation]:
    """Return one evaluation per named set, of all networks together."""
    options = setting.options
    if options.checkpoint:
        networks = {f"FGNet {i}": path for i, path in enumerate(options.checkpoint, start=1)}
    else:
        there = [run for run in runs if options.dry_run or run.complete()]
        networks = {f"FGNet seed {run.seed}": run.folder / CHECKPOINT_NAME for run in there}
    others = named_paths(options.method, "--method")
    facemodel = options.facemodel or next((run.facemodel for run in runs if run.facemodel), None)
    named = [f"--checkpoint={name}={path}" for name, path in networks.items()]
    named += [f"--method={name}={path}" for name, path in others.items()]
    named += ["--facemodel", str(facemodel)] if facemodel else []
    evaluations = []
    for name in TITLES:
        if folder := getattr(options, name):
            out = setting.out / "published" / name
            words = ["evaluate", name, str(folder), "--out", str(out), *named]
            words += ["--device", setting.device]
            evaluations.append(Evaluation(name, out, tuple(networks), tuple(others), words))
    return evaluations
