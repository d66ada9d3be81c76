"""Which tokenizer a folder has, when it is not in a tokenizer.json."""

import json

import minigpt
from minigpt import tokenizers
from minigpt.interop.hf.tokenizer_files import roles
from minigpt.models import GPT, GPTConfig

from .files import gpt2_folder

LETTERS = "abcdefghijk"


def small(**changed):
    return GPT(GPTConfig(**{"vocab_size": 23, "context": 8, "layers": 1, "heads": 1, "width": 4, **changed}))


def test_vocab_and_merges_of_gpt(tmp_path):
    """Named like GPT-2's files; ends of words tell them apart. The three tokens of fine-tuning have no embeddings."""
    folder = gpt2_folder(tmp_path / "hf", small(norm="post"))
    vocab = [c + end for c in LETTERS for end in ("", "</w>")] + ["<unk>"]
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(vocab)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = minigpt.load(folder).tokenizer
    assert (tokenizer.kind, tokenizer.vocab_size, tokenizer.special_tokens) == ("gpt", 23, {})
    assert tokenizer.decode(tokenizer.encode("Bad cab")) == "bad cab"


def test_vocab_and_merges_of_gpt2(tmp_path):
    ours = tokenizers.from_spec("bpe:270", lambda: iter(["the quick brown fox " * 20]))
    folder = gpt2_folder(tmp_path / "hf", small(vocab_size=ours.vocab_size))
    (folder / "vocab.json").write_text(json.dumps(ours.vocab | ours.special_tokens))
    (folder / "merges.txt").write_text("#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in ours.merges))
    tokenizer = minigpt.load(folder).tokenizer
    assert tokenizer.kind == ours.kind and tokenizer.encode("the fox") == ours.encode("the fox")


def test_roles_of_special_tokens():
    def of(*names):
        special = {name: i for i, name in enumerate(names)}
        return roles(tokenizers.WordPiece({**special, "a": len(names)}, special_tokens=special, unknown=names[0]))

    assert of("[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]") == {
        "unk_token": "[UNK]",
        "pad_token": "[PAD]",
        "sep_token": "[SEP]",
        "cls_token": "[CLS]",
        "mask_token": "[MASK]",
    }
    assert of("<unk>", "<s>", "</s>") == {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    assert of("<unk>", "<s>", "</s>", "<pad>", "<mask>") == {
        **{"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"},
        **{"sep_token": "</s>", "cls_token": "<s>", "mask_token": "<mask>"},
    }
    assert roles(None) == {}
