"""Notebooks run, and their exercises judge answers rightly."""
