"""The one authority on paths: where each stage's product of a build is.

::

    ROOT/
      work/
        config-<digest>.json             configuration and identity of the face model, frozen
                                         when the build starts
        index-<digest>.json              which captures there are, cut into chunks
        facemodel-<digest>.h5
        <stage>-<digest>/
          chunk-0110-<digest>.product    records and failures of one chunk of captures
          chunk-0110-<digest>.json       facts of them, for who does not need the records
          failures/<capture id>.png
        verdicts-<digest>.json           what a person decided, frozen when the build starts
        decisions-<digest>.json          what is left out of the dataset, and every quality
        plan-<digest>.json               which capture goes into which shard
        donors-<digest>.product          a face of every training subject
        draws-<digest>.json              who gives which part to which capture's new shapes
        transform-<digest>/
          chunk-0110-<digest>-<digest>.product   new shapes of one chunk, for its draws
        complete-<digest>.json           of what the complete dataset of a configuration is made
        timings-<digest>.csv             seconds that tasks took; decides nothing
        begun-<digest>.json              how the last build was begun; decides nothing
        costs/<folder>/<name>.json       what it cost to make the file of that name
      dataset-<digest>/                  train-00000.h5 ... test-00000.h5, manifest.json
      dataset -> dataset-<digest>        the newest complete one
      report/index.html, *.html          the pages, and pages.json with their hashes
      report/pictures/, report/meshes/
      review.csv                         where a person accepts and rejects registrations

A stage's digest covers its configuration, the version of its code and the digests of the
stages before it; a chunk's digest covers its captures: their source's configuration and the
size and time of their files. So whatever changes, a stale product is never taken for a
current one, and what did not change is not built again. All files in ``work/`` but pictures and
timings are sealed, see `fg3d_builder.files.sealed`: what is damaged is set aside as
``NAME.damaged``.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

from fg3d_builder.config import BuildConfig, ReviewConfig, digest, from_table, to_table
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.products import SUFFIX
from fg3d_builder.files.sealed import DamagedFileError, read_sealed_json, write_sealed_json

STAGES = ("captures", "landmarks", "fitting", "registration")
"""The stages that every capture of a dataset passes, chunk by chunk, in order."""

CHUNK_STAGES = (*STAGES, "views")
"""The same with turned views, which a capture may also fail to have."""

STAGE_VERSIONS = {
    "captures": 4,
    "facemodel": 1,
    "landmarks": 2,
    "fitting": 9,
    "registration": 11,
    "views": 12,
    "transform": 11,
    "shards": 3,
    "report": 7,
}
"""Raise a stage's number when its code gives other results for the same input."""


@dataclass(frozen=True)
class BuildFolder:
    """The paths in a build's folder that do not depend on its configuration.

    Attributes
    ----------
    root : Path
    """

    root: Path

    @property
    def work(self) -> Path:
        """Folder of everything that is not for the user of the dataset."""
        return self.root / "work"

    @property
    def costs(self) -> Path:
        """Folder of what the files of all configurations have cost, see `BuildLayout.cost`."""
        return self.work / "costs"

    @property
    def lock(self) -> Path:
        """File that names the process that builds here."""
        return self.root / "build.lock"

    @property
    def dataset_link(self) -> Path:
        """Symbolic link to the newest complete dataset."""
        return self.root / "dataset"

    @property
    def report(self) -> Path:
        """Folder of the report."""
        return self.root / "report"

    @property
    def report_page(self) -> Path:
        """The page to open."""
        return self.report / "index.html"

    def review_list_of(self, config: ReviewConfig) -> Path:
        """CSV file in which a person accepts and rejects registrations."""
        return Path(config.list or self.root / "review.csv")

    def frozen_file(self, key: str) -> Path:
        """JSON of the settings that a build has frozen under the digest `key`."""
        return self.work / f"config-{key}.json"


