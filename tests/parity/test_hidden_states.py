"""States behind every layer, vectors of texts, and models without heads: as transformers gives them."""

import numpy as np
import pytest
import torch
import transformers

import minigpt
from minigpt import tokenizers
from minigpt.cli import main
from minigpt.core.errors import UserError

from .hf_models import CASES, CONTEXT, VOCAB, random_model, their_tensors

pytestmark = pytest.mark.parity
IDS = np.random.default_rng(0).integers(3, VOCAB, (3, 7))
REAL = np.arange(7) < np.array([7, 4, 1])[:, None]


def their_states(model, ids, mask=None, **inputs):
    """Every layer's states; BART's are its encoder's."""
    inputs |= {} if mask is None else {"attention_mask": torch.tensor(mask.astype(int))}
    with torch.no_grad():
        out = model(input_ids=torch.tensor(ids), output_hidden_states=True, **inputs)
    return [x.numpy() for x in getattr(out, "encoder_hidden_states", None) or out.hidden_states]


@pytest.mark.parametrize("padded", [False, True], ids=["whole", "padded"])
@pytest.mark.parametrize("name", CASES)
def test_states_behind_every_layer(name, padded, tmp_path):
    model = random_model(name, torch.float64)
    model.save_pretrained(tmp_path / "hf")
    ours = minigpt.load(tmp_path / "hf", dtype="float64")
    mask = REAL if padded else None
    expected = their_states(model, IDS, mask)
    counted = REAL if padded else np.ones_like(REAL)
    # behind short windows a padded query sees nothing, and transformers makes all of such a row NaN
    known = ~np.isnan(expected[-1]).any(axis=(1, 2))
    assert known.all() or (padded and name in ("mistral", "qwen2") and known[0])
    counted = counted & known[:, None]
    for layer, theirs in enumerate(expected):
        for number in (layer, layer - len(expected)):
            x = ours.hidden_states(IDS, mask, layer=number)
            assert x.dtype == np.float64
            assert np.abs(x - theirs)[counted].max() <= CASES[name].bound * max(1.0, np.nanmax(np.abs(theirs)))


def test_segments_have_their_states(tmp_path):
    model = random_model("bert", torch.float64)
    model.save_pretrained(tmp_path / "hf")
    types = np.arange(7)[None] % 3 + np.zeros((3, 1), int)
    theirs = their_states(model, IDS, token_type_ids=torch.tensor(types))[-1]
    ours = minigpt.load(tmp_path / "hf", dtype="float64").hidden_states(IDS, token_type_ids=types)
    assert np.abs(ours - theirs).max() <= 1e-9 * np.abs(theirs).max()


BARE = {  # the class without a head, the case whose configuration it takes, what that changes, and what it is here
    "BertModel": ("bert", {}, True),
    "BertModel, no pooler": ("bert", {}, True),
    "GPT2Model": ("gpt2", {}, False),
    "GPT2Model, untied": ("gpt2", {"tie_word_embeddings": False}, True),
    "OpenAIGPTModel": ("openai-gpt", {}, False),
    "LlamaModel": ("llama", {}, True),
    "LlamaModel, tied": ("llama", {"tie_word_embeddings": True}, False),
    "BartModel": ("bart", {}, False),
}


@pytest.mark.parametrize("prefixed", [False, True], ids=["bare", "prefixed"])
@pytest.mark.parametrize("name", BARE)
def test_models_without_heads(name, prefixed, tmp_path):
    """They open as they are; where the embedding is the output layer nothing is missing, else a sentence says it."""
    case, changed, headless = BARE[name]
    config = CASES[case].config()
    for key, value in changed.items():
        setattr(config, key, value)
    torch.manual_seed(0)
    options = {"add_pooling_layer": False} if "no pooler" in name else {}
    model = getattr(transformers, name.split(",")[0])(config, **options).double().eval()
    model.save_pretrained(tmp_path / "hf")
    if prefixed:
        tensors = {f"{model.base_model_prefix}.{key}": x for key, x in their_tensors(tmp_path / "hf").items()}
        from safetensors.torch import save_file

        save_file(tensors, tmp_path / "hf" / "model.safetensors")
    ours = minigpt.load(tmp_path / "hf", dtype="float64")
    theirs = their_states(model, IDS)
    for layer, x in enumerate(theirs):
        assert np.abs(ours.hidden_states(IDS, layer=layer) - x).max() <= CASES[case].bound * max(1, np.abs(x).max())
    assert getattr(ours.config.model, "headless", False) == headless
    if not headless:
        assert np.isfinite(ours.logits(IDS)).all()
        return
    for ask in (ours.logits, ours.loss_and_grads) if "Bert" not in name else (ours.logits,):
        with pytest.raises(UserError, match="hidden_states and embed work"):
            ask(IDS)
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "run")]) == 0
    assert main(["convert", str(tmp_path / "run"), str(tmp_path / "back"), "--to", "hf"]) == 0
    again, info = type(model).from_pretrained(tmp_path / "back", output_loading_info=True, **options)
    assert not any(info.values())
    assert all(torch.equal(x, again.state_dict()[key]) for key, x in model.state_dict().items())


