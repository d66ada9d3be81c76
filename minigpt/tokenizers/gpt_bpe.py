"""GPT's byte-pair encoding: characters of lower-case words, the last of each word marked with </w>.

Text comes back in lower case with single spaces: what a word looked like and what stood around it is not kept.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import check_ids
from minigpt.tokenizers.gpt_words import GPTWords
from minigpt.tokenizers.json_parts import bpe_model, document
from minigpt.tokenizers.learn_merges import check_size, learn_merges
from minigpt.tokenizers.pipeline.bpe import BPE, BPEOptions
from minigpt.tokenizers.streaming import regroup
from minigpt.tokenizers.word_tokenizer import WordTokenizer

END = "</w>"
UNKNOWN = "<unk>"
GPT_SPECIAL = ("_start_", "_delimiter_", "_classify_")  # what fine-tuning appends to the vocabulary


class GPTBPE(WordTokenizer):
    """GPT's BPE from a vocabulary (string -> id) and merges (pairs of strings, in order).

    Args:
        vocab: ids of all tokens; a token that ends a word ends in </w>.
        merges: pairs of such strings, earliest first.
        special_tokens: names and ids.
        words: how a text is cut into words; rule "gpt" or "hf".
        unknown: the token for what the vocabulary lacks.

    Raises:
        UserError: the vocabulary lacks the unknown token or one that a merge names.
    """

    kind = "gpt"

    def __init__(
        self,
        vocab: Mapping[str, int],
        merges: Sequence[tuple[str, str]],
        *,
        special_tokens: Mapping[str, int] | None = None,
        words: GPTWords | None = None,
        unknown: str = UNKNOWN,
    ):
        super().__init__(vocab, special_tokens or {}, words or GPTWords(), unknown, "a vocabulary of GPT's BPE")
        self.merges = [tuple(m) for m in merges]
        try:
            self.model = BPE(self.vocab, self.merges, BPEOptions(unk_token=unknown, end_of_word_suffix=END))
        except ValueError as error:
            raise UserError(f"the vocabulary cannot be that of GPT's BPE: {error}") from None

    @classmethod
    def train(
        cls,
        blocks: Iterable[str],
        vocab_size: int,
        *,
        special_tokens: Sequence[str] = (),
        words: GPTWords | None = None,
        min_frequency: int = 0,
        progress: Callable[[int], object] = lambda n: None,
    ) -> GPTBPE:
        """Learn a vocabulary of `vocab_size` tokens from a text in pieces, which may be cut anywhere.

        Ids are <unk>, the special tokens, the characters in code-point order, the same with </w>, then the merges in
        creation order.

        Raises:
            UserError: `vocab_size` leaves no room for the characters of the text, or there is no text.
        """
        words = words or GPTWords()
        counts: Counter[str] = Counter()
        for part in regroup(blocks, words.last_cut):
            counts.update(words.words(part.before + part.text)[len(words.words(part.before)) :])
        if not counts:
            raise UserError("there is no text to train a tokenizer on")
        inside = sorted({c for w in counts for c in w})
        tokens = list(dict.fromkeys([UNKNOWN, *special_tokens, *inside, *(c + END for c in inside)]))
        check_size(vocab_size, tokens, f"GPT's BPE: the characters of this text, with and without {END},")
        ids = {s: i for i, s in enumerate(tokens)}
        symbols = {"".join(chr(ids[s]) for s in (*w[:-1], w[-1] + END)): n for w, n in counts.items()}
        learned = learn_merges(symbols, tokens, vocab_size, min_frequency=min_frequency, progress=progress)
        return cls(
            *learned.strings(),
            special_tokens={name: ids[name] for name in special_tokens},
            words=words,
        )

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words of `ids` with a space after each, none at the end."""
        strings = (self._names.get(i, self.unknown) for i in check_ids(ids, self.vocab_size))
        special = self.special.ids
        text = "".join(s + " " if s in special else s.replace(END, " ") for s in strings)
        return text.replace("\n ", "\n").removesuffix(" ")

    def to_json(self) -> dict:
        """GPT's BPE, with the words' rule under "minigpt"."""
        normalizer, pre_tokenizer = self.words.to_json()
        model = bpe_model(
            self.vocab,
            self.merges,
            unk_token=self.unknown,
            end_of_word_suffix=END,
            minigpt={"rule": self.words.rule, "ftfy": self.words.use_ftfy},
        )
        return document(
            self,
            model,
            normalizer=normalizer,
            pre_tokenizer=pre_tokenizer,
            decoder={"type": "BPEDecoder", "suffix": END},
        )
