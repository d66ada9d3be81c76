"""Anybody's backward passes: found, run apart, judged, and their mistakes named."""