@dataclass(frozen=True)
class BuildLayout(BuildFolder):
    """The paths of one build.

    Attributes
    ----------
    root : Path
    config : BuildConfig
    facemodel_identity : str
        Identity of what the face model is made of, see `heads.library.model_identity`.
    """

    config: BuildConfig
    facemodel_identity: str

    @staticmethod
    def frozen(root: Path, key: str) -> BuildLayout:
        """Read what a build has frozen into its folder under its `config_digest`."""
        file = BuildFolder(root).frozen_file(key)
        table = read_sealed_json(file)
        config = from_table(BuildConfig, table["config"], str(file))
        return BuildLayout(root, config, table["facemodel_identity"])

    def freeze(self) -> None:
        """Keep configuration and identity of the face model for the processes of the build."""
        with contextlib.suppress(FileNotFoundError, DamagedFileError):
            read_sealed_json(self.config_file)
            return
        table = {"config": to_table(self.config), "facemodel_identity": self.facemodel_identity}
        write_sealed_json(self.config_file, table)

    @cached_property
    def config_digest(self) -> str:
        """Identity of the whole configuration, and of the face model that it names."""
        return digest(self.config, self.facemodel_identity)

    @property
    def config_file(self) -> Path:
        """JSON of the frozen configuration; tasks get the root and its digest only."""
        return self.frozen_file(self.config_digest)

    @property
    def review_list(self) -> Path:
        """CSV file in which a person accepts and rejects registrations."""
        return self.review_list_of(self.config.review)

    @cached_property
    def index(self) -> Path:
        """JSON list of the chunks and their captures."""
        return self.work / f"index-{digest(self.config.sources, self.config.chunk_size)}.json"

    @property
    def facemodel(self) -> Path:
        """The build's own copy of the face model file."""
        return self.work / f"facemodel-{self.stage_digest('facemodel')}.h5"

    def stage_digest(self, stage: str) -> str:
        """Identity of a stage's products; see the module's docstring."""
        return self._stage_digests[stage]

    @cached_property
    def _stage_digests(self) -> dict[str, str]:
        config, crops = self.config, self.config.shards
        image = (crops.image_size, crops.crop_margin, crops.image_format)
        looks = (config.texture, config.fullview, config.landmarks, config.fit, image)
        split = (crops.test_fraction, crops.split_salt)
        found: dict[str, str] = {}

        def add(stage: str, *parts: Any, version_of: str = "") -> str:
            found[stage] = digest(stage, STAGE_VERSIONS[version_of or stage], *parts)
            return found[stage]

        model = add("facemodel", self.facemodel_identity)
        # What is captured is in the digests of the chunks.
        before = add("captures", STAGE_VERSIONS["facemodel"])
        before = add("landmarks", before, config.landmarks)
        before = add("fitting", before, model, config.fit)
        before = add("registration", before, config.registration, quality_calibration())
        before = add("views", before, *looks)
        add("donors", before, config.transform, split, version_of="transform")
        before = add("transform", before, config.transform, split)
        add("shards", before, config.shards)
        return found

    def stage_folder(self, stage: str) -> Path:
        """Folder of a chunked stage's products."""
        return self.work / f"{stage}-{self.stage_digest(stage)}"

    def product(self, stage: str, chunk: str) -> Path:
        """File with the records and failures of one chunk."""
        return self.stage_folder(stage) / f"{chunk}{SUFFIX}"

    def facts(self, stage: str, chunk: str) -> Path:
        """JSON file with the facts of a product, see `tasks.facts`."""
        return self.stage_folder(stage) / f"{chunk}.json"

    def failure_picture(self, stage: str, capture_id: str) -> str:
        """Path of a failure's PNG, relative to the stage's folder (`Failure.picture`)."""
        return f"failures/{capture_id}.png"

    def verdicts(self, verdicts_digest: str) -> Path:
        """JSON file of a person's verdicts as they were when a build started."""
        return self.work / f"verdicts-{verdicts_digest}.json"

    def decisions(self, index: str, verdicts_digest: str) -> Path:
        """JSON file of what is left out, by threshold and by verdict; `index` is its identity."""
        before, limit = self.stage_digest("registration"), self.config.review.min_quality
        return self.work / f"decisions-{digest(before, index, limit, verdicts_digest)}.json"

    def dataset_digest(self, index: str, left_out: Any) -> str:
        """Identity of a dataset: how it is made, of which captures, and without which of them.

        `index` is the index's identity, `left_out` is plain values; a verdict that changes nothing
        changes no identity.
        """
        return digest(self.stage_digest("shards"), index, left_out)

    def donors(self, dataset_digest: str) -> Path:
        """File with one face of every training subject: what shapes are fused from."""
        return self.work / f"donors-{dataset_digest}{SUFFIX}"

    def draws(self, dataset_digest: str) -> Path:
        """JSON file that says which subjects give their parts to which capture's shapes."""
        return self.work / f"draws-{dataset_digest}.json"

    def transformed(self, chunk: str, draw_digest: str) -> Path:
        """File with the transformed shapes of one chunk, for one set of draws."""
        return self.stage_folder("transform") / f"{chunk}-{draw_digest}{SUFFIX}"

    @property
    def completeness(self) -> Path:
        """JSON file that says of what the complete dataset of this configuration is made."""
        return self.work / f"complete-{self.config_digest}.json"

    @property
    def timings(self) -> Path:
        """CSV file with the seconds that tasks of this configuration took."""
        return self.work / f"timings-{self.config_digest}.csv"

    @property
    def begun(self) -> Path:
        """JSON file that says how the last build of this configuration was begun."""
        return self.work / f"begun-{self.config_digest}.json"

    def cost(self, made: Path) -> Path:
        """JSON file that says what it cost to make a file that has no facts beside it."""
        return self.costs / made.parent.name / f"{made.stem}.json"

    def plan(self, dataset_digest: str) -> Path:
        """JSON file that says which capture goes into which shard."""
        return self.work / f"plan-{dataset_digest}.json"

    def dataset(self, dataset_digest: str) -> Path:
        """Folder of one dataset."""
        return self.root / f"dataset-{dataset_digest}"

    def report_rows(self, chunk: str, drawn_digest: str) -> Path:
        """JSON file with the report's figures of one chunk.

        `drawn_digest` identifies which of its captures have a contact sheet.
        """
        return self.work / f"report-{self.report_digest}" / f"{chunk}-{drawn_digest}.json"

    @property
    def report_digest(self) -> str:
        """Identity of what the report says of captures."""
        return digest(STAGE_VERSIONS["report"], self.stage_digest("registration"))

    @property
    def augmentation_report_digest(self) -> str:
        """Identity of what the report says of turned and transformed captures."""
        return digest(STAGE_VERSIONS["report"], self.stage_digest("transform"))

    def augmentation_rows(self, chunk: str, shown_digest: str) -> Path:
        """JSON file with the report's counts and sheets of one chunk's augmentation.

        `shown_digest` identifies the draws of its shapes and which of its captures are shown.
        """
        folder = self.work / f"augmentation-report-{self.augmentation_report_digest}"
        return folder / f"{chunk}-{shown_digest}.json"

    def report_picture(self, capture_id: str) -> str:
        """Path of a capture's contact sheet, relative to the report's folder."""
        return f"pictures/{capture_id}.jpg"

    def report_thumbnail(self, capture_id: str) -> str:
        """Path of a capture's small picture, relative to the report's folder.

        No id has a ``~``: the picture of another capture never has this name.
        """
        return f"pictures/thumbnail~{capture_id}.jpg"

    def report_mesh(self, capture_id: str) -> str:
        """Path of a capture's registered mesh, relative to the report's folder."""
        return f"meshes/{capture_id}.glb"

    def augmentation_picture(self, kind: str, capture_id: str) -> str:
        """Path of the sheet of a capture's turned views or new shapes in the report's folder."""
        return f"pictures/{kind}~{capture_id}.jpg"


@lru_cache(maxsize=1)
def quality_calibration() -> str:
    """Identity of the quality score's calibration: registrations carry their scores."""
    folder = Path(__file__).parent / "registration"
    return digest(*(file_sha256(folder / name) for name in ("quality.json", "feature_albedo.json")))


def default_root(config: BuildConfig) -> Path:
    """Where a build goes unless it is given a folder, relative to the current one."""
    return Path("build") / config.name
