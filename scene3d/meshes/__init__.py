"""The procedural meshes and textures of the catalog and the table: how they are made and written."""
