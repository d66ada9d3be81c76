"""Blocks: every gradient of attention, feed-forward layer and norms together; recomputation keeps the bits."""
