"""Tokenizers: text to token ids and back. `train` makes one, `load` opens one, `save` writes one.

char, byte           the simplest ones
byte_bpe             byte-level BPE: GPT-2, GPT-3, BART (bart), Llama 3, our own models
wordpiece            BERT's, with its basic tokenizer (bert_words) and its trainer (wordpiece_train)
gpt_bpe, gpt_words   GPT's BPE; word_tokenizer: what it and WordPiece have in common
sentencepiece        Llama's BPE, and unigram models
pipeline/            every other tokenizer.json: its steps, one after the other
learn_merges, merge  how BPE is learned and applied; pretokens cuts text into words for it
template, pairs      the special tokens around a text or a pair, and their type ids
loading, json_parts  our files, which other programs read; formats/: theirs
"""

from minigpt.tokenizers.base import TOKENIZER_FILE, Tokenizer, fingerprint
from minigpt.tokenizers.bert_words import BertWords
from minigpt.tokenizers.byte import ByteTokenizer
from minigpt.tokenizers.byte_bpe import ByteBPE
from minigpt.tokenizers.char import CharTokenizer
from minigpt.tokenizers.formats.bart import read_dictionary, renumber
from minigpt.tokenizers.gpt_bpe import GPTBPE
from minigpt.tokenizers.gpt_words import GPTWords
from minigpt.tokenizers.loading import find_file, load, save
from minigpt.tokenizers.making import KINDS, from_spec, train
from minigpt.tokenizers.pairs import LAYOUTS, Encoded, encode_pair, encode_text
from minigpt.tokenizers.pipeline import Pipeline
from minigpt.tokenizers.sentencepiece import SentencePieceBPE, SentencePieceUnigram
from minigpt.tokenizers.wordpiece import WordPiece

__all__ = [
    "GPTBPE",
    "KINDS",
    "LAYOUTS",
    "TOKENIZER_FILE",
    "BertWords",
    "ByteBPE",
    "ByteTokenizer",
    "CharTokenizer",
    "Encoded",
    "GPTWords",
    "Pipeline",
    "SentencePieceBPE",
    "SentencePieceUnigram",
    "Tokenizer",
    "WordPiece",
    "encode_pair",
    "encode_text",
    "find_file",
    "fingerprint",
    "from_spec",
    "load",
    "read_dictionary",
    "renumber",
    "save",
    "train",
]
