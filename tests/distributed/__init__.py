"""Ranks: one run on many processes gives the bits of one process, and ends in one sentence when one of them fails."""
