"""The paper's tables and figures, rerun: datasets, trainings, comparisons and pages.

Above everything but the command line: datasets are built through `fg3d_builder.tasks`, trainings
run as processes of ``python -m fg3d_builder.fgnet``.
"""
