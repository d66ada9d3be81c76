"""The cases whose gradients are checked: every operation, and small models of every family with all their options."""
