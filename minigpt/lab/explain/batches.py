"""From a prompt to one row that a model of any family learns from, and the tokens of it as text."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from minigpt.core.backend import backend_of
from minigpt.core.errors import UserError
from minigpt.data.bert_batch import special_ids, special_names
from minigpt.interop.adapters import BertAdapter, CausalAdapter, Seq2SeqAdapter
from minigpt.interop.loaded import Loaded
from minigpt.models.bert import Bert
from minigpt.models.decoder_only import DecoderOnly
from minigpt.models.encoder_decoder import Seq2Seq
from minigpt.ops import IGNORE
from minigpt.tokenizers import Tokenizer, encode_text

LONGEST = 96  # tokens: pictures of T × T numbers, and a page that holds them all
_HIDDEN_EVERY = 6  # of a text without [MASK], every so many tokens one is hidden


class Row(NamedTuple):
    """One row of a batch, and what the page calls its tokens.

    Attributes:
        batch: for the model's `forward`.
        lists: the tokens' texts by what they are: "tokens", or "source" and "target"; BERT's hidden ones "places".
        ids: the same as ids.
        targets: for each row of the logits the id that should come there, or `IGNORE`.
        outputs: the list that the rows of the logits count.
    """

    batch: Any
    lists: dict[str, list[str]]
    ids: dict[str, list[int]]
    targets: list[int]
    outputs: str


def make_row(loaded: Loaded, prompt: str, target: str | None = None) -> Row:
    """The row of a prompt.

    Args:
        target: what an encoder–decoder should write, or what stands at BERT's [MASK]; by default what the model
            itself would say.
    Raises:
        UserError: the model does not predict tokens or lies on a GPU, or the prompt is empty or too long.
    """
    model = loaded.model
    if backend_of(loaded.params.flat).name != "numpy":
        raise UserError('explain watches NumPy at work: load the model with backend="numpy"')
    if not isinstance(model, DecoderOnly | Bert | Seq2Seq):
        raise UserError(
            "explain shows a model that predicts tokens; this one was fine-tuned for a task, and has a head"
        )
    ids = _encoded(loaded, prompt)
    if isinstance(model, Bert):
        return _masked_row(loaded, ids, target)
    if isinstance(model, Seq2Seq):
        return _pair_row(loaded, prompt, ids, target)
    if target is not None:
        raise UserError("--target is for models that read one text and write another, and for [MASK]")
    if len(ids) < 2:
        raise UserError("the prompt is one token long, and there is nothing to predict; give a longer one")
    return causal_row(loaded.text, ids, model)


def causal_row(tokenizer: Tokenizer, ids: list[int], model: Any) -> Row:
    """A text whose every token is predicted from those before it."""
    batch = CausalAdapter(model, {"input_ids": np.array([ids])}).batch()
    texts = [shown(tokenizer, i) for i in ids]
    return Row(batch, {"tokens": texts}, {"tokens": ids}, batch.targets[0].tolist(), "tokens")


def _encoded(loaded: Loaded, prompt: str) -> list[int]:
    tokenizer, longest = loaded.text, min(loaded.model.config.context, LONGEST)
    masked = isinstance(loaded.model, Bert) and special_names(tokenizer)[-1] in prompt
    ids = list(encode_text(tokenizer, prompt).ids) if not masked else _with_masks(tokenizer, prompt)
    if not ids:
        raise UserError("the prompt has no tokens; give a text")
    if len(ids) > longest:
        raise UserError(f"the prompt has {len(ids)} tokens, but a page shows at most {longest}; shorten it")
    return ids


def _with_masks(tokenizer: Tokenizer, prompt: str) -> list[int]:
    s = special_ids(tokenizer)
    return [s.cls, *tokenizer.encode(prompt, allowed=special_names(tokenizer)[-1:]), s.sep]


def _masked_row(loaded: Loaded, ids: list[int], target: str | None) -> Row:
    tokenizer, model = loaded.text, loaded.model
    special = special_ids(tokenizer)
    labels = np.full(len(ids), IGNORE)
    blanks = [n for n, i in enumerate(ids) if i == special.mask]
    if not blanks:
        inner = [n for n, i in enumerate(ids) if i not in tokenizer.special_tokens.values()]
        blanks = inner[min(2, len(inner) - 1) :: _HIDDEN_EVERY]
        labels[blanks] = [ids[n] for n in blanks]
        ids = [special.mask if n in blanks else i for n, i in enumerate(ids)]
    else:
        labels[blanks] = _fillings(loaded, ids, blanks, target)
    if not blanks:
        raise UserError("the prompt has no word that could be hidden; give a longer one")
    batch = BertAdapter(model, {"input_ids": np.array([ids]), "labels": labels[None]}).batch()
    texts = [shown(tokenizer, i) for i in ids]
    places = {"tokens": texts, "places": [f"{texts[n]} at {n}" for n in blanks]}
    return Row(batch, places, {"tokens": ids, "places": [ids[n] for n in blanks]}, labels[blanks].tolist(), "places")


def _fillings(loaded: Loaded, ids: list[int], blanks: list[int], target: str | None) -> list[int]:
    if target is not None:
        wanted = loaded.text.encode(target)
        if len(wanted) != len(blanks):
            mask = special_names(loaded.text)[-1]
            raise UserError(f"--target has {len(wanted)} tokens, but the prompt has {len(blanks)} {mask}")
        return wanted
    scores = loaded.model.logits(loaded.params, np.array([ids]))[0]
    return [int(i) for i in scores[blanks].argmax(axis=-1)]


def _pair_row(loaded: Loaded, prompt: str, ids: list[int], target: str | None) -> Row:
    tokenizer, model = loaded.text, loaded.model
    labels = list(encode_text(tokenizer, target).ids) if target is not None else _written(loaded, ids)
    if not 0 < len(labels) <= min(model.config.context, LONGEST):
        raise UserError(f"the target has {len(labels)} tokens; from 1 to {LONGEST} can be shown")
    batch = Seq2SeqAdapter(model, {"input_ids": np.array([ids]), "labels": np.array([labels])}).batch()
    read = batch.inputs[0].tolist()
    lists = {"source": [shown(tokenizer, i) for i in ids], "target": [shown(tokenizer, i) for i in read]}
    return Row(batch, lists, {"source": ids, "target": read}, labels, "target")


def _written(loaded: Loaded, ids: list[int]) -> list[int]:
    """What the model writes, its end included."""
    room = min(loaded.model.config.context, LONGEST) - 1
    return loaded.generate_ids([ids], max_new_tokens=min(24, room), do_sample=False)[0][1:].tolist()


def shown(tokenizer: Tokenizer, i: int) -> str:
    """A token as text: special ones by name, pieces of characters as bytes, ids that are no token's as numbers."""
    if i >= tokenizer.vocab_size:
        return f"[{i}]"
    names = {number: name for name, number in tokenizer.special_tokens.items()}
    if i in names:
        return names[i]
    text = tokenizer.decode([i])
    text = text if text and "\ufffd" not in text else tokenizer.token(i)
    return "".join(c if c.isprintable() or c == "\n" else f"\\x{ord(c):02x}" for c in text)


def lists_of(place: str, row: Row) -> tuple[str, str]:
    """Which lists of tokens the rows and the keys of a place count."""
    if "source" not in row.lists:
        outputs = place.startswith("masked") or place in ("output", "loss")
        return (row.outputs if outputs else "tokens"), "tokens"
    if place.startswith("encoder"):
        return "source", "source"
    source_rows = place.endswith("cross.kv")
    return ("source" if source_rows else "target"), ("source" if ".cross" in place else "target")


def telling_tokens(row: Row, scores: np.ndarray, most: int = 72) -> tuple[int, ...]:
    """The ids that a page about this text shows of the vocabulary: the text's own, and what is probable in it.

    Args:
        scores: the logits, (rows, V).
    """
    wanted = {i for ids in row.ids.values() for i in ids} | {i for i in row.targets if i != IGNORE}
    order = np.argsort(-scores, axis=-1)
    for rank in range(scores.shape[1]):
        for i in order[:, rank]:
            if len(wanted) >= most:
                return tuple(sorted(wanted))
            wanted.add(int(i))
    return tuple(sorted(wanted))
