"""One sentence, or a pair, with the special tokens and type ids that BERT, BART and GPT put around it.

bert      [CLS] a [SEP]           [CLS] a [SEP] b [SEP]             types 0 for the first part, 1 for the second
bart      <s> a </s>              <s> a </s> b </s>                 as in fairseq, whose GLUE recipe uses one separator
bart-hf   <s> a </s>              <s> a </s></s> b </s>             as in Hugging Face's BART and RoBERTa
gpt       _start_ a _classify_    _start_ a _delimiter_ b _classify_

`encode_pair` follows such a layout; `encode_text` does what the tokenizer's own template says, as transformers does
with the same files.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import Offsets, Tokenizer
from minigpt.tokenizers.template import Part


@dataclass(frozen=True)
class Layout:
    """Which special tokens stand before, between and after the parts, and whether the parts have type ids."""

    start: str
    between: tuple[str, ...]
    end: str
    types: bool = False


LAYOUTS = {
    "bert": Layout("[CLS]", ("[SEP]",), "[SEP]", types=True),
    "bart": Layout("<s>", ("</s>",), "</s>"),
    "bart-hf": Layout("<s>", ("</s>", "</s>"), "</s>"),
    "gpt": Layout("_start_", ("_delimiter_",), "_classify_"),
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
    form = LAYOUTS[layout]
    texts = [first] if second is None else [first, second]
    parts = [list(zip(*tokenizer.encode_with_offsets(t), strict=True)) for t in texts]
    if max_length is not None:
        _truncate(parts, max_length - 2 - (len(form.between) if second is not None else 0))
    encoded = [([i for i, _ in part], [span for _, span in part]) for part in parts]
    return _laid_out(_parts_of(form, layout, tokenizer, len(parts)), encoded)


def _parts_of(form: Layout, layout: str, tokenizer: Tokenizer, texts: int) -> list[Part]:
    """A layout of one text or two as the parts of a template."""
    second = int(form.types and texts == 2)
    parts = [Part(ids=(_special_id(tokenizer, form.start, layout),)), Part("A")]
    if texts == 2:
        parts += [Part(ids=(_special_id(tokenizer, name, layout),)) for name in form.between]
        parts.append(Part("B", type_id=second))
    return [*parts, Part(ids=(_special_id(tokenizer, form.end, layout),), type_id=second)]


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


def _special_id(tokenizer: Tokenizer, name: str, layout: str) -> int:
    try:
        return tokenizer.special_tokens[name]
    except KeyError:
        raise UserError(f"the layout {layout!r} needs the special token {name}, which this tokenizer lacks") from None


def _truncate(parts: list[list], room: int) -> None:
    if room < 0:
        raise UserError("max_length leaves no room for the special tokens")
    while sum(map(len, parts)) > room:
        longest = parts[0] if len(parts) == 1 or len(parts[0]) > len(parts[1]) else parts[1]
        longest.pop()
