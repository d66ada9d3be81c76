"""Every command runs, prints what it says, and refuses mistakes in one sentence."""
