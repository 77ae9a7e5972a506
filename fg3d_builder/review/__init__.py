"""Which registrations enter the dataset: a person's verdicts, and the threshold for the rest."""
