"""`minigpt chat`: one sentence for every failure, Ctrl-C ends an answer, and what does not fit is left out."""

import errno
import io
import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
from importlib.util import find_spec
from string import ascii_letters

import pytest

from minigpt import tokenizers
from minigpt.cli import main
from minigpt.core.errors import UserError
from minigpt.generate.sampling import continuation
from minigpt.interop.chat import template as chat_template
from minigpt.interop.chat.template import ChatTemplate, find_template
from minigpt.models import GPT, GPTConfig

from ..interop.files import gpt2_folder
from .conftest import json_of

pytestmark = pytest.mark.needs(find_spec("jinja2"), "jinja2")

PLAIN = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A chat model that writes any letter."""
    made = gpt2_folder(tmp_path_factory.mktemp("model") / "hf", *_tiny())
    (made / "chat_template.jinja").write_text(PLAIN)
    return made


@pytest.fixture
def typed(monkeypatch):
    """What stands on stdin."""

    def make(text: str) -> None:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text.encode("utf-8", "surrogateescape"))))

    return make


def test_an_answer_to_every_line_and_ctrl_c_ends_one(folder, typed, monkeypatch, capsys):
    """The first answer is interrupted at its first piece; the second has all of its tokens."""
    typed("hey\n\nho\n")
    write, interrupts = sys.stdout.write, [signal.SIGINT]

    def interrupted(text):
        if interrupts:
            signal.raise_signal(interrupts.pop())
        return write(text)

    monkeypatch.setattr(sys.stdout, "write", interrupted)
    assert main(["chat", str(folder), "--temperature", "0", "--tokens", "9"]) == 0
    first, second = capsys.readouterr().out.rstrip("\n").split("\n")
    assert 1 <= len(first) < 4 and len(second) == 9 and second.startswith(first)


def test_what_was_said_is_read_once_and_answered_alike(folder, typed, monkeypatch, capsys):
    """The third message drops the first exchange, so that all behind the system message is read again."""
    step, answers, read = GPT.step, [], []
    plain = "<{role}>{content}\n".format_map
    monkeypatch.setattr(ChatTemplate, "text", lambda _, messages: "".join(map(plain, messages)) + "<assistant>")
    monkeypatch.setattr(GPT, "step", lambda s, p, ids, state: read.append(ids.size) or step(s, p, ids, state))
    for _ in range(2):
        typed("hey\nho\nyes\n")
        read.clear()
        words = ("chat", folder, "--system", "be", "--temperature", "0", "--tokens", "4", "--json")
        answers.append((json_of(capsys, *words), [n for n in read if n > 1]))
        monkeypatch.setattr("minigpt.interop.chat.answer.continuation", lambda *a, kept, **k: continuation(*a, **k))
    (kept, parts), (anew, wholes) = answers
    assert kept == anew and len(kept["messages"]) == 7
    assert parts[0] == wholes[0] and parts[1] < wholes[1] / 2 and len(parts) == len(wholes) == 3, (parts, wholes)


@pytest.mark.slow("test_an_answer_to_every_line: the same without a terminal")
def test_in_a_terminal_ctrl_c_ends_an_answer_and_ctrl_d_the_conversation(folder):
    """Typed as by hand: Ctrl-C at the prompt and while an endless answer is written, then another message."""
    process, terminal = pty.fork()
    if process == 0:
        words = ["chat", str(folder), "--temperature", "0", "--tokens", "9"]
        slow = "import itertools, minigpt.cli.chat as c; c.answer = lambda *a, stop, **k: endless(stop)\n"
        slow += "def endless(stop):\n  for n in itertools.count():\n    if stop(): return\n    yield 'abc '\n"
        code = f"{slow}from minigpt.cli import main; raise SystemExit(main({words}))"
        os.execv(sys.executable, [sys.executable, "-c", code])
    settings = termios.tcgetattr(terminal)
    settings[3] |= termios.NOFLSH  # or Ctrl-C may throw away the prompt that answers it
    termios.tcsetattr(terminal, termios.TCSANOW, settings)
    shown = bytearray()

    def until(what: bytes, key: bytes = b"", patience: int = 300) -> None:
        """Wait for a text. A key is pressed again while nothing comes: Ctrl-C is lost on a program about to read."""
        os.write(terminal, key)
        while what not in shown:
            if select.select([terminal], [], [], 10)[0]:
                shown.extend(os.read(terminal, 1 << 16))
                continue
            patience -= 10
            assert patience > 0, bytes(shown)
            os.write(terminal, key)
        del shown[: shown.index(what) + len(what)]

    until(b"> ")
    until(b"Ctrl-D ends the conversation.", b"\x03")
    for message in (b"hey\n", b"ho\n"):
        until(b"> ")
        os.write(terminal, message)
        until(b"abc abc")
        os.write(terminal, b"\x03")
    until(b"> ")
    os.write(terminal, b"\x04")
    assert os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) == 0
    os.close(terminal)


def test_what_no_longer_fits_is_left_out_from_the_oldest_on(folder, typed, monkeypatch, capsys):
    """Of 64 letters the answer may take 5: 59 are left for what was said."""
    seen = []

    def text(template, messages):
        seen.append("".join(m["role"][0] + m["content"] for m in messages))
        return seen[-1]

    monkeypatch.setattr(ChatTemplate, "text", text)
    typed("x" * 20 + "\n" + "y" * 20 + "\n" + "z" * 20 + "\n")
    out = json_of(capsys, "chat", folder, "--system", "be", "--tokens", "5", "--seed", "1", "--json")
    assert [m["role"] for m in out["messages"]] == ["system", *["user", "assistant"] * 3]
    a, b = (out["messages"][i]["content"] for i in (2, 4))
    x, y, z = ("u" + c * 20 for c in "xyz")
    whole = f"sbe{x}a{a}{y}a{b}{z}"
    assert seen == ["sbe" + x, f"sbe{x}a{a}{y}", whole, f"sbe{y}a{b}{z}"]


def test_every_failure_is_one_sentence(folder, typed, error, tmp_path):
    typed("hi\n")
    assert "no chat template; minigpt sample continues" in error("chat", gpt2_folder(tmp_path / "gpt2", *_tiny()))
    typed("x" * 70 + "\n")
    assert "the message takes 88 tokens, and there is room for 32: shorten it" in error("chat", folder)
    typed("\udcff\n")
    assert "the input is not valid UTF-8" in error("chat", folder)
    assert "--system is not valid UTF-8" in error("chat", folder, "--system", "\udcff")


def _tiny():
    tokenizer = tokenizers.CharTokenizer(f"{ascii_letters}<>\n")
    model = GPT(GPTConfig(vocab_size=tokenizer.vocab_size, context=64, layers=1, heads=1, width=2))
    return model, tokenizer


HOSTILE = {
    "{{ raise_exception('no system here') }}": "its chat template fails: no system here",
    "{% for": "unexpected 'end of template' (line 1)",
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}": "it takes more than 1 s",
    "{{ 'a' * 10**12 }}": "it takes too much memory",
    "{% for i in range(9) %}{{ 'a' * 60000 }}{% endfor %}": "its text has more than 262,176 characters",
    "{{ ''.__class__.__mro__ }}": "'str' object is unsafe",
    "{{ namespace(__html__=1) }}": "a namespace has no '__html__'",
    "{% set _ = messages.append(1) %}": "access to attribute 'append' of 'list' object is unsafe",
    "{% include '/etc/passwd' %}": "no loader for this environment",
    "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}": "it is nested too deeply",
}


@pytest.mark.parametrize(
    "source",
    [
        pytest.param(source, marks=pytest.mark.slow("the first: each in a process of its own")) if n else source
        for n, source in enumerate(HOSTILE)
    ],
)
def test_hostile_templates_are_one_sentence(source, monkeypatch, tmp_path):
    monkeypatch.setattr(chat_template, "TEMPLATE_SECONDS", 1)
    with pytest.raises(UserError) as caught:
        ChatTemplate(tmp_path, source, {}).text([{"role": "user", "content": "hi"}])
    assert HOSTILE[source] in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.slow("test_hostile_templates: what the sandbox itself refuses")
def test_whoever_leaves_the_sandbox_can_open_nothing():
    code = """
