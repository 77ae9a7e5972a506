"""Files and their formats: whole or not at all, images, meshes, stage products, locks."""
