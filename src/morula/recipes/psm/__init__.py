"""recipes/psm."""
