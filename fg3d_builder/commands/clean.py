"""Removes from a build's folder what is no longer needed, or what is withdrawn."""

from __future__ import annotations

import argparse
import errno
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import folder_to_read
from fg3d_builder.commands.saying import say
from fg3d_builder.guidance import page_for_error

if TYPE_CHECKING:
    from fg3d_builder.layout import BuildLayout

DESCRIPTION = """\
Removes products of old settings and captures from the folder of a build, or, with --capture or
--subject, everything that it holds of a withdrawn capture or person.

  fg3d clean --preset studio.toml --dry-run          what no current dataset needs
  fg3d clean --root build/studio
  fg3d clean --root build/studio --subject anna

Take what is withdrawn out of the sources as well. The next `fg3d build` makes again, without it,
what the datasets need; datasets that were copied elsewhere, and exports, are not found.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "clean",
        help="remove what no current dataset needs, or all of a withdrawn capture or subject",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument(
        "--root", type=folder_to_read, help="folder of the build; default the preset's"
    )
    command.add_argument(
        "--preset",
        type=Path,
        action="append",
        default=[],
        help="whose dataset is current; default: the one that BUILD/dataset points at",
    )
    command.add_argument("--capture", action="append", default=[], help="id of a withdrawn capture")
    command.add_argument("--subject", action="append", default=[], help="id of a withdrawn subject")
    command.add_argument("--dry-run", action="store_true", help="say what would be removed")
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Remove, and say what and how much."""
    from fg3d_builder.files.locks import BuildRunningError
    from fg3d_builder.tasks import cleaning

    root = _root(options)
    try:
        _keep_builds_out(root / "build.lock", options.dry_run)
    except BuildRunningError as error:
        say(str(error), page_for_error(error))
        return 2
    if not (options.capture or options.subject):
        _remove(root, cleaning.unneeded(root, _current(options, root)), options.dry_run)
        return 0
    subjects = [_plain(subject) for subject in options.subject]
    _refuse_strangers(root, options.capture, subjects)
    captures = {*options.capture, *cleaning.captures_of(root, subjects)}
    paths = cleaning.files_of(root, captures, subjects)
    _remove(root, paths, options.dry_run)
    if not options.dry_run:
        rows = cleaning.forget_verdicts(root, captures)
        print(f"review list: {rows} rows taken out")
    print("Take it out of the sources as well: the next build makes a dataset of what is there.")
    return 0


def _plain(subject: str) -> str:
    """Return a name in the form in which captures have it, see `plain_text`."""
    from fg3d_builder.captures.source import plain_text
    from fg3d_builder.errors import ConfigError

    try:
        return plain_text(subject, len(subject))
    except ValueError as error:
        raise ConfigError(f"--subject {subject!r}: {error}") from None


def _root(options: argparse.Namespace) -> Path:
    from fg3d_builder.config import load_preset
    from fg3d_builder.errors import ConfigError
    from fg3d_builder.layout import default_root

    if not options.root and not options.preset:
        raise ConfigError("name the folder of a build with --root, or its preset with --preset")
    root = Path(os.path.realpath(options.root or default_root(load_preset(options.preset[0]))))
    if not any((root / "work").glob("config-*.json")):
        raise ConfigError(f"{root} is no folder of a build: it has no work/config-*.json")
    return root


def _keep_builds_out(lock: Path, dry_run: bool) -> None:
    """Claim a build's folder; where only a look is wanted, or no room is left, see that it is free.

    No build can begin on a full disk, and whoever makes room there has to be able to.

    Raises
    ------
    BuildRunningError
    """
    from fg3d_builder.files.locks import check_unclaimed, claim

    if dry_run:
        check_unclaimed(lock)
        return
    try:
        claim(lock)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        check_unclaimed(lock)


def _refuse_strangers(root: Path, captures: Sequence[str], subjects: Sequence[str]) -> None:
    """Raise where a build holds nothing of a capture or subject: an id that is misspelt.

    Nothing is removed then: who withdraws somebody has to know that all of it is gone.
    """
    from fg3d_builder.config.reading import nearest
    from fg3d_builder.errors import ConfigError
    from fg3d_builder.tasks import cleaning

    people, known = cleaning.subjects_and_captures(root)
    listed = cleaning.captures_with_verdicts(root)
    for option, names, there in (("subject", subjects, people), ("capture", captures, known)):
        for name in names:
            if name in there or (option == "capture" and name in listed):
                continue
            if cleaning.is_named(root, name):
                continue
            near = nearest(name, sorted(there))
            hint = f'; did you mean "{near}"?' if near else ""
            raise ConfigError(f'--{option} "{name}": {root} holds nothing of it{hint}')


def _current(options: argparse.Namespace, root: Path) -> list[BuildLayout]:
    """Return the layouts whose products are kept."""
    from fg3d_builder.config import load_preset
    from fg3d_builder.errors import ConfigError
    from fg3d_builder.tasks import cleaning
    from fg3d_builder.tasks.finding import layout_of

    if not options.preset:
        linked = cleaning.linked_layouts(root)
        if not linked:
            raise ConfigError(f"{root} has no complete dataset; name the presets that count")
        return linked
    layouts = [layout_of(load_preset(preset), root) for preset in options.preset]
    for layout, preset in zip(layouts, options.preset, strict=True):
        if not layout.config_file.is_file():
            raise ConfigError(f"{preset} was never built in {root}; build it, or leave it out")
    return layouts


def _remove(root: Path, paths: Sequence[Path], dry_run: bool) -> None:
    from fg3d_builder.tasks import cleaning

    groups: dict[str, list[int]] = {}
    for path in paths:
        inside = path.relative_to(root)
        name = inside.parts[0] if len(inside.parts) < 3 else "/".join(inside.parts[:2])
        groups.setdefault(name, []).append(cleaning.size_of(path))
    for name, sizes in sorted(groups.items()):
        print(f"{name}: {len(sizes)} {'entry' if len(sizes) == 1 else 'entries'}, {_size(sizes)}")
    if not dry_run:
        cleaning.remove(root, paths)
    total = [size for sizes in groups.values() for size in sizes]
    print(f"{'would remove' if dry_run else 'removed'} {len(paths)} entries, {_size(total)}")


def _size(sizes: Sequence[int]) -> str:
    return f"{sum(sizes) / 1e6:.1f} MB"
