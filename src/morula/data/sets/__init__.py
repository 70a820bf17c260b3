"""data/sets."""
