"""The report of a build: contact sheets chunk by chunk, and the page."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import luigi

from fg3d_builder.config import digest
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.encoding import encode_jpeg
from fg3d_builder.files.hashes import file_sha256, sha256
from fg3d_builder.files.sealed import read_sealed_json, write_sealed_json
from fg3d_builder.layout import STAGES, BuildLayout
from fg3d_builder.pipeline.augmentation_report import (
    augmentation_counts,
    draw_augmentation,
    drawn_chunks,
)
from fg3d_builder.pipeline.stages import cached_model
from fg3d_builder.records import Array, Failure
from fg3d_builder.report.figures import capture_figures
from fg3d_builder.report.page import page_belongs_to, render_page
from fg3d_builder.report.sheets import capture_sheet
from fg3d_builder.report.summary import split_warnings
from fg3d_builder.shards.manifest import read_manifest
from fg3d_builder.tasks.base import stage_product
from fg3d_builder.tasks.chunk_tasks import ChunkTask, MakeViews, Register, chunk_input
from fg3d_builder.tasks.chunks import Chunk
from fg3d_builder.tasks.dataset_tasks import (
    DrawDonors,
    TransformShapes,
    WholeTask,
    WriteManifest,
    all_failures,
)
from fg3d_builder.tasks.progress import read_seconds

SHEET_QUALITY = 88
"""JPEG quality of contact sheets."""


class DrawSheets(ChunkTask):
    """Draws the contact sheets of one chunk and collects its figures."""

    def requires(self) -> list[luigi.Task]:
        """Need the registrations."""
        return [self.other(Register, chunk=self.chunk)]

    def complete(self) -> bool:
        """Whether the figures and every picture are there."""
        rows = self.layout.report_rows(self.chunk)
        if not rows.is_file():
            return False
        pictures = [row["picture"] for row in read_sealed_json(rows)]
        return all((self.layout.report / picture).is_file() for picture in pictures)

    def run(self) -> None:
        """Draw, then write the figures: they mark the chunk as complete."""
        layout = self.layout
        model = cached_model(layout.facemodel)
        records = {stage: self.records(stage) for stage in STAGES}
        seconds = {s: read_seconds(layout, s, self.chunk) for s in STAGES}
        rows = []
        for name, registration in records["registration"].items():
            capture, fits = records["captures"][name], records["fitting"][name]
            landmarks = records["landmarks"][name]
            picture = layout.report_picture(name)
            sheet = capture_sheet(model, capture, landmarks, fits.coarse, registration)
            write_bytes(layout.report / picture, encode_jpeg(sheet, SHEET_QUALITY))
            took = {s: seconds[s].get(name, 0.0) for s in STAGES}
            row = capture_figures(model, capture, fits.initial, fits.coarse, registration, took)
            rows.append({**row, "picture": picture})
        write_sealed_json(layout.report_rows(self.chunk), rows)


class DrawAugmentation(WholeTask):
    """Counts the augmented samples of one chunk and, of some chunks, draws one capture's."""

    chunk = luigi.Parameter(description="name of the chunk")

    def requires(self) -> list[luigi.Task]:
        """Need the views and the new shapes."""
        views = self.other(MakeViews, chunk=self.chunk)
        return [self.whole(DrawDonors), views, self.whole(TransformShapes, chunk=self.chunk)]

    def complete(self) -> bool:
        """Whether counts are there, and the pictures are those that were drawn with them."""
        drawn = self.layout.draws(self.digest()) if self.decided() else None
        if drawn is None or not drawn.is_file() or not self.rows_file().is_file():
            return False
        sheets = read_sealed_json(self.rows_file())["sheets"]
        files = [(self.layout.report / sheet["picture"], sheet["sha256"]) for sheet in sheets]
        return all(file.is_file() and file_sha256(file) == sha for file, sha in files)

    def rows_file(self) -> Path:
        """Where the counts go; `DrawDonors` must have run."""
        chunks = self.chunks()
        draws = self.chunk_draws(self.chunk)[1]
        captures = next(chunk.entries for chunk in chunks if chunk.name == self.chunk)
        left_out = self.decisions().rejected_ids & {entry.capture_id for entry in captures}
        drawn = self.chunk in drawn_chunks([chunk.name for chunk in chunks])
        return self.layout.augmentation_rows(self.chunk, digest(draws, sorted(left_out), drawn))

    def run(self) -> None:
        """Draw, then write the counts: they mark the chunk as complete.

        Nothing to do where they were the same in another dataset; see `TransformShapes.run`.
        """
        if self.complete():
            return
        layout, left_out = self.layout, self.decisions().rejected_ids
        views = stage_product(layout, "views", self.chunk).records
        made = self.transformed(self.chunk).records
        counts = augmentation_counts(views, made, left_out)
        sheets = []
        if self.chunk in drawn_chunks([chunk.name for chunk in self.chunks()]):
            model, chunk = cached_model(layout.facemodel), chunk_input(layout, self.chunk)
            kept = [name for name in views if name not in left_out]
            drawn = draw_augmentation(model, chunk, kept, made.values(), layout.config)
            sheets = [self._stored(*sheet) for sheet in drawn]
        write_sealed_json(self.rows_file(), {"counts": counts, "sheets": sheets})

    def _stored(self, kind: str, name: str, sheet: Array) -> dict[str, str]:
        picture = self.layout.augmentation_picture(kind, name)
        data = encode_jpeg(sheet, SHEET_QUALITY)
        write_bytes(self.layout.report / picture, data)
        return {"capture_id": name, "kind": kind, "picture": picture, "sha256": sha256(data)}


