"""The same code on CuPy."""
