"""`minigpt chat`: speak with a chat model in the terminal."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Iterator
from typing import Any

from minigpt.cli.common import only_text
from minigpt.cli.sample import GIVEN
from minigpt.cli.signals import stop_on_interrupt
from minigpt.core.backend import get_backend
from minigpt.core.errors import UserError
from minigpt.core.terminal import for_stream
from minigpt.generate.sampling import Kept
from minigpt.generate.settings import Generation
from minigpt.interop.adapters import CausalAdapter, adapter_of
from minigpt.interop.chat.answer import answer
from minigpt.interop.chat.template import ChatTemplate, Message, find_template
from minigpt.interop.hub import find_model
from minigpt.interop.loaded import Loaded, load
from minigpt.interop.prompting import text_settings

TOKENS, TEMPERATURE = 512, 0.7  # where neither the model nor the command line says anything


def run(args: argparse.Namespace) -> None:
    path = find_model(args.run_folder)
    loaded = load(path, backend=get_backend(args.backend).name, weights=args.weights)
    template = find_template(path, loaded.text, loaded.ids)
    if template is None or adapter_of(loaded.model.family) is not CausalAdapter:
        raise UserError(f"{path} is no chat model: it has no chat template; minigpt sample continues a text")
    given = {name: getattr(args, name, None) for name in GIVEN} | {"beams": None}
    g = text_settings(loaded, given | _no_beams(loaded), TOKENS, TEMPERATURE)
    messages = [] if args.system is None else [{"role": "system", "content": only_text("--system", args.system)}]
    kept = Kept()
    for line in _lines():
        try:
            messages = _turn(args, loaded, template, [*messages, {"role": "user", "content": line}], g, kept)
        except UserError as error:
            if not sys.stdin.isatty():
                raise
            print(f"minigpt: {error}", file=sys.stderr)  # the conversation goes on without this message
    if args.json:
        print(json.dumps({"messages": messages}))


def _no_beams(loaded: Loaded) -> dict[str, Any]:
    """A text that is searched does not come token by token."""
    own = loaded.generation or {}
    return {"num_beams": 1, "do_sample": own.get("do_sample")} if (own.get("num_beams") or 1) > 1 else {}


def _turn(
    args: argparse.Namespace,
    loaded: Loaded,
    template: ChatTemplate,
    messages: list[Message],
    g: Generation,
    kept: Kept,
) -> list[Message]:
    """Let the model answer, and show it as it comes: the messages with the answer, or with as much as there was."""
    said = []
    with stop_on_interrupt() as stop:  # after the token at hand
        for piece in answer(loaded, template, messages, g, seed=(args.seed, len(messages)), stop=stop, kept=kept):
            said.append(piece)
            if not args.json:
                sys.stdout.write(for_stream(piece, sys.stdout))
                sys.stdout.flush()
    if not args.json:
        sys.stdout.write("\n")
        sys.stdout.flush()
    return [*messages, {"role": "assistant", "content": "".join(said)}]


def _lines() -> Iterator[str]:
    """What is typed, line by line, up to the end of the input; Ctrl-C at the prompt ends nothing."""
    if sys.stdin is None:  # closed by whoever started us
        return
    if not sys.stdin.isatty():
        sys.stdin.reconfigure(errors="surrogateescape")
        yield from (only_text("the input", line.strip()) for line in sys.stdin if line.strip())
        return
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # lets a line be edited
    print("Ctrl-C stops an answer, Ctrl-D ends the conversation.", file=sys.stderr)
    while True:
        try:
            line = only_text("the input", input("> ").strip())
        except KeyboardInterrupt:
            print("\nCtrl-D ends the conversation.", file=sys.stderr)
        except EOFError:
            print()
            return
        else:
            if line:
                yield line
