"""Stage 7: new shapes under captured photographs (Sec. 6.3)."""
