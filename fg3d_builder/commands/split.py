"""Splits a dataset's subjects anew."""

from __future__ import annotations

import argparse

from fg3d_builder.commands.arguments import folder_to_read
from fg3d_builder.commands.derived_datasets import add_output, add_rule, carry_out, rule_from
from fg3d_builder.errors import ConfigError

DESCRIPTION = """\
Writes a dataset again with another share of its subjects to test, and, with --val, a third split to
choose between networks, for `ShardReader(dataset, "val")`. Nobody is in two splits.

  fg3d split build/studio/dataset --test 0.2 --val 0.1 --out build/studio-split
  fg3d split build/studio/dataset --test 0.2 --out build/studio-split --dry-run

A subject's split follows from a hash of the name and the salt alone: another day, with more
subjects, everybody is where they were, and a larger --test takes subjects from the others only.

New shapes are in the training split, and take parts of other subjects' faces. Where somebody leaves
the training split, their new shapes are left out, and so are those of others with a part of theirs;
the output says how many. A build with this test_fraction and split_salt has all of its new shapes;
whoever comes back into the training split has none here.

The dataset appears when all of it is there and verified; a run that was interrupted goes on.
`fg3d info FOLDER` then says what is in it.
"""


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "split",
        help="split a dataset's subjects again, also into three",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("dataset", type=folder_to_read, help="folder with manifest.json")
    add_output(command)
    add_rule(command, "share of the subjects to test")
    command.set_defaults(run=run, goes_on=True)


def run(options: argparse.Namespace) -> int:
    """Split."""
    from fg3d_builder.shards.derived_dataset import Derivation
    from fg3d_builder.shards.derived_manifest import SPLIT_ANEW
    from fg3d_builder.shards.derived_plan import plan_derived
    from fg3d_builder.shards.merging import new_splits
    from fg3d_builder.shards.part import open_part

    part = open_part(options.dataset, "whole")
    rule = rule_from(options, [dict(part.manifest)])
    if rule is None:
        raise ConfigError("expected --test SHARE, --val SHARE or both")
    splits = new_splits([part], rule)
    for split, share in (("test", rule.test), ("val", rule.val)):
        if share and split not in splits.values():
            print(f"note: {rule.why_nobody(split, len(splits), '--salt')}")
    return carry_out(options, Derivation(SPLIT_ANEW, [part], plan_derived([part], splits), rule))
