"""WordPiece, BERT's tokenizer: words from the basic tokenizer, each cut into the longest pieces of a vocabulary.

A piece that continues a word is written with ## in front. A word that cannot be cut is one unknown token.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from minigpt.core.errors import UserError
from minigpt.tokenizers.base import check_ids
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.json_parts import document
from minigpt.tokenizers.pipeline.decoders import word_piece
from minigpt.tokenizers.pipeline.words import WordPieces
from minigpt.tokenizers.template import bert_template
from minigpt.tokenizers.word_tokenizer import WordTokenizer
from minigpt.tokenizers.wordpiece_train import learn_pieces

BERT_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
LONGEST_WORD = {"hf": 100, "google": 200}  # longer words are unknown


class WordPiece(WordTokenizer):
    """WordPiece from a vocabulary (string -> id).

    Args:
        vocab: ids of all tokens, special ones included; pieces inside a word begin with `prefix`.
        special_tokens: the names in `vocab` that are special.
        words: the basic tokenizer, whose rule ("hf" or "google") also says how long a word may be.
        unknown: the token for a word that cannot be cut.
        longest_word: characters beyond which a word is unknown; by default the rule's own limit.
        cleanup: decoding leaves out the spaces that English does not write, as before full stops.

    Raises:
        UserError: the vocabulary lacks the unknown token.
    """

    kind = "wordpiece"

    def __init__(
        self,
        vocab: Mapping[str, int],
        *,
        special_tokens: Mapping[str, int] | None = None,
        words: BertWords | None = None,
        unknown: str = "[UNK]",
        prefix: str = "##",
        longest_word: int | None = None,
        cleanup: bool = False,
    ):
        if special_tokens is None:
            special_tokens = {name: vocab[name] for name in BERT_SPECIAL if name in vocab}
        super().__init__(vocab, special_tokens, words or BertWords(), unknown, "a WordPiece vocabulary")
        if {"[CLS]", "[SEP]"} <= self.special.ids.keys():
            self.template = bert_template(self.special.ids["[CLS]"], self.special.ids["[SEP]"])
        self.prefix, self.cleanup = prefix, cleanup
        self.longest_word = LONGEST_WORD[self.words.rule] if longest_word is None else longest_word
        self.model = WordPieces(self.vocab, unknown, prefix, self.longest_word)

    @classmethod
    def train(
        cls,
        blocks: Iterable[str],
        vocab_size: int,
        *,
        special_tokens: Sequence[str] = BERT_SPECIAL,
        words: BertWords | None = None,
        score: str = "count",
        min_frequency: int = 0,
        progress: Callable[[int], object] = lambda n: None,
    ) -> WordPiece:
        """Learn a vocabulary of `vocab_size` pieces from the words of `blocks`.

        Ids are the special tokens, the characters that begin a word or stand alone in code-point order, those that
        continue one (##), then the pieces in creation order. `wordpiece_train` explains the two scoring rules.

        Raises:
            UserError: `vocab_size` leaves no room for the characters of the text, or there is no text.
        """
        words = words or BertWords()
        counts: Counter[str] = Counter()
        for block in blocks:
            counts.update(words.words(block))
        if not counts:
            raise UserError("there is no text to train a tokenizer on")
        special = list(dict.fromkeys([*special_tokens, "[UNK]"]))
        tokens = learn_pieces(counts, special, vocab_size, score=score, min_frequency=min_frequency, progress=progress)
        vocab = {s: i for i, s in enumerate(tokens)}
        return cls(vocab, special_tokens={s: vocab[s] for s in special}, words=words)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the words of `ids`, joined by spaces, pieces with ## glued on; the spacing of the text is lost."""
        tokens = [self._names.get(i, self.unknown) for i in check_ids(ids, self.vocab_size)]
        return "".join(word_piece(self.prefix, self.cleanup, tokens))

    def to_json(self) -> dict:
        """A WordPiece. BertNormalizer is the "hf" rule; a file with the "google" rule says so under "minigpt"."""
        normalizer, pre_tokenizer = self.words.to_json()
        model = {
            "type": "WordPiece",
            "unk_token": self.unknown,
            "continuing_subword_prefix": self.prefix,
            "max_input_chars_per_word": self.longest_word,
            "minigpt": {"rule": self.words.rule},
            "vocab": self.vocab,
        }
        return document(
            self,
            model,
            normalizer=normalizer,
            pre_tokenizer=pre_tokenizer,
            decoder={"type": "WordPiece", "prefix": self.prefix, "cleanup": self.cleanup},
        )
