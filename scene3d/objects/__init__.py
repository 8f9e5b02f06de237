"""Makes kinds of the user's own from a mesh file and a few lines of TOML. Needs the extra `objects`."""
