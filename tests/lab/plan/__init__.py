"""Plans on paper give the published figures."""
