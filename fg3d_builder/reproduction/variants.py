"""Variants of one dataset, built into one folder, and which of its datasets is which.

Variants of a build share captures, landmarks, fits and registrations: only what a variant changes
is made again.
"""

from __future__ import annotations

import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from fg3d_builder.config import BuildConfig, digest, toml_text
from fg3d_builder.errors import ConfigError
from fg3d_builder.facemodel.storage import load_model
from fg3d_builder.files.atomic import write_bytes
from fg3d_builder.files.own_package import finds_this_package
from fg3d_builder.files.sealed import DamagedFileError, read_sealed_json, write_sealed_json
from fg3d_builder.layout import BuildLayout
from fg3d_builder.reproduction.tables import FACE_PROFILING, FULL_VIEW
from fg3d_builder.shards.manifest import missing_files, read_manifest
from fg3d_builder.shards.verify import verify_dataset
from fg3d_builder.stopping import run_until_stopped
from fg3d_builder.tasks.finding import complete_dataset

RECORD_NAME = "datasets.json"

_ABOUT = {
    FULL_VIEW: "Full-view augmentation and shape transformation (Sec. 6.2, 6.3); all rows are\n"
    "tested on the test split of this one.",
    FACE_PROFILING: "Face profiling in place of full-view augmentation, captured shapes only\n"
    "(first row of Table 3).",
}


class BuildFailedError(Exception):
    """A dataset could not be built; the message names the command."""


@dataclass(frozen=True)
class Dataset:
    """A dataset that is there.

    Attributes
    ----------
    variant : str
        `FULL_VIEW` or `FACE_PROFILING`.
    folder : Path
        Holds ``manifest.json``.
    content_sha256 : str
    facemodel : Path, optional
        The face model's file, where its licence keeps it out of the dataset.
    """

    variant: str
    folder: Path
    content_sha256: str
    facemodel: Path | None = None


def variant_config(plain: BuildConfig, variant: str) -> BuildConfig:
    """Return the configuration of a variant of a preset."""
    if variant == FULL_VIEW:
        fullview = dataclasses.replace(plain.fullview, method="full_view")
        return dataclasses.replace(plain, fullview=fullview)
    if variant == FACE_PROFILING:
        fullview = dataclasses.replace(plain.fullview, method="face_profiling")
        # The row of Table 3 has captured shapes only; others would be made and not used.
        transform = dataclasses.replace(plain.transform, shapes_per_capture=0)
        return dataclasses.replace(plain, fullview=fullview, transform=transform)
    raise ValueError(f"no variant '{variant}'")


