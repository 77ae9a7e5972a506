"""Nonrigid registration of a face model to an RGB-D capture (Sec. 6.1)."""
