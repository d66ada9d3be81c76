"""Tokenizers give the originals' ids, and any text comes back."""
