"""Training: settings, the loop, checkpoints, assessment."""
