"""What the evaluations of all test sets do alike: who takes part, and a walk over the images."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from tqdm import tqdm

from fg3d_builder.config import digest, to_table
from fg3d_builder.fgnet.trained import Trained
from fg3d_builder.files.hashes import file_sha256
from fg3d_builder.testsets.records import Unusable
from fg3d_builder.testsets.results import FIT
from fg3d_builder.testsets.setup import Setup, check_methods

Row = TypeVar("Row")


class TakingPart:
    """The methods of an evaluation: the 3DMM fit, networks, and others that give meshes.

    Attributes
    ----------
    names : list of str
        `results.FIT` first, then networks and other methods in the given order.
    own_keys : dict of str to str
        Of the fit and of each network: what its answers depend on besides the image.

    Parameters
    ----------
    setup : Setup
    networks : mapping of name to Trained
    others : sequence of str
        Names of the other methods.

    Raises
    ------
    ConfigError
        Methods that cannot take part, see `check_methods`.
    """

    def __init__(
        self, setup: Setup, networks: Mapping[str, Trained], others: Iterable[str]
    ) -> None:
        self.names = [FIT, *networks, *others]
        check_methods(self.names, networks, setup)
        self._setup = setup
        self._checkpoints = {name: file_sha256(t.checkpoint) for name, t in networks.items()}
        fit = digest(setup.model_key, setup.config.landmarks, setup.config.fit)
        self.own_keys = {FIT: fit}
        for name, trained in networks.items():
            self.own_keys[name] = digest(fit, self._checkpoints[name], trained.crop, trained.looks)

    def settings(self) -> dict[str, Any]:
        """Return how everything was measured."""
        return {
            "config": to_table(self._setup.config),
            "facemodel": self._setup.model.name,
            "facemodel_digest": self._setup.model_key,
            "networks_sha256": self._checkpoints,
        }


def all_rows(
    found: Iterator[list[Row] | Unusable],
    count: int,
    title: str,
    progress: bool,
    missing: Sequence[Unusable],
    order: Callable[[Row], Any],
) -> tuple[tuple[Row, ...], tuple[Unusable, ...]]:
    """Walk over the images of an evaluation.

    Parameters
    ----------
    found : iterator
        The rows of each image, one a method, or why it cannot be used.
    count : int
        Of the images.
    title : str
        Of the progress bar.
    progress : bool
        Show it on stderr.
    missing : sequence of Unusable
        What is known to be unusable before.
    order : callable
        By what rows are sorted.

    Returns
    -------
    rows : tuple
    unusable : tuple of Unusable
        Sorted.
    """
    rows: list[Row] = []
    unusable = list(missing)
    for one in tqdm(found, total=count, unit="image", desc=title, disable=not progress):
        if isinstance(one, Unusable):
            unusable.append(one)
        else:
            rows.extend(one)
    return tuple(sorted(rows, key=order)), tuple(sorted(unusable))
