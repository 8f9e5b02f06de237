"""Multi-object inference under an unknown camera: the table-top."""
