"""Lists registrations of a build, and changes verdicts about them."""

from __future__ import annotations

import argparse
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import whole
from fg3d_builder.commands.view import serve
from fg3d_builder.config import BuildConfig, from_table
from fg3d_builder.errors import ConfigError
from fg3d_builder.wording import counted

if TYPE_CHECKING:
    from fg3d_builder.review.review_list import ReviewList

DESCRIPTION = """\
Lists the registrations of a build, the worst first, or changes verdicts about them in the build's
review list.

  fg3d review build/studio                                  the worst twenty
  fg3d review build/studio --reject anna-002 --note "hand before the chin"
  fg3d review build/studio --accept bert-004 --reset anna-001
  fg3d review build/studio --browser                        in a browser, as `fg3d view` does
  fg3d build studio.toml                                    obeys

`fg3d status build/studio` says beforehand what the verdicts would change of the dataset.
"""

_WORST_TOLD = 20


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "review",
        help="list registrations, accept or reject them; build again to obey",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("build", type=Path, help="folder of the build, e.g. build/demo")
    for name, what in (
        ("accept", "keep, whatever the quality"),
        ("reject", "leave out of the dataset"),
        ("reset", "let the threshold decide again"),
    ):
        command.add_argument(f"--{name}", nargs="+", default=[], metavar="ID", help=what)
    command.add_argument("--note", help="why; written beside the verdict")
    command.add_argument("--list", choices=("worst", "rejected", "all"), help="default: worst")
    command.add_argument("--count", type=whole(1, 1_000_000_000), help="of the worst; default 20")
    command.add_argument(
        "--browser", action="store_true", help="go through them in a browser: fg3d view"
    )
    command.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Change verdicts in a build's review list, or list its registrations."""
    from fg3d_builder.layout import BuildFolder
    from fg3d_builder.review.review_list import ACCEPT, AUTO, REJECT, update_review_list
    from fg3d_builder.shards.manifest import read_manifest

    wanted = {ACCEPT: options.accept, REJECT: options.reject, AUTO: options.reset}
    count = Counter(name for names in wanted.values() for name in names)
    if options.browser:
        if count or options.note:
            raise ConfigError("--browser: verdicts and notes are given in the page")
        if options.list or options.count:
            given = "--list" if options.list else "--count"
            raise ConfigError(f"--browser shows all, and filters in the page: leave out {given}")
        return serve(options.build)
    folder = BuildFolder(Path(os.path.realpath(options.build)))
    manifest = read_manifest(folder.dataset_link)
    config = from_table(BuildConfig, manifest["config"], "manifest.json")
    path = folder.review_list_of(config.review)
    if not path.is_file():
        raise FileNotFoundError(f"no review list at {path}; run `fg3d build` to its end first")
    if options.note and not count:
        raise ConfigError(
            "--note: write --accept, --reject or --reset beside it, and whom it is about"
        )
    twice = [name for name, times in count.items() if times > 1]
    if twice:
        raise ConfigError(f"more than one verdict about {', '.join(twice)}")

    def change(content: ReviewList) -> ReviewList:
        for verdict, names in wanted.items():
            content = content.with_verdicts(names, verdict, options.note)
        return content

    content = update_review_list(path, change)
    if count:
        print(f"{path}: {len(count)} changed; run `fg3d build` again to obey")
    else:
        limit = config.review.min_quality
        chosen, most = options.list or "worst", options.count or _WORST_TOLD
        print("\n".join(_review_lines(content, limit, chosen, most)))
        print(f"rejected below quality {limit:g} unless accepted; list: {path}")
    return 0


def _review_lines(content: ReviewList, limit: float, chosen: str, count: int) -> list[str]:
    """Return a header and one line per registration, the worst first."""
    from fg3d_builder.review.review_list import is_kept

    rows = sorted(content.entries.values(), key=lambda e: (float(e.quality or 0), e.capture_id))
    kept = {e.capture_id: is_kept(e.verdict, float(e.quality or 0), limit) for e in rows}
    shown = [e for e in rows if chosen != "rejected" or not kept[e.capture_id]]
    shown = shown[:count] if chosen == "worst" else shown
    lines = [f"{'capture':40} {'quality':>7} {'verdict':8} {'dataset':8} note"]
    for e in shown:
        state = "in" if kept[e.capture_id] else "out"
        lines.append(f"{e.capture_id:40} {e.quality:>7} {e.verdict:8} {state:8} {e.note}".rstrip())
    left_out = sum(not value for value in kept.values())
    return [*lines, f"{counted(len(rows), 'registration')}, {left_out} left out"]