def test_an_untied_gpt2(tmp_path):
    """Its scores come from a matrix of its own; there and back it stays that."""
    config = CASES["gpt2"].config()
    config.tie_word_embeddings = False
    torch.manual_seed(0)
    model = transformers.GPT2LMHeadModel(config).double().eval()
    model.save_pretrained(tmp_path / "hf")
    ours = minigpt.load(tmp_path / "hf", dtype="float64")
    theirs = model(torch.tensor(IDS)).logits.detach().numpy()
    assert np.abs(ours.logits(IDS) - theirs).max() <= 1e-9
    loss, grads = ours.loss_and_grads(IDS)
    model(torch.tensor(IDS), labels=torch.tensor(IDS)).loss.backward()
    head = model.lm_head.weight.grad.numpy()
    assert np.abs(grads["output"].T - head).max() <= 1e-6 and np.isfinite(loss)
    assert np.abs(grads["tokens"] - model.transformer.wte.weight.grad.numpy()).max() <= 1e-6
    assert main(["convert", str(tmp_path / "hf"), str(tmp_path / "back"), "--to", "hf"]) == 0
    again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path / "back")
    assert torch.equal(again.lm_head.weight, model.lm_head.weight.float())


TEXT = "The quick brown fox jumps over the lazy dog; 12 foxes, 3 dogs and a fence.\n" * 20
TEXTS = ["The quick brown fox.", "A dog", "foxes and foxes, over the fence 12 dogs", "fox"]


@pytest.mark.parametrize("family", ["bert", "bart"])
def test_vectors_of_texts(family, tmp_path):
    """As sentence-transformers pools them: the tokenizer's own special tokens, and means over what is no padding."""
    if family == "bert":
        ours = tokenizers.train("wordpiece", [write(tmp_path, TEXT)], 120)
    else:
        names = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        ours = tokenizers.train("bpe", [write(tmp_path, TEXT)], 300, special_tokens=names)
    model = sized_model(family, ours.vocab_size)
    model.save_pretrained(tmp_path / "hf")
    tokenizers.save(ours, tmp_path / "hf" / "tokenizer.json")
    loaded = minigpt.load(tmp_path / "hf", dtype="float64")
    start, end = (ours.special_tokens[n] for n in (("[CLS]", "[SEP]") if family == "bert" else ("<s>", "</s>")))
    rows = [[start, *ours.encode(text), end] for text in TEXTS]
    body = model if family == "bert" else model.get_encoder()
    for layer in (-1, 1):
        single = [body(torch.tensor([row]), output_hidden_states=True).hidden_states[layer][0] for row in rows]
        expected = {
            "mean": torch.stack([x.mean(0) for x in single]),
            "cls": torch.stack([x[0] for x in single]),
            "max": torch.stack([x.max(0).values for x in single]),
        }
        for pooling, theirs in expected.items():
            for size in (1, 3, 32):
                found = loaded.embed(TEXTS, pooling=pooling, layer=layer, batch_size=size)
                assert np.abs(found - theirs.detach().numpy()).max() <= 1e-9
            unit = torch.nn.functional.normalize(theirs, dim=1).detach().numpy()
            assert np.abs(loaded.embed(TEXTS, pooling=pooling, layer=layer, normalize=True) - unit).max() <= 1e-9


def write(folder, text):
    (folder / "text.txt").write_text(text)
    return folder / "text.txt"


def sized_model(family, vocab_size):
    config = CASES[family].config()
    config.vocab_size = vocab_size
    torch.manual_seed(0)
    cls = transformers.BertModel if family == "bert" else transformers.BartModel
    assert config.max_position_embeddings == CONTEXT
    return cls(config).double().eval()
