"""Types, errors, randomness, hashing, configuration: no torch, no image files."""
