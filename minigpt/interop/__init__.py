"""Exchange with other implementations' checkpoints."""
