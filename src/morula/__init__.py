"""Morula segments microscopy with few labels or none."""
