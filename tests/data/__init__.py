"""Texts become tokens, batches, masks and pairs as they should; the story world is what its grammar says."""
