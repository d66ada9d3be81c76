"""The page: every number on it is the one that the operations computed, beside the line that computed it."""
