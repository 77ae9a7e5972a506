"""What a chunk of captures, one capture and one photo go through; no Luigi, no paths of a build."""
