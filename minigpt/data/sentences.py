"""Documents and their sentences: what BERT's sentence pairs are made of.

A plain text says neither where a document ends nor where a sentence does. It is read in one of three forms:

    paragraphs   a paragraph (the lines up to a blank one) is a document; sentences are found by their punctuation
    sentences    a line is a sentence, a blank line ends the document: the format of BERT's own preprocessing
    stories      a line is a paragraph; a line right after it begins the next document, while a blank line in between
                 goes on with the same one (the format in which TinyStories is kept)

In every form nothing but white space (Unicode's, which is less than Python's) is lost: the sentences, one after the
other, are the text. A line ends at a line feed alone, and is blank if only spaces and tabs are in it.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator

from minigpt.tokenizers.white_space import WHITE

LONGEST = 16  # sentences to a document in the form "paragraphs": a book without blank lines becomes many documents
_BLOCK = 1 << 16  # characters after which a paragraph is cut at the end of a line

# A sentence ends at . ! ? … and the quotes and brackets that close after it, before white space; but not where a small
# letter follows ("Stop!" he said), nor at the full stop of a title or an initial. CJK full stops need no space.
_WHITE = f"[{WHITE}]"
_CLOSING = "\"'”’»)\\]」』"
_END = re.compile(
    rf"""(?: (?<!\b[A-Z])(?<!\bMr)(?<!\bMrs)(?<!\bMs)(?<!\bDr)(?<!\bSt)\. | [!?…] )
         [.!?…]* {_WHITE}? [{_CLOSING}]* (?: (?<={_WHITE}) | {_WHITE}+ ) (?=[^{WHITE}a-z])
       | [。！？]+ [{_CLOSING}]* (?=[^{WHITE}])""",
    re.VERBOSE,
)
_STOPS = tuple(".!?…。！？")


def split_sentences(text: str) -> list[str]:
    """Cut a paragraph after each of its sentences, without the white space between them."""
    ends = [0, *(match.end() for match in _END.finditer(text)), len(text)]
    return [part for a, b in itertools.pairwise(ends) if (part := text[a:b].strip(WHITE))]


def split_documents(pieces: Iterable[str], form: str) -> Iterator[list[str]]:
    """Yield the documents of one file, given in pieces of whole lines, as lists of sentences; none is empty."""
    lines = (line.strip(" \t\r") for piece in pieces for line in piece.removesuffix("\n").split("\n"))
    return (document for document in FORMS[form](lines) if document)


def _paragraphs(lines: Iterable[str]) -> Iterator[list[str]]:
    block: list[str] = []
    size = 0
    for line in lines:
        if line:
            block.append(line)
            size += len(line)
        if not line or size >= _BLOCK:
            yield from _cut_paragraph(block)
            block, size = [], 0
    yield from _cut_paragraph(block)


def _cut_paragraph(lines: list[str]) -> Iterator[list[str]]:
    """Usually one document; a list or a poem, in which no sentence ends, has its lines for sentences."""
    sentences = split_sentences(" ".join(lines))
    if len(sentences) == 1 and not sentences[0].rstrip(_CLOSING).endswith(_STOPS):
        sentences = lines
    for start in range(0, len(sentences), LONGEST):
        yield sentences[start : start + LONGEST]


def _sentence_lines(lines: Iterable[str]) -> Iterator[list[str]]:
    return (list(document) for has_text, document in itertools.groupby(lines, key=bool) if has_text)


def _stories(lines: Iterable[str]) -> Iterator[list[str]]:
    document: list[str] = []
    after_text = False
    for line in lines:
        if line and after_text:
            yield document
            document = []
        document += split_sentences(line)
        after_text = bool(line)
    yield document


FORMS = {"paragraphs": _paragraphs, "sentences": _sentence_lines, "stories": _stories}
