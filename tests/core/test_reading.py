"""What may be anybody's file: only regular ones of a plausible size are opened; what is shown of them is harmless."""

import io
import os
import threading

import pytest

from minigpt.core import limits, params
from minigpt.core.errors import UserError
from minigpt.core.files import read_bytes, read_text
from minigpt.core.params import ParameterSpec
from minigpt.core.reading import open_regular, parse_json
from minigpt.core.settings import at_least
from minigpt.core.terminal import for_stream, printable, sentence


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_pipe_is_refused_without_waiting_for_it(tmp_path):
    os.mkfifo(tmp_path / "pipe")  # nobody ever writes into it
    for path in (tmp_path / "pipe", tmp_path / "link"):
        if path.name == "link":
            path.symlink_to(tmp_path / "pipe")
        with pytest.raises(UserError, match="is a pipe, and a regular file is needed"):
            open_regular(path)


def test_folders_devices_and_strange_names_are_one_sentence(tmp_path):
    for path, words in ((tmp_path, "is a folder"), ("/dev/zero", "is a device"), ("a\0b", "cannot be the name")):
        with pytest.raises(UserError, match=words):
            read_bytes(path)
    with pytest.raises(UserError, match="there is no file"):
        read_text(tmp_path / "none")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large"
    path.write_bytes(b"12345")
    assert read_bytes(path, 5) == b"12345" and read_text(path, 5) == "12345"
    with pytest.raises(UserError, match="has 5 bytes, more than the 4 that such a file may have"):
        read_text(path, 4)
    os.truncate(path, limits.CONFIGURATION_BYTES + 1)  # a hole, which takes no disk
    with pytest.raises(UserError, match=r"has 67,108,865 bytes"):
        read_bytes(path, limits.CONFIGURATION_BYTES)


def test_a_link_to_a_file_is_followed(tmp_path):
    (tmp_path / "file").write_text("text")
    (tmp_path / "link").symlink_to("file")
    assert read_text(tmp_path / "link") == "text"


def test_a_pipe_that_the_user_names_for_its_text_is_read(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_text, args=("text",))
    writer.start()
    assert read_text(path, pipes=True) == "text"
    writer.join()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "nested too deeply"),
        ("1" * 1_000_000, "one of its numbers has thousands of digits"),
        ('{"a": }', "Expecting value"),
    ],
)
def test_json_that_no_parser_reads_is_a_value_error(text, message):
    with pytest.raises(ValueError, match=message):
        parse_json(text)


def test_what_a_terminal_would_obey_is_escaped():
    assert printable("a\x1b[2J\x07\x9b\r\x00\x7fz") == r"a\x1b[2J\x07\x9b\x0d\x00\x7fz"
    assert printable("\u202egnp\u2066\u2028\ud800") == r"\u202egnp\u2066\u2028\ud800"
    assert printable("tab\tand\nlines\r\nof e\u0301 日本 🙂\u200d") == "tab\tand\nlines\r\nof e\u0301 日本 🙂\u200d"


def test_generated_text_is_escaped_on_a_terminal_alone():
    assert for_stream("a\x1b[31m", Terminal()) == r"a\x1b[31m"
    assert for_stream("a\x1b[31m", io.StringIO()) == "a\x1b[31m"


def test_every_error_is_printable_and_short():
    error = str(UserError("x" * 5000 + "\x1b[31m" + "y" * 100))
    assert len(error) == limits.SENTENCE_CHARACTERS and " … " in error
    assert error.startswith("xxx") and error.endswith(r"\x1b[31m" + "y" * 100)
    assert sentence("short") == "short"


def test_sizes_beyond_any_model_are_refused():
    class Section:
        layers = 10_001
        workers = 10**7

    with pytest.raises(UserError, match=r"model\.layers is 10001; it must be at most 10000"):
        at_least(1, "model", Section, "layers")
    with pytest.raises(UserError, match=r"train\.workers is 10000000; it must be at most 4096"):
        at_least(0, "train", Section, "workers")


def test_memory_that_this_machine_lacks_is_not_asked_for(monkeypatch):
    specs = [ParameterSpec("a", (1000, 1000)), ParameterSpec("b", (10,))]
    assert params.buffer(specs, "float32").shape == (1_000_010,)
    monkeypatch.setattr(params, "memory", lambda: 4_000_000)
    with pytest.raises(UserError, match=r"1,000,010 parameters, 0.0 GB in float32, and this machine has 0.0 GB"):
        params.buffer(specs, "float32")
