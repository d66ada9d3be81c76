"""Tasks are read, made, prompted and scored as their originals are."""
