"""Cameras, pose angles, mesh geometry, rasterising and shading. Knows no stage."""
