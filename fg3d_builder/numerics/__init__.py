"""Numerics without faces: sparse systems, robust kernels, least squares."""
