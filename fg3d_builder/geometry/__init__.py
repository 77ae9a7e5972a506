"""Geometry without stages: transforms, cameras, poses, meshes, crops, closest points."""
