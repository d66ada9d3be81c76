"""One sentence, or a pair, with the special tokens and type ids that BERT, BART and GPT put around it.

`encode_pair` follows one of the `LAYOUTS`; `encode_text` does what the tokenizer's own template says, as transformers
does with the same files.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import Offsets, Tokenizer
from minigpt.tokenizers.template import Part

# Of one text and of two: A and B, between special tokens; behind a colon stands the type id where it is not 0.
LAYOUTS = {
    "bert": ("[CLS] A [SEP]", "[CLS] A [SEP] B:1 [SEP]:1"),
    "bart": ("<s> A </s>", "<s> A </s> B </s>"),  # as in fairseq, whose GLUE recipe uses one separator
    "bart-hf": ("<s> A </s>", "<s> A </s> </s> B </s>"),  # as in Hugging Face's BART and RoBERTa
    "gpt": ("_start_ A _classify_", "_start_ A _delimiter_ B _classify_"),
}


@dataclass
class Encoded:
    """An encoded sentence or pair.

    `parts` says for each token which text it comes from, 0 or 1, and is None for special tokens; `offsets` are the
    characters of that text, (0, 0) for special tokens.
    """

    ids: list[int]
    type_ids: list[int]
    parts: list[int | None]
    offsets: Offsets


def encode_pair(
    tokenizer: Tokenizer,
    first: str,
    second: str | None = None,
    *,
    layout: str = "bert",
    max_length: int | None = None,
) -> Encoded:
    """Encode one text or two as a model of the family `layout` expects them.

    Above `max_length` tokens the longer of the two parts loses its last token, again and again (the second part when
    they are equally long), as in BERT's code.

    Raises:
        UserError: the layout is unknown, the tokenizer lacks one of its special tokens, or `max_length` leaves no room
            for the special tokens.
    """
    if layout not in LAYOUTS:
        raise UserError(f"unknown layout {layout!r}: choose one of {', '.join(LAYOUTS)}")
    texts = [first] if second is None else [first, second]
    template = list(_parts_of(layout, tokenizer, len(texts)))
    parts = [list(zip(*tokenizer.encode_with_offsets(t), strict=True)) for t in texts]
    if max_length is not None:
        _truncate(parts, max_length - sum(len(part.ids) for part in template))
    encoded = [([i for i, _ in part], [span for _, span in part]) for part in parts]
    return _laid_out(template, encoded)


def _parts_of(layout: str, tokenizer: Tokenizer, texts: int) -> Iterator[Part]:
    """A layout of one text or two as the parts of a template."""
    for word in LAYOUTS[layout][texts - 1].split(" "):
        name, _, type_id = word.partition(":")
        if name in ("A", "B"):
            yield Part(name, type_id=int(type_id or 0))
        elif name in tokenizer.special.ids:
            yield Part(ids=(tokenizer.special.ids[name],), type_id=int(type_id or 0))
        else:
            raise UserError(f"the layout {layout!r} needs the special token {name}, which this tokenizer lacks")


def encode_text(tokenizer: Tokenizer, first: str, second: str | None = None) -> Encoded:
    """The ids of a text, or of a pair, with the special tokens that the original adds.

    What a caller of transformers knows as `tokenizer(first, second)`: `ids` are its `input_ids`, `type_ids` its
    `token_type_ids`. `offsets` are characters of the text that the token comes from, which `parts` names.

    Raises:
        UserError: a text has a character that the vocabulary cannot represent.
    """
    template = tokenizer.template
    allowed = () if template.plain else "all"
    texts = [first] if second is None else [first, second]
    encoded = [tokenizer.encode_with_offsets(text, allowed=allowed) for text in texts]
    return _laid_out(template.single if second is None else template.pair, encoded)


def _laid_out(parts: Iterable[Part], encoded: Sequence[tuple[list[int], Offsets]]) -> Encoded:
    """The encoded texts A and B, and the special tokens, as the parts say."""
    result = Encoded([], [], [], [])
    for part in parts:
        which = {"A": 0, "B": 1}.get(part.text)
        ids, offsets = (list(part.ids), [(0, 0)] * len(part.ids)) if which is None else encoded[which]
        result.ids += ids
        result.type_ids += [part.type_id] * len(ids)
        result.parts += [which] * len(ids)
        result.offsets += offsets
    return result


def _truncate(parts: list[list], room: int) -> None:
    if room < 0:
        raise UserError("max_length leaves no room for the special tokens")
    while sum(map(len, parts)) > room:
        longest = parts[0] if len(parts) == 1 or len(parts[0]) > len(parts[1]) else parts[1]
        longest.pop()
