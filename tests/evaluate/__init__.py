"""Scores, n-grams and scaling laws equal what is computed by hand."""
