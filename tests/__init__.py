"""What stands across folders: what README.md and CONTRIBUTING.md claim, and the tools."""
