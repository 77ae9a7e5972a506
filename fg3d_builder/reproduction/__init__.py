"""The paper's tables and figures, rerun: datasets, training runs, comparisons and pages.

Above everything but the command line: `fg3d_builder.tasks` builds datasets and trains networks.
"""
