"""Every operation, plain, fast and compiled: its gradient is the true one, its inputs stay untouched."""
