"""The drill: kills, damage, mutated files, full disks, races and bad captures; see `__main__`."""
