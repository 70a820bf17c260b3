"""Recipe cupre."""
