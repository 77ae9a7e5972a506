"""What `fg3d merge` and `fg3d split` have in common: options, what they say, writing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fg3d_builder.commands.arguments import folder_to_write, number
from fg3d_builder.errors import ConfigError

if TYPE_CHECKING:
    from fg3d_builder.shards.derived_dataset import Derivation
    from fg3d_builder.shards.split import SplitRule

DEFAULT_SALT = "fg3d"


def add_output(command: argparse.ArgumentParser) -> None:
    """Add the options about what is written."""
    command.add_argument(
        "--out", type=folder_to_write, required=True, metavar="FOLDER", help="dataset to write"
    )
    command.add_argument("--dry-run", action="store_true", help="say what would be made")
    command.add_argument(
        "--no-verify",
        action="store_true",
        help="leave out the last step, `fg3d verify` of what was made (3 ms a sample)",
    )


def add_rule(command: argparse.ArgumentParser, test_help: str) -> None:
    """Add the options of a split by a hash of subjects' names."""
    share = number(0, 1)
    command.add_argument("--test", type=share, metavar="SHARE", help=test_help)
    command.add_argument(
        "--val", type=share, metavar="SHARE", help="share kept to choose between networks"
    )
    command.add_argument(
        "--salt",
        help="another one draws other subjects; default: the dataset's own, "
        f"'{DEFAULT_SALT}' where there are several",
    )


def rule_from(
    options: argparse.Namespace, manifests: Sequence[dict[str, object]]
) -> SplitRule | None:
    """Return the rule that the options name, None where they name none."""
    from fg3d_builder.shards.split import SplitRule, rule_of

    if options.test is None and options.val is None:
        if options.salt is not None:
            raise ConfigError("--salt: splits anew, with --test SHARE beside it")
        return None
    salts = {None if rule is None else rule.salt for rule in map(rule_of, manifests)}
    own = salts.pop() if len(salts) == 1 else None
    named = options.salt if options.salt is not None else own  # an empty one is one as well
    salt = DEFAULT_SALT if named is None else named
    try:
        return SplitRule(salt, options.test or 0.0, options.val or 0.0)
    except ConfigError as error:
        raise ConfigError(f"--test, --val: {error}") from None


def carry_out(options: argparse.Namespace, wanted: Derivation) -> int:
    """Say what is made, and make it; return the exit status."""
    from tqdm import tqdm

    from fg3d_builder.shards.derived_dataset import is_there, write_derived

    _tell_plan(wanted)
    if not wanted.plan.count("samples"):
        raise ConfigError("no samples are left")
    if options.dry_run:
        print("nothing was written: --dry-run")
        return 0
    if is_there(options.out, wanted):
        print(f"{options.out}: is there already, made of the same in the same way")
        return 0
    verify = None if options.no_verify else lambda: print("verifying", flush=True)
    with tqdm(total=wanted.plan.count("samples"), unit="sample", disable=None) as bar:
        write_derived(options.out, wanted, lambda shard: bar.update(shard.count("samples")), verify)
    _tell_result(options.out, verified=not options.no_verify)
    return 0


def _tell_plan(wanted: Derivation) -> None:
    from fg3d_builder.shards.schema import BUILT_SPLITS, SPLITS
    from fg3d_builder.wording import counted

    plan = wanted.plan
    for part in wanted.parts:
        whose = f"{part.name}: " if len(wanted.parts) > 1 else ""
        for what, names in (("subject", part.subjects), ("capture", part.captures)):
            if names:
                old, new = min(names.items())
                print(f"{whose}{counted(len(names), what)} renamed, such as {old} to {new}")
        if part.left_out:
            print(f"{whose}{counted(len(part.left_out), 'capture')} left to a dataset named before")
        lost = plan.dropped[part.name]["new_shapes"]
        if lost:
            there = sum(content.new_shapes for content in part.contents)
            print(
                f"{whose}{lost:,} of {counted(there, 'new shape')} left out: of people who are not "
                "in the training split, or with parts of their faces"
            )
    for split in SPLITS:
        captures = plan.count("captures", split)
        if captures or split in BUILT_SPLITS:
            subjects = counted(len(plan.subjects(split)), "subject")
            print(
                f"{split}: {subjects}, {counted(captures, 'capture')}, "
                f"{counted(plan.count('shapes', split), 'shape')}, "
                f"{counted(plan.count('samples', split), 'sample')}"
            )


def _tell_result(out: Path, verified: bool) -> None:
    from fg3d_builder.shards.manifest import described_files, read_manifest

    manifest = read_manifest(out)
    size = sum(entry["bytes"] for entry in described_files(manifest))
    word = "good" if verified else "not verified"
    print(f"{out}: {word}; {size / 1e6:.1f} MB, content {manifest['content_sha256'][:16]}")
