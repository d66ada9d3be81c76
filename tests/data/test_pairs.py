"""Pairs of texts from files: lines end at line feeds alone, and only spaces, tabs and carriage returns are no text."""

from minigpt.data.pairs import read_pairs
from minigpt.tasks.readers.xml import elements

OTHERS = "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029"


def test_what_python_calls_white_space_is_text(tmp_path):
    path = tmp_path / "t.tsv"
    path.write_bytes(f" a{OTHERS}b \t{OTHERS}\r\n \t\r\n\nc\td\n".encode())
    assert list(read_pairs([path], "tsv")) == [(f"a{OTHERS}b", OTHERS), ("c", "d")]
    other = tmp_path / "o.txt"
    path.write_bytes(f"{OTHERS}\r\n\nb\n".encode())
    other.write_bytes(b"x\n\ny")
    assert list(read_pairs([path, other], "aligned")) == [(OTHERS, "x"), ("b", "y")]


def test_white_space_of_xml_is_four_characters(tmp_path):
    path = tmp_path / "t.xml"
    path.write_text("<a><e><t>\n one\t two\u2028\u00a0\x85three\r\n </t></e></a>", encoding="utf-8")
    assert elements(path, "e")[0].text("t") == "one two\u2028\u00a0\x85three"
