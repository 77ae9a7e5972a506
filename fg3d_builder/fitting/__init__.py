"""Stage 4: coarse 3DMM fit (Eq. 1 and 2) and rigid alignment."""
