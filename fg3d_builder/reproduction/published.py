"""Table 5 and Fig. 17 from the command line to the page."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from fg3d_builder.errors import ConfigError
from fg3d_builder.fgnet.training.loop import CHECKPOINT_NAME
from fg3d_builder.reproduction.published_sets import Evaluation, evaluate, kept, verdicts
from fg3d_builder.reproduction.published_writing import TITLES, write_published
from fg3d_builder.reproduction.runs import Run, printed
from fg3d_builder.reproduction.setting import Setting
from fg3d_builder.reproduction.tables import SET_NAMES
from fg3d_builder.reproduction.writing import verdict_lines


def published_pages(
    runs: Mapping[str, Sequence[Run]],
    setting: Setting,
    facts: Sequence[str],
    say: Callable[[str], None],
) -> bool:
    """Evaluate the finished trainings on the named sets, and write the page.

    A dry run prints the commands, and one without training reads what is there.

    Parameters
    ----------
    runs : mapping of row's name to its runs
        Empty where checkpoints are named.
    setting : Setting
    facts : sequence of str
        Lines of Markdown: what was trained.
    say : callable

    Returns
    -------
    bool
        Whether every set has been evaluated.
    """
    options = setting.options
    trainings = [run for rs in runs.values() for run in rs]
    evaluations = planned_evaluations(trainings, setting)
    if options.dry_run:
        for evaluation in evaluations:
            say(evaluation.command)
        return True
    found = []
    for evaluation in evaluations:
        if setting.acts:
            say(evaluation.command)
        found.append(evaluate(evaluation) if setting.acts else kept(evaluation))
    if options.checkpoint:
        facts = [f"* network: `{path}`" for path in options.checkpoint]
    words = [w for run in trainings for w in run.commands]
    commands = [printed(w, setting.workers) for w in words] + [e.command for e in evaluations]
    paths = write_published(found, facts, commands, setting.out)
    for result in found:
        if result.error:
            say(f"  {TITLES[result.protocol]}: {result.error}")
        for line in verdict_lines(tuple(verdicts(result))):
            say(f"  {TITLES[result.protocol]}: {line}")
    for path in paths:
        say(str(path))
    return not any(result.error for result in found)


def planned_evaluations(trainings: Sequence[Run], setting: Setting) -> list[Evaluation]:
    """Return one evaluation per named set, of all networks together."""
    options = setting.options
    if options.checkpoint:
        networks = {f"FGNet {i}": path for i, path in enumerate(options.checkpoint, start=1)}
    else:
        there = [run for run in trainings if run.finished or options.dry_run]
        networks = {f"FGNet seed {run.seed}": run.folder / CHECKPOINT_NAME for run in there}
    beside = trainings[0].trained_on.facemodel if trainings else None
    sets = {name: getattr(options, name) for name in SET_NAMES if getattr(options, name)}
    return [
        Evaluation(
            protocol=name,
            folder=folder,
            out=setting.out / "published" / name,
            networks=networks,
            others=other_methods(options.method),
            facemodel=options.facemodel or beside,
            device=setting.device,
        )
        for name, folder in sets.items()
    ]


def other_methods(named: Sequence[str]) -> dict[str, Path]:
    """Split ``NAME=FOLDER``."""
    found: dict[str, Path] = {}
    for text in named:
        name, equals, folder = text.partition("=")
        if not (name and equals and folder) or name in found:
            raise ConfigError(f"--method {text}: wanted NAME=FOLDER, each name once")
        found[name] = Path(folder)
    return found
