"""`BuildFG3D`: the task that people run.

The configuration is frozen into the build's folder when the build starts; tasks get the
folder and the configuration's digest only, so every process of a build, on every machine
that shares the folder, works by the same settings.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import luigi

from fg3d_builder.config import load_preset
from fg3d_builder.errors import ConfigError
from fg3d_builder.files.atomic import remove_abandoned
from fg3d_builder.files.locks import claim
from fg3d_builder.layout import BuildLayout
from fg3d_builder.records import Failure
from fg3d_builder.report.summary import summary_lines
from fg3d_builder.shards.manifest import read_manifest, state_costs
from fg3d_builder.tasks.base import if_there, log
from fg3d_builder.tasks.begun import luigi_options, note_begun
from fg3d_builder.tasks.by_luigi import PresetParameter
from fg3d_builder.tasks.chunks import Index, list_chunks, read_index, write_index
from fg3d_builder.tasks.completeness import (
    Completeness,
    completeness,
    made_of,
    write_completeness,
)
from fg3d_builder.tasks.finding import layout_of
from fg3d_builder.tasks.lean import drop_unneeded, make_again_if_needed
from fg3d_builder.tasks.progress import Display, kept_line, note_begin
from fg3d_builder.tasks.report_tasks import WriteReport, report_rows
from fg3d_builder.tasks.review import complete_list, freeze_verdicts, verdicts_now


class TooManyFailuresError(Exception):
    """A build is complete, but more captures failed than the preset allows."""


class BuildFG3D(luigi.Task):
    """Builds a dataset from a preset: captures in, verified shards and a report out.

    Runs again without harm: whatever is complete is kept, what is missing or damaged is made
    again.
    """

    preset = PresetParameter(default="tasks/demo.toml", description="build preset (TOML)")
    out = luigi.Parameter(default="", description="folder of the build; build/NAME if empty")
    lean = luigi.BoolParameter(description="drop products of stages that nothing needs any more")

    done = False

    engine = tuple[str, ...]()
    """Options of ``fg3d build`` that say what runs the tasks; if none do, Luigi's settings."""

    @cached_property
    def layout(self) -> BuildLayout:
        """Paths of the build."""
        config = load_preset(self.preset)
        return layout_of(replace(config, lean=True) if self.lean else config, self.out)

    @cached_property
    def index(self) -> Index:
        """The captures that the sources hold; listed once, with a look at all their files."""
        return list_chunks(self.layout.config)

    def known(self) -> Completeness | None:
        """Return what the build is made of, if it is complete."""
        verdicts = verdicts_now(self.layout, self.index.capture_ids)
        return completeness(self.layout, self.index.identity, verdicts)

    def complete(self) -> bool:
        """Whether dataset and report are there, made of the captures and verdicts of now.

        Says so, once, as a build does that has had something to do.
        """
        if self.done:
            return True
        known = self.known()
        if known is None or self.failure(known) is not None:
            return False
        log.info("nothing to do: all %d captures are built", known.captures)
        self._say(known)
        self.done = True
        return True

    def failure(self, known: Completeness) -> TooManyFailuresError | None:
        """Return the error of a build in which more captures failed than the preset allows."""
        rate, allowed = known.failed / known.captures, self.layout.config.max_failure_rate
        if rate <= allowed:
            return None
        return TooManyFailuresError(
            f"{known.failed} of {known.captures} captures failed ({rate:.0%}); "
            f"the preset allows {allowed:.0%}"
        )

    @cached_property
    def report(self) -> WriteReport:
        """The last task of the build.

        Keeps other builds out, freezes configuration, captures and verdicts.
        """
        layout, luigis = self.layout, luigi.interface.core()
        if luigis.workers < 1:  # Luigi would plan, run nothing, and say nothing
            raise ConfigError(f"--workers {luigis.workers}: expected a whole number from 1")
        if luigis.local_scheduler:
            claim(layout.lock)  # a central scheduler keeps machines apart by itself
        remove_abandoned(layout.root)
        layout.freeze()
        if if_there(lambda: read_index(layout.index)) != self.index:
            write_index(layout.index, self.index)
        count = len(self.index.capture_ids)
        log.info("%d captures in %d chunks", count, len(self.index.chunks))
        kept = kept_line(layout, self.index)
        if kept:
            log.info(kept)
        note_begin(layout)
        host = "" if luigis.local_scheduler else luigis.scheduler_host
        workers = Display.workers or luigis.workers
        options = [*(self.engine or luigi_options(workers, host))]
        options += ["--lean"] if self.lean else []
        verdicts = freeze_verdicts(layout, self.index.capture_ids)
        note_begun(layout, self.preset, options, workers, verdicts)
        report = WriteReport(root=str(layout.root), config=layout.config_digest, verdicts=verdicts)
        make_again_if_needed(report)
        return report

    def requires(self) -> list[luigi.Task]:
        """Need the report, and the dataset with it."""
        return [self.report]

    def run(self) -> None:
        """Sum up, also what it has cost, and note that the build is complete.

        Raises
        ------
        TooManyFailuresError
            More captures failed than the preset's ``max_failure_rate``.
        """
        layout, report = self.layout, self.report
        state_costs(report.folder(), report.spent())
        complete_list(layout, self.index.capture_ids, report.decisions().qualities)
        manifest, rows = read_manifest(report.folder()), report_rows(report.sheets())
        failures = [Failure(**row) for row in manifest["failures"]]
        count = len(self.index.capture_ids)
        summary = summary_lines(
            layout.config.name,
            count,
            rows,
            failures,
            manifest,
            layout.dataset_link,
            layout.review_list,
        )
        known = Completeness(
            made_of(layout, self.index.identity, report.verdicts),
            report.folder().name,
            report.page_digest(),
            report.pictures(),
            count,
            len(failures),
            summary,
            report.meshes(),
        )
        write_completeness(layout, known)
        drop_unneeded(report, self.index.names)
        self._say(known)
        failure = self.failure(known)
        if failure is not None:
            raise failure
        self.done = True

    def _say(self, known: Completeness) -> None:
        for line in known.summary:
            log.info(line)
        log.info("report: %s", self.layout.report_page)
