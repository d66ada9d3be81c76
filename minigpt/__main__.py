"""`python -m minigpt` is the `minigpt` command."""

import sys


def start() -> int:
    """Run the command on this process's arguments; Ctrl-C is one word from the first import on."""
    try:
        from minigpt.cli import main

        return main()
    except KeyboardInterrupt:
        print("minigpt: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    raise SystemExit(start())
