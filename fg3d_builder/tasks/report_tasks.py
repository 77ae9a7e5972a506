"""The report of a build: pictures and meshes chunk by chunk, and the pages."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import luigi

from fg3d_builder.config import digest
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_jpeg
from fg3d_builder.files.hashes import file_sha256, sha256
from fg3d_builder.files.mesh_io import write_mesh
from fg3d_builder.files.sealed import read_sealed_json, write_sealed_json
from fg3d_builder.layout import STAGES
from fg3d_builder.pipeline.augmentation_report import (
    augmentation_counts,
    draw_augmentation,
    drawn_chunks,
)
from fg3d_builder.records import Array, Failure
from fg3d_builder.report.figures import capture_figures
from fg3d_builder.report.page import DRAWN, ReportContent, render_pages
from fg3d_builder.report.page_set import pages_belong_to, write_pages
from fg3d_builder.report.sheets import capture_sheet, capture_thumbnail, distance_mesh
from fg3d_builder.report.summary import split_warnings
from fg3d_builder.shards.costs import Cost, cost_table
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.tasks.base import if_there, made, pending
from fg3d_builder.tasks.chunk_tasks import ChunkTask, PrepareModel, StageTask
from fg3d_builder.tasks.dataset_tasks import (
    DecideReview,
    DrawDonors,
    PlanShards,
    TransformShapes,
    WholeTask,
    WriteManifest,
)
from fg3d_builder.tasks.spending import costed, read_cost

SHEET_QUALITY, THUMBNAIL_QUALITY = 88, 80
"""JPEG quality of contact sheets and of thumbnails."""

_SHOWN = ("picture", "thumbnail", "mesh")
"""Members of a capture's row that name files in the report's folder; empty where there is none."""


class DrawSheets(ChunkTask, WholeTask):
    """Collects the figures of one chunk and draws its captures.

    Each has a thumbnail, those of the lowest quality have a contact sheet and a mesh.
    """

    reads = STAGES

    @property
    def amount(self) -> tuple[str, int]:
        """The captures of the chunk."""
        return "sheets", len(self.content().entries)

    def requires(self) -> list[luigi.Task]:
        """Need every quality, to know which are the lowest, and what the figures are taken from."""
        return [self.whole(DecideReview), *super().requires()]

    def complete(self) -> bool:
        """Whether the figures, every picture and every mesh are there."""
        if self.decided() is None:
            return False
        rows = if_there(lambda: _read_rows(self.rows_file()))
        if rows is None:
            return False
        files = [row[kind] for row in rows for kind in _SHOWN if row[kind]]
        return all((self.layout.report / file).is_file() for file in files)

    def drawn_here(self) -> set[str]:
        """Return the ids of the captures of the chunk that have a contact sheet."""
        return set(self.decisions().by_quality[:DRAWN]) & set(self.content().capture_ids)

    def rows_file(self) -> Path:
        """Where the figures go."""
        return self.layout.report_rows(self.chunk, digest(sorted(self.drawn_here())))

    def made_file(self) -> Path:
        """Return where the figures go."""
        return self.rows_file()

    @costed
    def run(self) -> None:
        """Draw, then write the figures: they mark the chunk as complete.

        Nothing to do where other verdicts are all that is new.
        """
        if self.complete():
            return
        layout, model, drawn = self.layout, self.model(), self.drawn_here()
        records = {stage: self.records(stage) for stage in STAGES}
        seconds = {stage: self.stage_task(stage).facts().seconds for stage in STAGES}
        rows = []
        for name, registration in records["registration"].items():
            capture, fits = records["captures"][name], records["fitting"][name]
            landmarks = records["landmarks"][name]
            files = dict.fromkeys(_SHOWN, "")
            if name in drawn:
                files |= {"picture": layout.report_picture(name), "mesh": layout.report_mesh(name)}
                sheet = capture_sheet(model, capture, landmarks, fits.coarse, registration)
                self._write_picture(files["picture"], sheet, SHEET_QUALITY)
                write_mesh(layout.report / files["mesh"], distance_mesh(model, registration))
            files["thumbnail"] = layout.report_thumbnail(name)
            thumbnail = capture_thumbnail(model, capture, registration)
            self._write_picture(files["thumbnail"], thumbnail, THUMBNAIL_QUALITY)
            took = {s: seconds[s].get(name, 0.0) for s in STAGES}
            row = capture_figures(model, capture, fits.initial, fits.coarse, registration, took)
            rows.append({**row, **files})
        _write_rows(self.rows_file(), rows)

    def rows(self) -> list[dict[str, Any]]:
        """Return the figures of the chunk's captures."""
        return made(self, lambda: _read_rows(self.rows_file()))

    def _write_picture(self, file: str, picture: Array, quality: int) -> None:
        write_bytes(self.layout.report / file, encode_jpeg(picture, quality))


