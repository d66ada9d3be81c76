"""What a post-processor says: which special tokens the original puts around a text or a pair of texts, and with which
type ids; and whether tokens' offsets leave white space out.

`tokenizer.encode` gives the ids of a text alone; `encode_text` (in `pairs`) adds what the tokenizer's template says:
`[CLS]` and `[SEP]` for BERT, `<s>` and `</s>` for BART, `<s>` before a text for Llama, nothing for GPT and GPT-2. In
Hugging Face's tokenizer.json the template is the post-processor. docs/special-tokens.md has a table of all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from minigpt.tokenizers.added import is_id, steps
from minigpt.tokenizers.white_space import WHITE

_WHITE = frozenset(WHITE + "Ġ")


@dataclass(frozen=True)
class Part:
    """One part of a template: the text "A" or "B", or ("") special ids; all with one type id."""

    text: str = ""
    ids: tuple[int, ...] = ()
    type_id: int = 0


@dataclass(frozen=True)
class Template:
    """The parts of one text, and of two.

    Attributes:
        plain: whether the name of a special token inside a text is text like any other (llama2.c); otherwise it stands
            for the token (transformers).
    """

    single: tuple[Part, ...] = (Part("A"),)
    pair: tuple[Part, ...] = (Part("A"), Part("B", type_id=1))
    plain: bool = False


NOTHING = Template()


def special(i: int | None, type_id: int = 0) -> tuple[Part, ...]:
    """One special id as parts; none for None."""
    return () if i is None else (Part(ids=(i,), type_id=type_id),)


def bert_template(cls: int, sep: int) -> Template:
    """[CLS] A [SEP], and [CLS] A [SEP] B [SEP] with types 0 0 0 1 1."""
    single = (*special(cls), Part("A"), *special(sep))
    return Template(single, (*single, Part("B", type_id=1), *special(sep, 1)))


def roberta_template(cls: int, sep: int) -> Template:
    """<s> A </s>, and <s> A </s> </s> B </s>, all of type 0: BART in transformers."""
    single = (*special(cls), Part("A"), *special(sep))
    return Template(single, (*single, *special(sep), Part("B"), *special(sep)))


def begin_end_template(bos: int | None, eos: int | None, *, plain: bool = False) -> Template:
    """BOS before each text, EOS after it, where they are not None."""
    single = (*special(bos), Part("A"), *special(eos))
    return Template(single, (*single, *special(bos, 1), Part("B", type_id=1), *special(eos, 1)), plain)


def read_template(data: Mapping[str, Any] | None, vocab_size: int) -> Template:
    """The template that a tokenizer.json's post-processor describes; its ids are below `vocab_size`.

    Raises:
        ValueError, KeyError, TypeError: it is damaged or unknown; a message is the end of a sentence about the file.
    """
    # ByteLevel changes offsets, not ids.
    adding = [step for step in steps(data, "processors") if step["type"] != "ByteLevel"]
    if not adding:
        return NOTHING
    if len(adding) > 1:  # tokenizers itself panics
        raise ValueError("its post-processor adds special tokens twice")
    template = _read_step(adding[0])
    for i in (i for part in (*template.single, *template.pair) for i in part.ids):
        if i >= vocab_size:
            raise ValueError(f"its post-processor adds the id {i}, which its vocabulary lacks")
    return template


def _read_step(step: Mapping[str, Any]) -> Template:
    if step["type"] == "TemplateProcessing":
        return _read_processing(step)
    makers = {"BertProcessing": bert_template, "RobertaProcessing": roberta_template}
    if step["type"] not in makers:
        raise ValueError(f"its post-processor is of the type {step['type']}, which minigpt does not know")
    return makers[step["type"]](_id(step["cls"][1]), _id(step["sep"][1]))


def _read_processing(step: Mapping[str, Any]) -> Template:
    ids = {name: tuple(map(_id, token["ids"])) for name, token in step["special_tokens"].items()}
    single, pair = (tuple(_read_part(part, ids) for part in step[name]) for name in ("single", "pair"))
    if any(part.text == "B" for part in single):
        raise ValueError("its post-processor asks for a second text where there is one")
    return Template(single, pair, bool(step.get("minigpt", {}).get("plain")))


def _read_part(part: Mapping[str, Any], ids: Mapping[str, tuple[int, ...]]) -> Part:
    ((kind, content),) = part.items()
    if kind == "SpecialToken":
        return Part(ids=ids[content["id"]], type_id=_id(content["type_id"]))
    if kind != "Sequence" or content["id"] not in ("A", "B"):
        raise ValueError("its post-processor has a part that is neither a text nor a special token")
    return Part(content["id"], type_id=_id(content["type_id"]))


def _id(value: Any) -> int:
    if not is_id(value):
        raise ValueError(f"its post-processor has {value!r} where a token's id should be")
    return value


def template_to_json(template: Template, token: Callable[[int], str]) -> dict[str, Any] | None:
    """The post-processor that says a template; None where nothing is added. `token` names an id."""
    if template == NOTHING:
        return None
    ends = [i for part in template.single for i in part.ids]
    if len(ends) == 2 and template == bert_template(*ends):
        cls, sep = ([token(i), i] for i in ends)
        return {"type": "BertProcessing", "sep": sep, "cls": cls}
    tokens = {i: token(i) for part in (*template.single, *template.pair) for i in part.ids}
    data = {
        "type": "TemplateProcessing",
        "single": [piece for part in template.single for piece in _pieces(part, tokens)],
        "pair": [piece for part in template.pair for piece in _pieces(part, tokens)],
        "special_tokens": {name: {"id": name, "ids": [i], "tokens": [name]} for i, name in tokens.items()},
    }
    return data | {"minigpt": {"plain": True}} if template.plain else data


def _pieces(part: Part, tokens: Mapping[int, str]) -> list[dict[str, Any]]:
    if part.text:
        return [{"Sequence": {"id": part.text, "type_id": part.type_id}}]
    return [{"SpecialToken": {"id": tokens[i], "type_id": part.type_id}} for i in part.ids]


@dataclass(frozen=True)
class Trim:
    """Take the white space that a token's text begins and ends with off its offsets (`trim_offsets` in tokenizer.json).

    Attributes:
        prefix_space: a space may have been put in front of the text; a single one that a token at the very beginning
            begins with stays, then.
    """

    prefix_space: bool

    def trim(self, tokens: Sequence[str], offsets: list[tuple[int, int]]) -> list[tuple[int, int]]:
        """The trimmed offsets of tokens, written with byte-level characters (Ġ is a space)."""
        return [self._one(n, token, *span) for n, (token, span) in enumerate(zip(tokens, offsets, strict=True))]

    def _one(self, n: int, token: str, start: int, end: int) -> tuple[int, int]:
        leading = sum(1 for _ in takewhile(_WHITE.__contains__, token))
        trailing = sum(1 for _ in takewhile(_WHITE.__contains__, reversed(token)))
        if leading == 1 and self.prefix_space and (n == 0 or start == 0):
            leading = 0
        start = min(start + leading, end)
        return start, max(end - trailing, start) if trailing and end >= trailing else end


def trim_of(post_processor: Mapping[str, Any] | None) -> Trim | None:
    """What the post-processor of a file says about offsets."""
    for step in steps(post_processor, "processors"):
        if step["type"] in ("ByteLevel", "RobertaProcessing") and step.get("trim_offsets") is True:
            return Trim(bool(step.get("add_prefix_space")))
    return None
