"""Training learns; stopped, killed and resumed it keeps the bits; workers agree."""
