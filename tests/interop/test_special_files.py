"""Which special tokens a folder's files add to a text: the rows of the table in docs/special-tokens.md.

The ids were computed by AutoTokenizer of transformers 5.23 in folders with these files.
"""

import json

import pytest

from minigpt import tokenizers
from minigpt.interop.hf.special_files import folder_template
from minigpt.tokenizers import WordPiece, encode_text
from minigpt.tokenizers.template import begin_end_template

from ..tokenizers.test_template import letters

OBJECT = {"__type": "AddedToken", "content": "<s>", "lstrip": False, "rstrip": False, "normalized": True}
LLAMA = {"tokenizer_class": "LlamaTokenizer", "bos_token": "<s>", "eos_token": "</s>"}
FAST = {"tokenizer_class": "PreTrainedTokenizerFast"}
BOTH = {"add_bos_token": True, "add_eos_token": True}
S, E = 256, 257
SLOW = {  # without a tokenizer.json: tokenizer_config.json, special_tokens_map.json, ids of "a", of "a" and "b"
    ("gpt2", "nothing"): ({}, {}, [97], [97, 98]),
    ("gpt2", "bos"): ({"add_bos_token": True, "bos_token": OBJECT}, {}, [S, 97], [S, 97, S, 98]),
    ("llama", "no word of it"): (LLAMA, {}, [97], [97, 98]),
    ("llama", "bos"): ({**LLAMA, "add_bos_token": True}, {}, [S, 97], [S, 97, S, 98]),
    ("llama", "not bos"): ({**LLAMA, "add_bos_token": False}, {}, [97], [97, 98]),
    ("llama", "eos"): ({**LLAMA, "add_eos_token": True}, {}, [97, E], [97, E, 98, E]),
    ("llama", "both"): ({**LLAMA, **BOTH}, {}, [S, 97, E], [S, 97, E, S, 98, E]),
    ("llama", "from the map"): (BOTH, {"bos_token": OBJECT, "eos_token": "</s>"}, [S, 97, E], [S, 97, E, S, 98, E]),
    ("bart", "nothing"): ({}, {}, [S, 97, E], [S, 97, E, E, 98, E]),
    ("bart", "its class"): ({"tokenizer_class": "BartTokenizer"}, {}, [S, 97, E], [S, 97, E, E, 98, E]),
    ("openai-gpt", "nothing"): ({}, {}, [97], [97, 98]),
}
JSON = {  # with a tokenizer.json whose template is BOS: what a class or a setting changes
    ("gpt2", "nothing"): ({}, [S, 97], [S, 97, S, 98]),
    ("gpt2", "settings are ignored"): ({"add_bos_token": False, "add_eos_token": True}, [S, 97], [S, 97, S, 98]),
    ("llama", "its class"): ({**LLAMA, "add_bos_token": False}, [S, 97], [S, 97, S, 98]),
    ("llama", "null"): ({**LLAMA, "add_bos_token": None}, [S, 97], [S, 97, S, 98]),
    ("bart", "its class wins"): ({}, [S, 97, E], [S, 97, E, E, 98, E]),
    ("bart", "another class"): (FAST, [S, 97], [S, 97, S, 98]),
}


def ids(folder, tokenizer, model_type):
    tokenizer.template = folder_template(folder, tokenizer, model_type)
    return encode_text(tokenizer, "a").ids, encode_text(tokenizer, "a", "b").ids


@pytest.mark.parametrize("case", SLOW, ids="-".join)
def test_older_files(case, tmp_path):
    settings, names, *expected = SLOW[case]
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps(names))
    assert ids(tmp_path, letters(), case[0]) == tuple(expected)


@pytest.mark.parametrize("case", JSON, ids="-".join)
def test_tokenizer_json(case, tmp_path):
    settings, *expected = JSON[case]
    tokenizer = letters()
    tokenizer.template = begin_end_template(S, None)
    tokenizers.save(tokenizer, tmp_path)
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    assert ids(tmp_path, tokenizer, case[0]) == tuple(expected)


def test_bert_adds_its_tokens_whatever_its_file_says(tmp_path):
    names = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b")
    bert = WordPiece({name: i for i, name in enumerate(names)})
    bert.template = begin_end_template(2, None)
    assert ids(tmp_path, bert, "bert") == ([2, 5, 3], [2, 5, 3, 6, 3])
    assert encode_text(bert, "a", "b").type_ids == [0, 0, 0, 1, 1]
    bert.template = begin_end_template(2, None)
    tokenizers.save(bert, tmp_path)
    (tmp_path / "config.json").write_text(json.dumps(FAST))
    assert ids(tmp_path, bert, "bert") == ([2, 5], [2, 5, 2, 6])