class Variants:
    """The variants of one preset, in one build folder.

    Parameters
    ----------
    plain : BuildConfig
        The preset's.
    root : Path
        Folder of the build.
    out : Path
        Folder of the experiments: gets a preset of each variant, and a record of which dataset
        each has been built to.
    """

    def __init__(self, plain: BuildConfig, root: Path, out: Path) -> None:
        self.plain, self.root, self.out = plain, root, out
        self._record_file = out / RECORD_NAME

    def layout(self, variant: str) -> BuildLayout:
        """Paths of a variant's build."""
        # Luigi is slow to import, and not needed where a record is there.
        from fg3d_builder.tasks.finding import layout_of

        return layout_of(variant_config(self.plain, variant), self.root)

    def preset(self, variant: str) -> Path:
        """Where the variant's preset is kept."""
        return self.out / "datasets" / f"{variant}.toml"

    def command(self, variant: str, workers: int) -> str:
        """Return the command that builds a variant, as a person types it."""
        return shlex.join(["fg3d", *self._words(variant, workers)])

    def find(self, variant: str) -> Dataset | None:
        """Return a variant's dataset if it is there; write nothing.

        A dataset that an earlier experiment has used goes on being used as long as it is what it
        was, also when the code that builds has changed since: rows that are compared must not
        come from two datasets.
        """
        recorded = self._recorded(variant)
        if recorded is not None:
            return recorded
        folder = complete_dataset(self.layout(variant))
        return None if folder is None else self._dataset(variant, folder)

    def expected(self, variant: str) -> Dataset:
        """Return a variant's dataset, or a name for it before it is built."""
        unbuilt = Dataset(variant, self.root / "dataset-NOT-BUILT-YET", "not built yet")
        return self.find(variant) or unbuilt

    def ensure(
        self, variants: Sequence[str], workers: int, show: Callable[[str], None]
    ) -> dict[str, Dataset]:
        """Return the datasets of variants; build those that are not there.

        The preset's own variant comes last, and again after another was built: the folder's
        ``dataset`` link and its report go on showing it.

        Raises
        ------
        BuildFailedError
        """
        missing = [variant for variant in variants if self.find(variant) is None]
        missing.sort(key=lambda variant: variant == FULL_VIEW)
        again = [FULL_VIEW] if missing and FULL_VIEW not in missing else []
        for variant in [*missing, *again]:
            self._freeze(variant)
            show(self.command(variant, workers))
            # In a process of its own: Luigi forks workers, and remembers tasks.
            program = [sys.executable, "-m", "fg3d_builder.cli", *self._words(variant, workers)]
            status = run_until_stopped(program, finds_this_package())
            if status:
                command = self.command(variant, workers)
                raise BuildFailedError(f"exit status {status} of: {command}")
        return {variant: self._checked(variant, show) for variant in variants}

    def _words(self, variant: str, workers: int) -> list[str]:
        preset, root = str(self.preset(variant)), str(self.root)
        return ["build", preset, "--out", root, "--workers", str(workers)]

    def _freeze(self, variant: str) -> None:
        """Write the variant's preset next to the results."""
        text = toml_text(variant_config(self.plain, variant), _ABOUT[variant])
        write_bytes(self.preset(variant), text.encode())

    def _records(self) -> dict[str, dict[str, str]]:
        try:
            found: dict[str, dict[str, str]] = read_sealed_json(self._record_file)
        except (FileNotFoundError, DamagedFileError):  # the datasets are found and checked again
            return {}
        return found

    def _recorded(self, variant: str) -> Dataset | None:
        record = self._records().get(variant)
        if record is None:
            return None
        if record["config"] != digest(variant_config(self.plain, variant)):
            raise ConfigError(
                f"{self.out} holds experiments on another preset than this one; name another "
                "folder with --out"
            )
        folder = Path(record["folder"])
        if missing_files(folder):
            return None
        dataset = self._dataset(variant, folder)
        return dataset if dataset.content_sha256 == record["content_sha256"] else None

    def _checked(self, variant: str, show: Callable[[str], None]) -> Dataset:
        """Check a dataset once, shard by shard, and note which one it is."""
        recorded, dataset = self._recorded(variant), self.find(variant)
        if recorded is not None:
            return recorded
        if dataset is None:
            raise BuildFailedError(
                f"built, but not found again: {self.preset(variant)}; did its sources or review "
                "list change meanwhile?"
            )
        show(f"fg3d verify {dataset.folder}")
        model = None if dataset.facemodel is None else load_model(dataset.facemodel)
        found = verify_dataset(dataset.folder, model)
        if not found.ok:
            raise BuildFailedError(
                " ".join([f"{dataset.folder}: {found.problems[0]}.", *found.repair])
            )
        self._freeze(variant)
        record = {
            "folder": str(dataset.folder),
            "content_sha256": dataset.content_sha256,
            "config": digest(variant_config(self.plain, variant)),
        }
        write_sealed_json(self._record_file, {**self._records(), variant: record})
        return dataset

    def _dataset(self, variant: str, folder: Path) -> Dataset:
        manifest = read_manifest(folder)
        beside = None if manifest["facemodel"]["file"] else self.layout(variant).facemodel
        return Dataset(variant, folder, str(manifest["content_sha256"]), beside)
