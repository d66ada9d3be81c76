"""Families of sizes are trained and their laws fitted."""
