"""Rasterising, shading, texture lookup, the surface of a depth image. Knows no stage."""
