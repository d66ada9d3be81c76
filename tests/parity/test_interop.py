"""Models pass between transformers and minigpt in both directions: the same logits, the same weights to the bit."""

import logging

import numpy as np
import pytest
import torch
import transformers

import minigpt
from minigpt import tokenizers
from minigpt.cli import main
from minigpt.interop.hf.writing import write_model
from minigpt.interop.token_roles import NAMES
from minigpt.models import GPT, GPTConfig
from minigpt.tokenizers import SentencePieceBPE
from minigpt.tokenizers.sentencepiece_vocabulary import BYTE, CONTROL, NORMAL, UNKNOWN, SentencePieceVocabulary

from .hf_models import CASES, VOCAB, check_logits, random_model, their_logits, their_tensors

pytestmark = pytest.mark.parity
IDS = np.random.default_rng(0).integers(1, VOCAB, (3, 7))


@pytest.fixture
def their_warnings():
    """What transformers says through its logger while a test runs."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger = logging.getLogger("transformers")
    logger.addHandler(handler)
    yield said
    logger.removeHandler(handler)


def saved(model, folder, **options):
    model.save_pretrained(folder, **options)
    return folder


@pytest.mark.parametrize("sharded", [False, True], ids=["single", "sharded"])
@pytest.mark.parametrize("name", CASES)
def test_their_models_compute_the_same_here(name, sharded, tmp_path):
    model = random_model(name)
    saved(model, tmp_path / "hf", **({"max_shard_size": "4KB"} if sharded else {}))
    assert (tmp_path / "hf" / "model.safetensors.index.json").exists() == sharded
    loaded = minigpt.load(tmp_path / "hf", dtype="float64")
    check_logits(name, loaded, model, IDS)
    assert loaded.tokenizer is None and loaded.model.config == loaded.config.model


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("name", CASES)
def test_other_precisions_are_read(name, dtype, tmp_path):
    model = random_model(name, dtype)
    loaded = minigpt.load(saved(model, tmp_path / "hf"), dtype=None)
    assert loaded.params.flat.dtype == ("float64" if dtype == torch.float64 else "float32")
    exact = type(model).from_pretrained(tmp_path / "hf", dtype=torch.float64)
    check_logits(name, minigpt.load(tmp_path / "hf", dtype="float64"), exact, IDS)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", CASES)
def test_there_and_back_is_exact(name, dtype, tmp_path, their_warnings):
    """Their folder, a run, their folder again: the same bits, which their class opens without a word."""
    model = random_model(name, dtype)
    before = their_tensors(saved(model, tmp_path / "hf"))
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "run")]) == 0
    assert main(["convert", str(tmp_path / "run"), str(tmp_path / "back"), "--to", "hf"]) == 0
    after = their_tensors(tmp_path / "back")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[key], after[key]) and before[key].dtype == after[key].dtype for key in before)
    del their_warnings[:]
    again, info = type(model).from_pretrained(tmp_path / "back", output_loading_info=True, dtype=dtype)
    assert not any(info.values()) and their_warnings == []
    state = again.state_dict()
    assert all(torch.equal(tensor, state[key]) for key, tensor in model.state_dict().items())
    settings = (model.config.to_diff_dict(), again.config.to_diff_dict())
    changed = {k for k in settings[0] | settings[1] if settings[0].get(k) != settings[1].get(k)}
    assert changed <= {"architectures", "activation_function", "head_dim"}
    if model.can_generate():
        ids = [m.generation_config.to_dict() for m in (model, again)]
        assert all(ids[0][key] == ids[1][key] for key in NAMES)


@pytest.mark.parametrize("name", CASES)
def test_ours_there_and_back_is_exact(name, tmp_path):
    ours = minigpt.load(saved(random_model(name), tmp_path / "hf"))
    ours.params.flat[:] = np.random.default_rng(1).normal(0, 0.3, ours.params.flat.shape)
    write_model(tmp_path / "theirs", ours.model, ours.params, None)
    again = minigpt.load(tmp_path / "theirs")
    assert again.model.config == ours.model.config and np.array_equal(again.params.flat, ours.params.flat)
    theirs = getattr(transformers, CASES[name].architecture).from_pretrained(tmp_path / "theirs")
    check_logits(name, minigpt.load(tmp_path / "theirs", dtype="float64"), theirs, IDS)


def test_models_without_biases_are_written_with_zero_ones(tmp_path):
    model = GPT(GPTConfig(vocab_size=VOCAB, context=9, layers=2, heads=2, width=6, bias=False))
    params = model.init(seed=3, dtype="float64")
    write_model(tmp_path / "hf", model, params, None)
    theirs = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "hf", dtype=torch.float64)
    assert np.abs(their_logits(theirs, IDS) - model.logits(params, IDS)).max() <= 1e-12


def test_the_double_heads_class_is_read_without_its_second_head(tmp_path):
    """It saves the shared matrix as lm_head.weight, and a head that the language model has no place for."""
    config = CASES["openai-gpt"].config()
    theirs = transformers.OpenAIGPTDoubleHeadsModel(config).eval()
    names = their_tensors(saved(theirs, tmp_path / "hf")).keys()
    assert "lm_head.weight" in names and "transformer.tokens_embed.weight" not in names
    with pytest.raises(minigpt.core.errors.UserError, match=r"it has multiple_choice_head\.summary\.bias"):
        minigpt.load(tmp_path / "hf")
    ours = minigpt.load(tmp_path / "hf", dtype="float64", skip=["multiple_choice_head."])
    exact = their_logits(theirs.double(), IDS[:, None])[:, 0]
    assert np.abs(ours.logits(IDS) - exact).max() <= 1e-9 * np.abs(exact).max()


TEXT = "The quick brown fox jumps over the lazy dog; 12 foxes, 3 dogs: naïve façade, 東京!\n" * 20


def small_sentencepiece():
    """Llama's kind of tokenizer: three control pieces, the bytes, the characters of the text and a few words of it."""
    words = ["qu", "ick", "quick", "▁quick", "▁d", "▁do"]
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *sorted({*TEXT[:60], "▁"} - {" "}), *words]
    types = [UNKNOWN, CONTROL, CONTROL] + [BYTE] * 256 + [NORMAL] * (len(pieces) - 259)
    scores = [0.0] * 259 + [-float(n) for n in range(len(pieces) - 259)]
    roles = {"unk": 0, "bos": 1, "eos": 2}
    return SentencePieceBPE(SentencePieceVocabulary(pieces, scores, types, roles=roles))


@pytest.mark.parametrize("kind", ["char", "byte", "bpe", "wordpiece", "gpt", "sentencepiece"])
def test_tokenizers_are_opened_by_theirs(kind, tmp_path, their_warnings):
    """AutoTokenizer gives our ids and our text, also from the folder that a run became; and we read it back."""
    if kind == "sentencepiece":
        ours = small_sentencepiece()
    else:
        ours = tokenizers.from_spec(kind if kind in ("char", "byte") else f"{kind}:400", lambda: iter([TEXT]))
    model = GPT(GPTConfig(vocab_size=ours.vocab_size, context=200, layers=1, heads=1, width=4))
    write_model(tmp_path / "hf", model, model.init(), ours)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path / "hf")
    line = TEXT.splitlines()[0]
    ids = ours.encode(line)
    assert theirs.encode(line, add_special_tokens=False) == ids
    assert theirs.decode(ids) == ours.decode(ids)
    assert theirs.model_max_length == 200 and their_warnings == []
    for role, name in theirs.special_tokens_map.items():
        assert ours.special_tokens[name] == theirs.convert_tokens_to_ids(name), role
    again = minigpt.load(tmp_path / "hf").tokenizer
    assert type(again) is type(ours) and again.encode(line) == ids
