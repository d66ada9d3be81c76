"""Text from files: encodings, folders, pieces, and what is refused."""

import errno
import os
from http.client import BadStatusLine

import pytest

from minigpt.core.errors import UserError
from minigpt.core.files import cache_folder, make_folder, matching, write_atomically
from minigpt.data import corpora, text
from minigpt.data.storyworld import split_of


def test_pieces_are_the_text_again(tmp_path, monkeypatch):
    whole = "Grüße, 世界! 🙂\r\nline two\nno end" * 50
    files = [tmp_path / "a.txt", tmp_path / "b.txt"]
    files[0].write_bytes(b"\xef\xbb\xbf" + whole.encode())  # a byte-order mark is not text
    files[1].write_bytes(whole.encode())
    for size in (1, 2, 3, 7, 1 << 20):  # cuts through the middle of characters
        monkeypatch.setattr(text, "_PIECE", size)
        assert "".join(text.read_pieces(files)) == whole + whole


def test_a_folder_below_that_may_not_be_read_is_an_error(tmp_path, monkeypatch):
    (tmp_path / "open").mkdir()
    (tmp_path / "open" / "a.txt").write_text("text")
    (tmp_path / "closed").mkdir()
    assert text.resolve_sources([str(tmp_path)]) == [tmp_path / "open" / "a.txt"]
    scan = os.scandir

    def scandir(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", scandir)  # who tests may be allowed everything
    with pytest.raises(UserError, match=r"cannot read .*closed: Permission denied"):
        text.resolve_sources([str(tmp_path)])


def test_pieces_end_with_lines(tmp_path, monkeypatch):
    (tmp_path / "a.txt").write_text("first line\nsecond line\nthird")
    monkeypatch.setattr(text, "_PIECE", 4)
    assert list(text.read_pieces([tmp_path / "a.txt"])) == ["first line\n", "second line\n", "third"]


def test_not_utf8_is_refused_with_its_place(tmp_path, monkeypatch):
    path = tmp_path / "latin.txt"
    path.write_bytes("äöü".encode() + b"abc\xff")
    for size in (1, 2, 5, 100):
        monkeypatch.setattr(text, "_PIECE", size)
        with pytest.raises(UserError, match=r"latin.txt is not a UTF-8 text: byte 9 cannot"):
            list(text.read_pieces([path]))


def test_a_character_cut_off_at_the_end_is_refused(tmp_path):
    path = tmp_path / "cut.txt"
    path.write_bytes(b"abc" + "é".encode()[:1])
    with pytest.raises(UserError, match="byte 3 cannot"):
        list(text.read_pieces([path]))


@pytest.mark.parametrize("folder", ["texts", "texts/b", "texts/.hidden"])
def test_a_folder_that_may_not_be_read_is_an_error_not_an_empty_one(tmp_path, monkeypatch, folder):
    """Half of a text must not be missing without a word; what starts with a dot is left out anyway."""
    for name in ("a", "b", ".hidden"):
        (tmp_path / "texts" / name).mkdir(parents=True)
        (tmp_path / "texts" / name / "file.txt").write_text(name)
    right = os.scandir

    def scandir(path):
        if os.fspath(path) == str(tmp_path / folder):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return right(path)

    monkeypatch.setattr(os, "scandir", scandir)
    if folder.endswith(".hidden"):
        assert [path.parent.name for path in text.resolve_sources([str(tmp_path / "texts")])] == ["a", "b"]
        return
    with pytest.raises(UserError, match=f"cannot read the folder {tmp_path / folder}: Permission denied"):
        text.resolve_sources([str(tmp_path / "texts")])


def test_files_of_a_pattern(tmp_path, monkeypatch):
    for name in ("b.txt", "a.txt", "c.csv"):
        (tmp_path / name).touch()
    assert [path.name for path in matching(tmp_path, "*.txt")] == ["a.txt", "b.txt"]
    assert matching(tmp_path / "none", "*") == matching(tmp_path / "a.txt", "*") == []

    def listdir(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(os, "listdir", listdir)
    with pytest.raises(UserError, match=r"cannot read the folder .*: Permission denied"):
        matching(tmp_path, "*.txt")


def test_a_folder_stands_for_its_files_in_order(tmp_path):
    for name in ("b.txt", "a/z.txt", "a/.hidden", ".git/x", "c.md"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(name)
    found = text.resolve_sources([str(tmp_path)])
    assert [p.relative_to(tmp_path).as_posix() for p in found] == ["a/z.txt", "b.txt", "c.md"]
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="contains no files"):
        text.resolve_sources([str(tmp_path / "empty")])


def test_unknown_sources_are_refused():
    with pytest.raises(UserError, match="neither a file, nor a folder, nor a known corpus"):
        text.resolve_sources(["tinyshakespear"])


def test_fingerprints_tell_texts_apart(tmp_path):
    one, two = tmp_path / "1", tmp_path / "2"
    one.write_text("ab")
    two.write_text("c")
    together, swapped = text.fingerprint([one, two]), text.fingerprint([two, one])
    one.write_text("a")
    two.write_text("bc")  # the same bytes, otherwise divided
    assert len({together, swapped, text.fingerprint([one, two])}) == 3


@pytest.mark.parametrize("name, word", [(corpora.DEFAULT, "wanted"), (corpora.PYTHON_REFERENCE, "statement")])
def test_the_corpora_that_need_no_download_are_there_and_stay_the_same(name, word, monkeypatch):
    monkeypatch.setattr(corpora, "DOCUMENTS", 2000)
    first = corpora.corpus_file(name)
    content = first.read_text(encoding="utf-8")
    assert len(content) > 300_000 and word in content
    first.write_text("damaged")
    assert corpora.corpus_file(name).read_text(encoding="utf-8") == content


def test_the_default_corpus_ends_with_documents_of_the_split_dev(monkeypatch):
    monkeypatch.setattr(corpora, "DOCUMENTS", 200)
    texts = corpora.corpus_file(corpora.DEFAULT).read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    assert [split_of(text) for text in texts] == ["train"] * 190 + ["dev"] * 10


def test_a_cached_download_is_verified(shakespeare, monkeypatch):
    path = cache_folder() / "tinyshakespeare.txt"
    content = shakespeare.read_bytes()
    write_atomically(make_folder(path.parent) / path.name, content)
    assert corpora.corpus_file("tinyshakespeare") == path
    write_atomically(path, content[:-1] + b"X")
    with pytest.raises(UserError, match=r"is not tinyshakespeare: expected 1115394 bytes .* another checksum"):
        corpora.corpus_file("tinyshakespeare")
    path.unlink()


@pytest.mark.parametrize("problem", [OSError("no route to host"), BadStatusLine("a proxy that speaks no HTTP")])
def test_no_network_says_how_to_do_it_by_hand(monkeypatch, problem):
    def refuse(*arguments, **keywords):
        raise problem

    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(
        UserError, match=r"cannot download tinyshakespeare .* by hand, save it as .*tinyshakespeare.txt"
    ):
        corpora.corpus_file("tinyshakespeare")


def test_a_wrong_download_is_not_kept(monkeypatch):
    import io

    monkeypatch.setattr("urllib.request.urlopen", lambda *a, **k: io.BytesIO(b"<html>404</html>"))
    with pytest.raises(UserError, match="did not give tinyshakespeare"):
        corpora.corpus_file("tinyshakespeare")
    assert not (cache_folder() / "tinyshakespeare.txt").exists()


def test_the_corpus_s_name_changes_with_the_programs_that_write_it(tmp_path, monkeypatch):
    """Another program, or a changed one, gives another digest; what is no program does not count."""
    monkeypatch.setattr(corpora.resources, "files", lambda package: tmp_path)
    (tmp_path / "a.py").write_text("x = 1\n")
    first = corpora._sources_digest()
    (tmp_path / "notes.txt").write_text("no program\n")
    assert corpora._sources_digest() == first
    (tmp_path / "a.py").write_text("x = 2\n")
    second = corpora._sources_digest()
    (tmp_path / "b.py").write_text("")
    (tmp_path / "b.py").write_text("y = 1\n")
    assert len({first, second, corpora._sources_digest()}) == 3
