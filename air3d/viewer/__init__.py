"""Scenes in the browser: what was seen, what was inferred, how far off it is. Viser is for `page`, `stage`, `server`."""
