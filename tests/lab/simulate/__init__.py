"""A simulated step takes what formulas say, and what published runs took."""
