"""A model's chat template: found in its folder or file, filled with messages, and written beside another copy.

It is a text of the template language Jinja, in chat_template.jinja, tokenizer_config.json, or a GGUF file's metadata.
The package `jinja2` (extra `chat`) fills it, in a process with limits of its own (`minigpt.interop.chat.child`).
"""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from minigpt.core.errors import UserError
from minigpt.core.files import read_text, write_atomically
from minigpt.core.limits import CONFIGURATION_BYTES, GROWN_CHARACTERS, GROWTH, TEMPLATE_BYTES, TEMPLATE_SECONDS
from minigpt.interop.gguf.header import is_gguf, read_header
from minigpt.interop.hf.special_files import token_names
from minigpt.interop.keys import read_json
from minigpt.tokenizers import Tokenizer

FILE = "chat_template.jinja"
CONFIG, TOKENS = "tokenizer_config.json", "special_tokens_map.json"
IN_GGUF = "tokenizer.chat_template"
CHILD = Path(__file__).with_name("child.py")
SAFE = (3, 1, 6)  # the version of jinja2 from which on the sandbox holds, as far as is known
Message = dict[str, str]  # its role ("system", "user", "assistant") and its content


class ChatTemplate(NamedTuple):
    """A template, the file that it comes from, and the special tokens that it may name, by their roles."""

    path: Path
    source: str
    tokens: Mapping[str, str]

    def text(self, messages: Sequence[Message]) -> str:
        """What the model is given: the messages, and the beginning of its answer.

        Raises:
            UserError: the template is wrong, refuses these messages, or takes too much time, memory or room; or
                `jinja2` is missing.
        """
        _check_jinja()
        given = {"messages": list(messages), "tools": None, "documents": None, "add_generation_prompt": True}
        job = {
            "source": self.source,
            "values": {**self.tokens, **given},
            "seconds": TEMPLATE_SECONDS,
            "memory": TEMPLATE_BYTES,
            "characters": GROWTH * sum(len(message["content"]) for message in messages) + GROWN_CHARACTERS,
        }
        done = subprocess.run(
            [sys.executable, "-I", str(CHILD)],
            input=json.dumps(job).encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # Ctrl-C is for who asked
            check=False,
        )
        try:
            answer = json.loads(done.stdout)
        except ValueError:
            slow = done.returncode == -signal.SIGXCPU or done.returncode == -signal.SIGKILL
            took = f"it takes more than {TEMPLATE_SECONDS} s" if slow else "it ended the process that filled it"
            answer = {"failure": took}
        if "failure" in answer:
            raise UserError(f"{self.path}: its chat template fails: {answer['failure']}")
        return answer["text"]


def find_template(path: Path, tokenizer: Tokenizer | None, ids: Mapping[str, Any]) -> ChatTemplate | None:
    """The template of a model in a folder or a GGUF file; None if it has none.

    Args:
        ids: of a file's special tokens by their roles ("bos_token_id").
    Raises:
        UserError: a file is damaged.
    """
    if path.is_file():
        source = read_header(path).metadata.get(IN_GGUF) if is_gguf(path) else None
        tokens = {role.removesuffix("_id"): tokenizer.token(i) for role, i in ids.items()} if tokenizer else {}
    else:
        source, tokens = _in_folder(path), token_names(path)
    if source is None:
        return None
    if not isinstance(source, str):
        raise UserError(f"{path} is damaged: its chat template is no text")
    return ChatTemplate(path, source, tokens)


def _in_folder(folder: Path) -> Any:
    """What a folder's files say; of several templates with names, the one called default."""
    if (folder / FILE).exists():
        return read_text(folder / FILE, CONFIGURATION_BYTES)
    template = read_json(folder / CONFIG).get("chat_template") if (folder / CONFIG).exists() else None
    if not isinstance(template, list):
        return template
    named = {one.get("name"): one.get("template") for one in template if isinstance(one, dict)}
    return named.get("default")


def write_template(folder: Path, template: ChatTemplate) -> None:
    """Put it into a folder, with the tokens that it names."""
    write_atomically(folder / FILE, template.source)
    for name in (TOKENS, CONFIG):
        values = read_json(folder / name) if (folder / name).exists() else {}
        if values or name == TOKENS:
            write_atomically(folder / name, json.dumps(values | dict(template.tokens), ensure_ascii=False) + "\n")


def _check_jinja() -> None:
    try:
        version = metadata.version("jinja2")
    except metadata.PackageNotFoundError:
        raise UserError("to fill a chat template, install jinja2: pip install '.[chat]' in the clone") from None
    if tuple(map(int, re.findall(r"\d+", version)[:3])) < SAFE:
        wanted = ".".join(map(str, SAFE))
        raise UserError(f"jinja2 {version} may let a chat template run code: pip install 'jinja2>={wanted}'")