import resource, socket, subprocess, sys, time
from minigpt.interop.chat import child
time.process_time = lambda: 5.2  # on a slow machine starting takes its time, which is not the template's
child.limit(2, 1 << 29)
print(resource.getrlimit(resource.RLIMIT_CPU)[0])
for way in (lambda: open("/etc/passwd"), lambda: open("x", "w"), socket.socket, lambda: subprocess.run(["true"])):
    try:
        way()
        print("opened")
    except OSError as error:
        print(error.errno)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.split() == ["8"] + [str(errno.EMFILE)] * 4, done


def test_an_old_or_missing_jinja_is_named(monkeypatch, tmp_path):
    for version, said in (("3.1.5", "jinja2 3.1.5 may let a chat template run code"), (None, "install jinja2")):
        monkeypatch.setattr(chat_template.metadata, "version", lambda name, v=version: v or _missing())
        with pytest.raises(UserError, match=said):
            ChatTemplate(tmp_path, "", {}).text([])


def _missing():
    raise chat_template.metadata.PackageNotFoundError


def test_where_a_template_is_found(folder, tmp_path):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "one", "eos_token": {"content": "$"}}))
    assert find_template(tmp_path, None, {}) == (tmp_path, "one", {"eos_token": "$"})
    several = [{"name": "tool_use", "template": "x"}, {"name": "default", "template": "two"}]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": several}))
    assert find_template(tmp_path, None, {}).source == "two"
    (tmp_path / "tokenizer_config.json").write_text('{"chat_template": 3}')
    with pytest.raises(UserError, match="is damaged: its chat template is no text"):
        find_template(tmp_path, None, {})
    assert find_template(folder, None, {}).source == PLAIN
