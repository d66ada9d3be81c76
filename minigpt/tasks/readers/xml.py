"""Elements of an XML file, each with the line where it begins (which ElementTree does not tell)."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from minigpt.core.files import read_bytes
from minigpt.core.limits import DOCUMENT_BYTES
from minigpt.tasks.files import Row

_SPACES = re.compile("[ \t\r\n]+")  # all that is white space in XML


@dataclass
class Element:
    """An element with its attributes and the texts of all elements inside it, by name and in order."""

    row: Row
    attributes: dict[str, str]
    texts: dict[str, list[str]] = field(default_factory=dict)

    def text(self, name: str) -> str:
        """The text of the one element of this name, with single spaces."""
        found = self.texts.get(name, [])
        self.row.require(len(found) == 1, f"there are {len(found)} elements <{name}> instead of one")
        return found[0]


def elements(path: Path, name: str) -> list[Element]:
    """All elements of a name, which do not stand inside each other."""
    found: list[Element] = []
    inside: list[tuple[str, list[str]]] = []  # the elements that are open within one of ours: name, pieces of text
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        if tag == name:
            found.append(Element(Row(path, parser.CurrentLineNumber, ()), attributes))
        if tag == name or inside:
            inside.append((tag, []))

    def end(tag: str) -> None:
        if inside:
            tag, pieces = inside.pop()
            found[-1].texts.setdefault(tag, []).append(_SPACES.sub(" ", "".join(pieces)).strip(" "))

    def characters(text: str) -> None:
        if inside:
            inside[-1][1].append(text)

    def skipped(entity: str, is_parameter: bool) -> None:
        raise Row(path, parser.CurrentLineNumber, ()).error(f"the entity &{entity}; stands in another file, or nowhere")

    parser.SkippedEntityHandler = skipped
    parser.StartElementHandler, parser.EndElementHandler, parser.CharacterDataHandler = start, end, characters
    try:
        parser.Parse(read_bytes(path, DOCUMENT_BYTES), True)
    except expat.ExpatError as error:
        raise Row(path, error.lineno, ()).error(f"this is not XML ({expat.errors.messages[error.code]})") from None
    except (LookupError, ValueError):
        raise Row(path, 1, ()).error("its encoding is none that can be read; save it as UTF-8") from None
    return found
