"""Writes datasets in the formats of others."""
