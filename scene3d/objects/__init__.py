"""Kinds of the user's own, made from a mesh file and a few lines of TOML. Needs the extra `objects`."""
