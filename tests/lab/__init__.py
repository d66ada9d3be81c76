"""Instruments tell the truth: planted bugs are caught, figures drawn, plans and laws equal the published ones."""
