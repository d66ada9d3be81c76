"""Every family: every parameter's gradient, shapes, caches, heads."""
