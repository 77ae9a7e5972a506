"""A new face model from registered faces of one topology: identities, expressions, albedos."""
