"""Synthetic captures that differ as photographs by phones do; see `config.VarietyConfig`."""