class WriteReport(WholeTask):
    """Writes the HTML page."""

    def requires(self) -> list[luigi.Task]:
        """Need the dataset and all contact sheets."""
        sheets = self.for_chunks(DrawSheets)
        return [self.whole(WriteManifest), *sheets, *self._augmentation()]

    def _augmentation(self) -> list[DrawAugmentation]:
        return self.for_chunks(DrawAugmentation, verdicts=self.verdicts)

    def complete(self) -> bool:
        """Whether dataset and page are there, the page of this dataset and version."""
        layout = self.layout
        if not self.decided() or not self.whole(WriteManifest).complete():
            return False
        present = all(layout.report_rows(chunk.name).is_file() for chunk in self.chunks())
        present = present and all(task.complete() for task in self._augmentation())
        return present and page_belongs_to(layout.report_page, self.page_digest())

    def page_digest(self) -> str:
        """Identity of the page."""
        layout = self.layout
        return f"{self.digest()}-{layout.report_digest}-{layout.augmentation_report_digest}"

    def run(self) -> None:
        """Copy the failures' pictures, then write the page."""
        layout = self.layout
        manifest = read_manifest(layout.dataset(self.digest()))
        page = render_page(
            layout.config.name,
            self.page_digest(),
            manifest,
            report_rows(layout, self.chunks()),
            _shown_failures(layout, all_failures(layout, self.chunks())),
            split_warnings(manifest),
            [read_sealed_json(task.rows_file()) for task in self._augmentation()],
            _shown_failures(layout, self.augmentation_failures()),
        )
        write_bytes(layout.report_page, page.encode())


def _shown_failures(layout: BuildLayout, failures: list[Failure]) -> list[Failure]:
    """Copy the pictures of failures to the report; return the failures naming the copies."""
    shown = []
    for failure in failures:
        picture = f"pictures/failed-{failure.stage}-{failure.capture_id}.png"
        source = layout.stage_folder(failure.stage) / failure.picture
        write_bytes(layout.report / picture, source.read_bytes())
        shown.append(replace(failure, picture=picture))
    return shown


def report_rows(layout: BuildLayout, chunks: list[Chunk]) -> list[dict[str, Any]]:
    """Collect the report's figures of all chunks."""
    return [row for chunk in chunks for row in read_sealed_json(layout.report_rows(chunk.name))]
