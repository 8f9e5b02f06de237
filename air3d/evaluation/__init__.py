"""Measures inferred scenes: matching, errors modulo symmetry, reports."""
