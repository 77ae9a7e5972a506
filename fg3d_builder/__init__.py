"""Build training sets of high-fidelity 3D faces from RGB-D captures.

The stages, in the order in which data flows through them: `captures`, `facemodel`,
`landmarks`, `fitting`, `registration`, `shards`. `tasks` chains them with Luigi, `cli`
is the ``fg3d`` command.
"""

__version__ = "0.1.0"
