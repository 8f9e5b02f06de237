"""Makes and writes the procedural meshes and textures of the catalog and the table."""
