"""Checks what a manifest says against itself and against the files beside it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import h5py

from fg3d_builder.config import digest
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.files.sealed import seal_problem
from fg3d_builder.records import Failure
from fg3d_builder.review.decisions import Rejection
from fg3d_builder.shards.costs import wrong_costs
from fg3d_builder.shards.derived_manifest import check_derived
from fg3d_builder.shards.manifest import (
    MANIFEST_NAME,
    MODEL_NAME,
    content_sha256,
    described_files,
    shard_names,
    split_contents,
)
from fg3d_builder.shards.problems import Problems, Remedy
from fg3d_builder.shards.schema import FIELDS, SCHEMA
from fg3d_builder.shards.split import rule_of

_ROWS = {"failures": Failure, "augmentation_failures": Failure, "rejected": Rejection}


def check_files(folder: Path, manifest: Mapping[str, Any], problems: Problems) -> None:
    """Check that exactly the files are there that a manifest describes, with their SHA-256."""
    listed = [entry["file"] for entry in manifest["shards"]]
    for entry in described_files(manifest):
        name, path = entry["file"], folder / entry["file"]
        if problems.check(path.is_file(), name, "is missing", Remedy.BUILD):
            whole = path.stat().st_size == entry["bytes"]
            remedy = Remedy.REMOVE_AND_BUILD if whole else Remedy.BUILD
            same = whole and file_sha256(path) == entry["sha256"]
            problems.check(same, name, "SHA-256 differs from the manifest's", remedy)
    _check_belongs(folder, listed, problems)
    for name in shard_names(folder):
        problems.check(name in listed, name, "is not in the manifest", Remedy.REMOVE)
    problems.check(listed, MANIFEST_NAME, "there are no shards: no capture was registered")
    problems.check(manifest["shard_schema"] == SCHEMA, MANIFEST_NAME, "unknown shard schema")
    for name, count in Counter(listed).items():
        problems.check(count == 1, name, "is listed twice in the manifest")


def _check_belongs(folder: Path, shards: list[str], problems: Problems) -> None:
    """Name the manifest where it has no shard that is here, and those here are whole."""
    wrong = problems.files().intersection(shards)
    here = [name for name in shards if (folder / name).is_file()]
    if here and wrong.issuperset(shards):
        whole = not any(seal_problem(folder / name, SCHEMA) for name in here)
        sentence = (
            "none of the shards here is one that it describes, and all of them are whole: "
            "it is another dataset's, or they are"
        )
        problems.check(not whole, MANIFEST_NAME, sentence, Remedy.REMOVE_AND_BUILD)


def check_fields(manifest: Mapping[str, Any], problems: Problems) -> None:
    """Check what a manifest says twice, and the form of what it says once."""
    shards, files = manifest["shards"], manifest["files"]

    def check(condition: Any, sentence: str) -> None:
        problems.check(condition, MANIFEST_NAME, sentence, Remedy.REMOVE_AND_BUILD)

    same = manifest["content_sha256"] == content_sha256(shards, files)
    check(same, "content_sha256 is not that of the files that it lists")
    check(digest(manifest["config"]) == manifest["config_digest"], "config_digest is another's")
    declared = [asdict(field) for field in FIELDS]
    as_json = [{name: _plain(value) for name, value in row.items()} for row in declared]
    if "derived" in manifest:
        check_derived(manifest, problems, MANIFEST_NAME)
    check(manifest["fields"] == as_json, "fields are not those of the schema")
    beside = MODEL_NAME if MODEL_NAME in [entry["file"] for entry in files] else ""
    check(manifest["facemodel"]["file"] == beside, "facemodel.file is not among the files")
    for member, kind in _ROWS.items():
        wanted = {field.name for field in fields(kind)}
        fits = all(isinstance(row, dict) and set(row) == wanted for row in manifest[member])
        check(fits, f"{member} holds a row without the fields {', '.join(sorted(wanted))}")
    check(all(isinstance(name, str) for name in manifest["accepted"]), "accepted holds no ids")
    for sentence in wrong_costs(manifest):
        check(False, sentence)
    versions = manifest["versions"].items()
    check(all(isinstance(v, str) for pair in versions for v in pair), "versions are no texts")


def check_split(manifest: Mapping[str, Any], problems: Problems) -> None:
    """Check counts and subjects of every split, and that subjects are on the right side."""
    right_contents = split_contents(manifest["shards"])
    for split, content in manifest["splits"].items():
        for name in ("samples", "shapes", "captures"):
            total = right_contents[split][name]
            sentence = f"{split} says {content[name]} {name}, {total} are"
            fits = total == content[name]
            problems.check(fits, MANIFEST_NAME, sentence, Remedy.REMOVE_AND_BUILD)
        same = content["subjects"] == right_contents[split]["subjects"]
        sentence = f"{split}: its subjects are not those of its shards"
        problems.check(same, MANIFEST_NAME, sentence, Remedy.REMOVE_AND_BUILD)
    rule = rule_of(manifest)
    found: dict[str, str] = {}
    for shard in manifest["shards"]:
        for subject in shard["subjects"]:
            other = found.setdefault(subject, shard["split"])
            sentence = f"subject '{subject}' is in the {other} split as well"
            problems.check(other == shard["split"], shard["file"], sentence)
            right = shard["split"] if rule is None else rule.of(subject)
            sentence = f"subject '{subject}' belongs to the {right} split"
            problems.check(right == shard["split"], shard["file"], sentence)


def check_model_named(topology: h5py.File, manifest: Mapping[str, Any], problems: Problems) -> None:
    """Check that the manifest and the template's file name the same face model."""
    wanted = manifest["facemodel"]
    for attribute, member in (("model", "name"), ("licence", "licence")):
        found = topology.attrs.get(attribute)
        sentence = f"facemodel.{member} is '{wanted[member]}', the template's is '{found}'"
        fits = found == wanted[member]
        problems.check(fits, MANIFEST_NAME, sentence, Remedy.REMOVE_AND_BUILD)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
