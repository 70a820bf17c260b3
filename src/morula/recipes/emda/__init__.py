"""recipes/emda."""
