"""Where sentences and documents end, in the three forms a text may have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from minigpt.data.sentences import FORMS, LONGEST, split_documents, split_sentences


@pytest.mark.parametrize(
    "text, sentences",
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ('"Stop!" he said. "Go," she said.', ['"Stop!" he said.', '"Go," she said.']),
        ('She asked, "Why?" "Because." He left.', ['She asked, "Why?"', '"Because."', "He left."]),
        ("Mr. Brown met Mrs. Hill and J. Smith. They spoke.", ["Mr. Brown met Mrs. Hill and J. Smith.", "They spoke."]),
        ("It costs 3.50 or 4. Buy it (now.) Or never.", ["It costs 3.50 or 4.", "Buy it (now.)", "Or never."]),
        ("in the Ocean . It is large . 5 more .", ["in the Ocean .", "It is large .", "5 more ."]),
        ("你好。我是学生！是吗？", ["你好。", "我是学生！", "是吗？"]),
        ("no end at all", ["no end at all"]),
        ("", []),
    ],
)
def test_sentence_ends(text, sentences):
    assert split_sentences(text) == sentences


def test_paragraphs_are_documents_and_their_line_breaks_are_spaces():
    pieces = ["Ah b\nc. Do\ne.\n\n", "\n\nFa. Go.\n"]
    assert list(split_documents(pieces, "paragraphs")) == [["Ah b c.", "Do e."], ["Fa.", "Go."]]


def test_a_paragraph_without_sentence_ends_has_its_lines_for_sentences():
    assert list(split_documents(["Anna\nBert\nCarl\n"], "paragraphs")) == [["Anna", "Bert", "Carl"]]
    assert list(split_documents(["one sentence\nin two lines.\n"], "paragraphs")) == [["one sentence in two lines."]]


def test_a_book_without_blank_lines_is_cut_into_documents():
    documents = list(split_documents(["It ends. " * (2 * LONGEST + 1)], "paragraphs"))
    assert [len(d) for d in documents] == [LONGEST, LONGEST, 1]
    lines = [f"Line {i} goes on and on and does not end\n" for i in range(5000)]
    assert [s for d in split_documents(lines, "paragraphs") for s in d] == [line.strip() for line in lines]


def test_a_very_long_paragraph_is_cut_at_the_end_of_a_line():
    """Where it has 65,536 characters: behind the 110th line of 600, and each part is a row of documents."""
    paragraph = f"{'Word ' * 119}last.\n" * 119
    assert [len(d) for d in split_documents([paragraph], "paragraphs")] == [*[LONGEST] * 6, 14, 9]


def test_what_was_cut_does_not_count_for_the_next_part():
    """65,536 characters are cut off; 65,535 behind them are not, and go on with the next line."""
    lines = ["A" * 65536, "B" * 65535, "C"]
    documents = list(split_documents(["\n".join(lines) + "\n"], "paragraphs"))
    assert [[s[0] for s in d] for d in documents] == [["A"], ["B", "C"]]


def test_one_sentence_a_line():
    text = "A. B.\nC\n\n\nD\n"
    assert list(split_documents([text], "sentences")) == [["A. B.", "C"], ["D"]]


def test_stories():
    text = "Ah. Be.\n\nCo.\nDo.\n\n\nEh.\nFa."
    assert list(split_documents([text], "stories")) == [["Ah.", "Be.", "Co."], ["Do.", "Eh."], ["Fa."]]


@pytest.mark.parametrize("form", FORMS)
@given(text=st.text(alphabet='ab.A!"”。 \n\r\té', max_size=200), cut=st.integers(0, 200))
def test_nothing_but_white_space_is_lost(form, text, cut):
    at = text.find("\n", cut) + 1  # pieces are whole lines
    documents = list(split_documents([text[:at], text[at:]], form))
    assert "".join("".join(s.split()) for d in documents for s in d) == "".join(text.split())
    assert all(s == s.strip() != "" for d in documents for s in d) and all(documents)


def test_only_line_feeds_end_lines_and_only_white_space_is_lost():
    """U+001C to U+001F are white space to Python alone; form feeds and their like end no line and no document."""
    for c in "\x0b\x0c\x1c\x1d\x1e\x1f\x85\u2028\u2029":
        assert list(split_documents([f"a{c}b.\n{c}\nc\r\n \t\r\nd\n"], "sentences")) == [[f"a{c}b.", c, "c"], ["d"]]
    assert split_sentences("One.\x1c Two.\x1d") == ["One.\x1c Two.\x1d"]
    assert split_sentences("One.\u2028Two.") == ["One.", "Two."]