class DrawAugmentation(ChunkTask, WholeTask):
    """Counts the augmented samples of one chunk and, of some chunks, draws one capture's."""

    priority = 7

    @property
    def amount(self) -> tuple[str, int]:
        """The captures of the chunk; a chunk that is drawn is work of its own kind."""
        return ("examples", 1) if self.drawn_here() else ("counts", len(self.content().entries))

    def requires(self) -> list[luigi.Task]:
        """Need the views and the new shapes, and for sheets all that they are made of."""
        sources = [self.stage_task(stage) for stage in STAGES] if self.drawn_here() else []
        return [self.whole(DrawDonors), *self.augmenting([self.chunk]), *sources]

    def complete(self) -> bool:
        """Whether counts are there, and the pictures are those that were drawn with them."""
        if self.drawn() is None:
            return False
        found = if_there(lambda: _read_rows(self.rows_file()))
        if found is None:
            return False
        files = [(self.layout.report / s["picture"], s["sha256"]) for s in found["sheets"]]
        return all(file.is_file() and file_sha256(file) == sha for file, sha in files)

    def drawn_here(self) -> bool:
        """Whether sheets of this chunk are drawn."""
        return self.chunk in _drawn_chunks(self.index.names)

    def made_file(self) -> Path:
        """Return where the counts go."""
        return self.rows_file()

    def rows_file(self) -> Path:
        """Where the counts go."""
        draws = self._shapes().chunk_draws()[1]
        left_out = self.decisions().rejected_ids & set(self.content().capture_ids)
        about = digest(draws, sorted(left_out), self.drawn_here())
        return self.layout.augmentation_rows(self.chunk, about)

    def rows(self) -> dict[str, Any]:
        """Return counts and sheets."""
        return made(self, lambda: _read_rows(self.rows_file()))

    @costed
    def run(self) -> None:
        """Draw, then write the counts: they mark the chunk as complete.

        Nothing to do where they were the same in another dataset, see `TransformShapes`.
        """
        if self.complete():
            return
        left_out = self.decisions().rejected_ids
        views, made_shapes = self.records("views"), self._shapes().product().records
        counts = augmentation_counts(views, made_shapes, left_out)
        sheets = []
        if self.drawn_here():
            kept = [name for name in views if name not in left_out]
            shapes = made_shapes.values()
            config = self.layout.config
            drawn = draw_augmentation(self.model(), self.input(), kept, shapes, config)
            sheets = [self._stored(*sheet) for sheet in drawn]
        _write_rows(self.rows_file(), {"counts": counts, "sheets": sheets})

    def _shapes(self) -> TransformShapes:
        shapes: TransformShapes = self.whole(TransformShapes, chunk=self.chunk)
        return shapes

    def _stored(self, kind: str, name: str, sheet: Array) -> dict[str, str]:
        picture = self.layout.augmentation_picture(kind, name)
        data = encode_jpeg(sheet, SHEET_QUALITY)
        write_bytes(self.layout.report / picture, data)
        return {"capture_id": name, "kind": kind, "picture": picture, "sha256": sha256(data)}


