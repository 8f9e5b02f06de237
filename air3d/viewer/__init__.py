"""Scenes in the browser: what was seen, what was inferred, how far off. Only `page`, `stage`, `server` know viser."""
