"""The report of a build: contact sheets chunk by chunk, and the page."""

from __future__ import annotations

import json
from typing import Any

import luigi

from fg3d_builder.atomic import write_bytes, write_json
from fg3d_builder.layout import STAGES, BuildLayout
from fg3d_builder.report.figures import capture_figures
from fg3d_builder.report.page import page_belongs_to, render_page
from fg3d_builder.report.sheets import capture_sheet
from fg3d_builder.shards.reader import read_manifest
from fg3d_builder.tasks.base import encoded, stage_product, with_picture
from fg3d_builder.tasks.chunk_tasks import ChunkTask, Register
from fg3d_builder.tasks.chunks import Chunk
from fg3d_builder.tasks.dataset_tasks import WholeTask, WriteManifest, all_failures
from fg3d_builder.tasks.progress import read_seconds
from fg3d_builder.tasks.stages import cached_model


class DrawSheets(ChunkTask):
    """Draws the contact sheets of one chunk and collects its figures."""

    def requires(self) -> list[luigi.Task]:
        """Need the registrations."""
        return [Register(root=self.root, config=self.config, chunk=self.chunk)]

    def complete(self) -> bool:
        """Whether the figures and every picture are there."""
        rows = self.layout.report_rows(self.chunk)
        if not rows.is_file():
            return False
        pictures = [row["picture"] for row in json.loads(rows.read_text(encoding="utf-8"))]
        return all((self.layout.report / picture).is_file() for picture in pictures)

    def run(self) -> None:
        """Draw, then write the figures: they mark the chunk as complete."""
        layout = self.layout
        model = cached_model(layout.facemodel)
        records = {s: stage_product(layout, s, self.chunk).records for s in STAGES}
        seconds = {s: read_seconds(layout, s, self.chunk) for s in STAGES}
        rows = []
        for name, registration in records["registration"].items():
            capture, fits = records["captures"][name], records["fitting"][name]
            landmarks = records["landmarks"][name]
            picture = layout.report_picture(name)
            sheet = capture_sheet(model, capture, landmarks, fits.coarse, registration)
            write_bytes(layout.report / picture, encoded(".jpg", sheet))
            took = {s: seconds[s].get(name, 0.0) for s in STAGES}
            row = capture_figures(model, capture, fits.initial, fits.coarse, registration, took)
            rows.append({**row, "picture": picture})
        write_json(layout.report_rows(self.chunk), rows)


class WriteReport(WholeTask):
    """Writes the HTML page."""

    def requires(self) -> list[luigi.Task]:
        """Need the dataset and all contact sheets."""
        names = [chunk.name for chunk in self.chunks()]
        sheets = [DrawSheets(root=self.root, config=self.config, chunk=name) for name in names]
        return [self.whole(WriteManifest), *sheets]

    def complete(self) -> bool:
        """Whether the page belongs to this dataset and this version of the report."""
        layout = self.layout
        if not self.decided():
            return False
        present = all(layout.report_rows(chunk.name).is_file() for chunk in self.chunks())
        return present and page_belongs_to(layout.report_page, self.page_digest())

    def page_digest(self) -> str:
        """Identity of the page."""
        return f"{self.digest()}-{self.layout.report_digest}"

    def run(self) -> None:
        """Copy the failures' pictures, then write the page."""
        layout = self.layout
        failures = []
        for failure in all_failures(layout, self.chunks()):
            picture = f"pictures/failed-{failure.stage}-{failure.capture_id}.png"
            source = layout.stage_folder(failure.stage) / failure.picture
            write_bytes(layout.report / picture, source.read_bytes())
            failures.append(with_picture(failure, picture))
        manifest = read_manifest(layout.dataset(self.digest()))
        rows = report_rows(layout, self.chunks())
        page = render_page(
            *(layout.config.name, self.page_digest(), manifest, rows, failures),
            split_warnings(manifest),
        )
        write_bytes(layout.report_page, page.encode())


def report_rows(layout: BuildLayout, chunks: list[Chunk]) -> list[dict[str, Any]]:
    """Collect the report's figures of all chunks."""
    files = [layout.report_rows(chunk.name) for chunk in chunks]
    return [row for file in files for row in json.loads(file.read_text(encoding="utf-8"))]


def split_warnings(manifest: dict[str, Any]) -> list[str]:
    """Say which split is empty."""
    return [
        f"the {split} split is empty: no subject falls into it with this fraction and salt"
        for split, content in manifest["splits"].items()
        if not content["samples"]
    ]
