"""`BuildFG3D`: the task that people run.

The configuration is frozen into the build's folder when the build starts; tasks get the
folder and the configuration's digest only, so every process of a build, on every machine
that shares the folder, works by the same settings.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import luigi

from fg3d_builder.config import load_preset
from fg3d_builder.files.atomic import remove_abandoned
from fg3d_builder.files.locks import claim
from fg3d_builder.layout import BuildLayout
from fg3d_builder.report.summary import summary_lines
from fg3d_builder.shards.reader import read_manifest
from fg3d_builder.tasks.base import log
from fg3d_builder.tasks.by_luigi import PresetParameter
from fg3d_builder.tasks.chunk_tasks import IndexCaptures
from fg3d_builder.tasks.chunks import read_index
from fg3d_builder.tasks.dataset_tasks import all_failures
from fg3d_builder.tasks.finding import layout_of
from fg3d_builder.tasks.report_tasks import WriteReport, report_rows
from fg3d_builder.tasks.review import complete_list, freeze_verdicts


class TooManyFailuresError(Exception):
    """A build is complete, but more captures failed than the preset allows."""


class BuildFG3D(luigi.Task):
    """Builds a dataset from a preset: captures in, verified shards and a report out.

    Runs again without harm: whatever is complete is kept.
    """

    preset = PresetParameter(default="tasks/demo.toml", description="build preset (TOML)")
    out = luigi.Parameter(default="", description="folder of the build; build/NAME if empty")

    done = False

    @cached_property
    def layout(self) -> BuildLayout:
        """Paths of the build."""
        return layout_of(load_preset(self.preset), self.out)

    def complete(self) -> bool:
        """Whether this task has run in this process; what is built is checked by the others."""
        return self.done

    def requires(self) -> list[luigi.Task]:
        """Freeze the configuration, keep other builds out, list the captures."""
        layout = self.layout
        if luigi.interface.core().local_scheduler:
            claim(layout.lock)  # a central scheduler keeps machines apart by itself
        remove_abandoned(layout.root)
        layout.freeze()
        return [IndexCaptures(root=str(layout.root), config=layout.config_digest)]

    def run(self) -> Iterator[Any]:
        """Have everything built, then sum up.

        Raises
        ------
        TooManyFailuresError
            More captures failed than the preset's ``max_failure_rate``.
        """
        layout = self.layout
        chunks = read_index(layout.index)
        names = [entry.capture_id for chunk in chunks for entry in chunk.entries]
        verdicts = freeze_verdicts(layout, names)
        report = WriteReport(root=str(layout.root), config=layout.config_digest, verdicts=verdicts)
        yield report
        complete_list(layout, names, report.decisions().qualities)
        failures = all_failures(layout, chunks)
        total = sum(len(chunk.entries) for chunk in chunks)
        rows, manifest = report_rows(layout, chunks), read_manifest(layout.dataset_link)
        for line in summary_lines(
            layout.config.name,
            total,
            rows,
            failures,
            manifest,
            layout.dataset_link,
            layout.review_list,
        ):
            log.info(line)
        log.info("report: %s", layout.report_page)
        self.done = True
        rate, allowed = len(failures) / total, layout.config.max_failure_rate
        if rate > allowed:
            raise TooManyFailuresError(
                f"{len(failures)} of {total} captures failed ({rate:.0%}); "
                f"the preset allows {allowed:.0%}"
            )
