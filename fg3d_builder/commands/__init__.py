"""One module per ``fg3d`` command: its options, and what it does.

Every module is imported by every call of ``fg3d``: what is heavy is imported where it is used.
"""
