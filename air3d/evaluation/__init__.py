"""Measuring what was inferred: matching, errors modulo symmetry, reports."""
