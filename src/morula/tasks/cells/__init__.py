"""Cells in 2D: a common look and size, what a network learns of them, and its maps as objects."""
