"""Every operation, plain and fast: its gradient is the true one, its inputs stay untouched."""
