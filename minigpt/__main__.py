"""`python -m minigpt` is the `minigpt` command."""

from minigpt.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
