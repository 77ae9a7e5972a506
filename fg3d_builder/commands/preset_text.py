"""The text of a preset for what was recognised in a folder."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from fg3d_builder.captures import CaptureEntry, open_source
from fg3d_builder.captures.layouts.known import LAYOUTS
from fg3d_builder.captures.layouts.layout import Layout
from fg3d_builder.captures.recognition import Found
from fg3d_builder.config import MIN_QUALITY, ShardConfig, SourceConfig, TransformConfig
from fg3d_builder.config.constraints import FolderName
from fg3d_builder.shards.split import split_of
from fg3d_builder.transform.donors import DONATED_PARTS
from fg3d_builder.wording import counted

_LONG = 10
"""Captures of one person and expression that are rather frames of a recording."""

_SALTS = 1000
"""Salts that are tried, so that neither split is empty."""


def preset_name(path: Path) -> str:
    """Return the name of a build: a folder's or file's, as far as a build may be called so."""
    name = re.sub(r"[^\w.-]+", "-", path.resolve().name).strip("-.")[: FolderName().longest]
    return name if name and FolderName().allows(name) else "captures"


def preset_text(
    found: Sequence[Found], sources: Sequence[SourceConfig], name: str, file: Path
) -> str:
    """Return a preset with comments, as TOML.

    Parameters
    ----------
    found : sequence of Found
        What there is to read, see `recognise`.
    sources : sequence of SourceConfig
        That read it, one for each.
    name : str
        Of the build.
    file : Path
        Where the preset will be: paths in it count from there.
    """
    entries = [open_source(source).entries() for source in sources]
    people = sorted({entry.subject_id for part in entries for entry in part if entry.subject_id})
    total = sum(map(len, entries))
    fraction, salt = split_for(people, name)
    training = sum(split_of(person, fraction, salt) == "train" for person in people)
    parts = [_head(name, total, len(people))]
    parts += [_source(*one, file) for one in zip(found, sources, entries, strict=True)]
    parts.append(_settings(fraction, salt, training))
    return "\n".join(parts)


def split_for(people: Sequence[str], name: str) -> tuple[float, str]:
    """Choose the share of the test subjects, and a salt with which neither split is empty.

    A tenth is tested on, of few people at least one of them.
    """
    fraction = max(ShardConfig().test_fraction, round(1.0 / len(people), 2) if people else 0.0)
    fraction = min(fraction, 0.5)
    wanted = max(1, round(fraction * len(people)))
    for number in range(_SALTS):
        salt = f"{name}-{number}" if number else name
        tested = sum(split_of(person, fraction, salt) == "test" for person in people)
        if wanted <= tested < len(people) and tested <= 2 * wanted:
            return fraction, salt
    return fraction, name


def _head(name: str, captures: int, people: int) -> str:
    return f"""\
# A build of {counted(captures, "capture")} of {counted(people, "subject")}, written by `fg3d new`.
# `fg3d check` says what it would make of them, `fg3d build` makes it.
# What is not set here has its default: docs/settings.md lists every setting.

# Of the build and of its folder, build/NAME.
name = {_quoted(name)}
# Captures that one process works on at a time, and the most that is lost when a build is killed.
chunk_size = 4
# A build in which a larger part of the captures cannot be used ends with an error.
max_failure_rate = 0.5
"""


def _source(found: Found, source: SourceConfig, entries: Sequence[CaptureEntry], file: Path) -> str:
    root = os.path.relpath(found.root.resolve(), file.resolve().parent)
    lines = [f"# {found.says}", "[[sources]]", f'kind = "{found.kind}"']
    lines += [f"path = {_quoted(root)}  # counts from this file's folder"]
    if not found.everything:
        lines += ["# The folder holds other things as well: only these.", _include(found)]
    layout = LAYOUTS.get(found.kind)
    if source.depth_factor != 1.0:
        lines += [
            "# The files are in another unit than such files usually are.",
            f"depth_factor = {source.depth_factor!r}",
        ]
    if source.depth_is_along_ray:
        lines += ["# The files hold distances along the ray.", "depth_is_along_ray = true"]
    if found.kind == "scan":
        lines += [
            "# Length of the scans' unit in mm; 0 finds it from the eyes, 1000 is a metre.",
            f"unit_mm = {source.unit_mm!r}",
        ]
    if found.kind == "scan" or (layout and layout.mesh):
        lines += [
            "# (pitch, yaw) in degrees of the sides that each scan is photographed from.",
            "views = [[0.0, 0.0]]",
        ]
    if found.kind != "folder":
        lines += _licence(layout)
    lines += _frames(found.kind, entries)
    people = {entry.subject_id for entry in entries if entry.subject_id}
    if found.kind == "folder" and len(entries) > len(people):
        lines += [
            "# true: captures of one person and expression get one shape together, see",
            "# docs/captures.md.",
            "fuse = false",
        ]
    return "\n".join(lines) + "\n"


def _licence(layout: Layout | None) -> list[str]:
    if layout is None or not layout.terms:
        return ["# Goes with every sample that is made of these.", 'licence = "unknown"']
    return [
        f"# Goes with every sample; with whom the terms of {layout.title} are agreed:",
        f"# {layout.terms}",
        f"licence = {_quoted(layout.title)}",
    ]


def _frames(kind: str, entries: Sequence[CaptureEntry]) -> list[str]:
    """Offer the choices where there are sequences; in folders of captures, where one is long."""
    lengths = Counter(entry.sequence for entry in entries if entry.sequence)
    if not lengths or (kind == "folder" and max(lengths.values()) < _LONG):
        return []
    return [
        f"# Which frames of the {counted(len(lengths), 'sequence')}: all, or one of the others.",
        'frames = {take = "all"}',
        '# frames = {take = "every", count = 10}   # every tenth of each sequence',
        '# frames = {take = "random", count = 3}   # three of each, the same ones every time',
        '# frames = {take = "peak"}                # the strongest expression, else the middle',
    ]


def _settings(fraction: float, salt: str, training: int) -> str:
    enough = training > len(DONATED_PARTS)
    shapes = TransformConfig().shapes_per_capture if enough else 0
    few = "" if enough else f"; needs {len(DONATED_PARTS) + 1} people in the training split"
    return f"""\
[landmarks]
# "mediapipe", "face-alignment", or "annotation" for points that the captures bring along.
detector = "mediapipe"

[review]
# Registrations of a lower quality are left out, unless a person accepts them.
min_quality = {MIN_QUALITY}

[fullview]
# How far heads are turned on from their captured pose; empty lists turn nothing.
yaw_steps_deg = [15.0, 30.0, 45.0]
pitch_steps_deg = [15.0, -25.0]

[transform]
# New faces under each training photo{few}.
shapes_per_capture = {shapes}

[shards]
# Side of the square pictures in pixels.
image_size = {ShardConfig().image_size}
# Part of the people, not of the captures, that is kept for the test.
test_fraction = {fraction}
# Another text puts other people there.
split_salt = {_quoted(salt)}
"""


def _include(found: Found) -> str:
    names = "".join(f"  {_quoted(name)},\n" for name in found.include)
    return f"include = [\n{names}]"


def _quoted(text: str) -> str:
    """Return a text as TOML has it: JSON's escapes are a part of TOML's."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
