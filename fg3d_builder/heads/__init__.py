"""Synthetic people: the embedded default face model and the population behind it."""
