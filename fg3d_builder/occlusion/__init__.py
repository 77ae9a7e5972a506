"""What is not the face: hair, glasses, hands, stray depth, the neck behind the chin."""