class WriteReport(WholeTask):
    """Writes the HTML pages."""

    def requires(self) -> list[luigi.Task]:
        """Need all contact sheets, and to know of what the dataset will be made."""
        chunks = pending(self.planned_early())
        whole = [self.whole(PlanShards), self.whole(DrawDonors)]
        return [*whole, self.other(PrepareModel), *chunks, *pending(self.sheets())]

    def sheets(self) -> list[DrawSheets]:
        """Return the tasks that draw the contact sheets."""
        return self.for_chunks(DrawSheets, verdicts=self.verdicts)

    def augmentation(self) -> list[DrawAugmentation]:
        """Return the tasks that count and draw augmented samples."""
        return self.for_chunks(DrawAugmentation, verdicts=self.verdicts)

    def spent(self) -> list[tuple[str, int, Cost | None]]:
        """List also what the report's drawings were for and cost."""
        drawn = [*self.sheets(), *self.augmentation()]
        return [*super().spent(), *((*task.amount, read_cost(task)) for task in drawn)]

    def complete(self) -> bool:
        """Whether dataset and pages are there, the pages of this dataset and version."""
        if self.decided() is None or not self.whole(WriteManifest).complete():
            return False
        if not pages_belong_to(self.layout.report, self.page_digest()):
            return False
        return not pending(self.sheets()) and not pending(self.augmentation())

    def page_digest(self) -> str:
        """Identity of the pages."""
        layout = self.layout
        return f"{self.digest()}-{layout.report_digest}-{layout.augmentation_report_digest}"

    def asks_for(self) -> list[luigi.Task]:
        """Ask for the dataset, and for the sheets that show what is in it."""
        asked = pending([self.whole(WriteManifest), *self.augmentation()])
        return [*asked, *self.augmenting(self.index.names)]

    def run(self) -> Iterator[Any]:
        """Have the dataset written and the other sheets drawn, side by side, then write the pages.

        A chunk whose samples are counted is one that a lean build may drop.
        """
        layout = self.layout
        todo = self.asks_for()
        if todo:
            yield todo
        manifest = read_manifest(self.folder())
        content = ReportContent(
            layout.config.name,
            manifest,
            report_rows(self.sheets()),
            self._shown(self.stage_tasks(*STAGES)),
            split_warnings(manifest),
            [task.rows() for task in self.augmentation()],
            self._shown([*self.stage_tasks("views"), *self.transforms()]),
            cost_table(self.spent(), _sample_count(manifest)),
        )
        write_pages(layout.report, self.page_digest(), render_pages(content))

    def pictures(self) -> list[str]:
        """Return the names of all pictures of the report."""
        rows = report_rows(self.sheets())
        shown = [row[kind] for row in rows for kind in ("picture", "thumbnail") if row[kind]]
        shown += [
            sheet["picture"] for task in self.augmentation() for sheet in task.rows()["sheets"]
        ]
        failed = [*self.failures(), *self.augmentation_failures()]
        return sorted({Path(p).name for p in (*shown, *map(_failure_picture, failed))})

    def meshes(self) -> list[str]:
        """Return the names of all meshes of the report."""
        return sorted(Path(r["mesh"]).name for r in report_rows(self.sheets()) if r["mesh"])

    def _shown(self, tasks: list[StageTask]) -> list[Failure]:
        """Copy the pictures of failures to the report; return the failures naming the copies."""
        shown = []
        for task in tasks:
            for failure in task.facts().failures:
                name = _failure_picture(failure)
                data = made(task, task.picture(failure).read_bytes)
                write_bytes(self.layout.report / name, data)
                shown.append(replace(failure, picture=name))
        return sorted(shown, key=lambda failure: failure.capture_id)


_drawn_chunks = lru_cache(maxsize=2)(drawn_chunks)
"""Chosen once, not once for every chunk."""


def _failure_picture(failure: Failure) -> str:
    return f"pictures/failed-{failure.stage}-{failure.capture_id}.png"


def report_rows(sheets: list[DrawSheets]) -> list[dict[str, Any]]:
    """Collect the report's figures of all chunks, in the order of the captures' ids."""
    rows = [row for task in sheets for row in task.rows()]
    return sorted(rows, key=lambda row: str(row["capture_id"]))


def _sample_count(manifest: dict[str, Any]) -> int:
    return sum(part["samples"] for part in manifest["splits"].values())


def _write_rows(path: Path, rows: Any) -> None:
    write_sealed_json(path, rows, path.parent.name)


def _read_rows(path: Path) -> Any:
    return read_sealed_json(path, path.parent.name)
