"""Which subjects are kept for the test, and which for choosing between networks."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fg3d_builder.errors import ConfigError


@dataclass(frozen=True)
class SplitRule:
    """Decides a subject's split from nothing but the subject's name.

    A hash of salt and name, read as a number in [0, 1), is below `test` for the test split, below
    ``test + val`` for the validation split. So adding or removing subjects moves nobody, and a
    larger `test` takes subjects from the other two only.

    Attributes
    ----------
    salt : str
    test, val : float
        Expected share of the subjects; the rest is the training split.
    """

    salt: str
    test: float
    val: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.test <= 1 and 0 <= self.val <= 1 and self.test + self.val <= 1):
            raise ConfigError(
                f"test {self.test:g} and val {self.val:g}: shares of the subjects, expected 0 to 1 "
                "and no more than 1 together"
            )

    def of(self, subject_id: str) -> str:
        """Return ``"test"``, ``"val"`` or ``"train"``."""
        name = hashlib.sha256(f"{self.salt}:{subject_id}".encode()).digest()
        place = int.from_bytes(name[:8], "big") / 2**64
        if place < self.test:
            return "test"
        return "val" if place < self.test + self.val else "train"

    def why_nobody(self, split: str, subjects: int, salt: str = "split_salt") -> str:
        """Say that no subject falls into a split, and what would change that.

        Parameters
        ----------
        split : {"train", "val", "test"}
        subjects : int
            How many there are; all captures of one are in one split.
        salt : str
            Name of the option or setting that the salt is given by.
        """
        share = {"test": self.test, "val": self.val, "train": 1 - self.test - self.val}[split]
        if not share:
            remedy = "its share is 0"
        elif subjects > 1:
            remedy = f"another {salt} moves some"
        else:
            remedy = "that takes a second subject"
        return f"no subject falls into the {split} split; {remedy}"

    def table(self) -> dict[str, Any]:
        """Return the rule as a manifest holds it."""
        return asdict(self)


def split_of(subject_id: str, test_fraction: float, salt: str) -> str:
    """Return ``"test"`` or ``"train"``: the split of a build, which has no third."""
    return SplitRule(salt, test_fraction).of(subject_id)


def rule_of(manifest: Mapping[str, Any]) -> SplitRule | None:
    """Return the rule that a dataset is split by; None where subjects keep the split they had.

    That is so in a dataset that was merged of others with rules of their own.

    Raises
    ------
    ValueError
        The manifest's rule is none.
    """
    if "derived" in manifest:
        table = manifest["derived"]["split_rule"]
        try:
            return None if table is None else SplitRule(**table)
        except (TypeError, ConfigError) as error:
            raise ValueError(f"derived.split_rule: {table} is no rule: {error}") from None
    settings = manifest["config"]["shards"]
    return SplitRule(settings["split_salt"], settings["test_fraction"])
