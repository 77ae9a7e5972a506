"""What a complete build was made of, in one file: whether there is anything to do is known at once.

Written when everything of a build is there. It names captures, verdicts and code by their
digests, and the files that people use; products that nobody needs any more it does not name.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from fg3d_builder.config import digest
from fg3d_builder.files.sealed import read_sealed_as, write_sealed_json
from fg3d_builder.layout import BuildLayout
from fg3d_builder.report.page_set import pages_belong_to
from fg3d_builder.shards.manifest import missing_files
from fg3d_builder.tasks.base import if_there


@dataclass(frozen=True)
class Completeness:
    """What the complete dataset and report of a configuration are made of.

    Attributes
    ----------
    made_of : str
        Digest of captures, verdicts and code, see `made_of`.
    dataset : str
        Name of the dataset's folder.
    page : str
        Identity of the report's pages.
    pictures : sequence of str
        Names of the files in the report's folder of pictures.
    captures, failed : int
        Numbers of captures, in all and failed.
    summary : sequence of str
        What the build said in the end.
    meshes : sequence of str
        Names of the files in the report's folder of meshes; earlier versions wrote none.
    """

    made_of: str
    dataset: str
    page: str
    pictures: Sequence[str]
    captures: int
    failed: int
    summary: Sequence[str]
    meshes: Sequence[str] = ()


def made_of(layout: BuildLayout, index: str, verdicts: str) -> str:
    """Return the digest of what a build is made of: captures, verdicts, settings and code."""
    code = layout.stage_digest("shards"), layout.report_digest, layout.augmentation_report_digest
    return digest(index, verdicts, code, layout.config_digest)


def write_completeness(layout: BuildLayout, known: Completeness) -> None:
    """Note that a build is complete."""
    write_sealed_json(layout.completeness, asdict(known))


def read_completeness(layout: BuildLayout) -> Completeness | None:
    """Read what was noted when a build was complete, true as it may still be or not."""
    return if_there(lambda: read_sealed_as(layout.completeness, lambda t: Completeness(**t)))


def completeness(layout: BuildLayout, index: str, verdicts: str) -> Completeness | None:
    """Return what a build is made of if it is complete; reads no product.

    Parameters
    ----------
    layout : BuildLayout
    index, verdicts : str
        Identities of the captures and of the verdicts that there are now.
    """
    known = read_completeness(layout)
    if known is None:
        return None
    if known.made_of != made_of(layout, index, verdicts) or not layout.review_list.is_file():
        return None
    folder = layout.root / known.dataset
    if layout.dataset_link.resolve() != folder.resolve() or missing_files(folder):
        return None
    if not pages_belong_to(layout.report, known.page):
        return None
    shown = (("pictures", known.pictures), ("meshes", known.meshes))
    there = all(set(names) <= _names(layout.report / folder) for folder, names in shown)
    return known if there else None


def _names(folder: Path) -> set[str]:
    """One listing instead of a look at every file."""
    return set(os.listdir(folder)) if folder.is_dir() else set()
