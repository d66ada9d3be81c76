"""What stands across folders: the backend, generation, planted bugs, the README's claims."""
