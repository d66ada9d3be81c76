"""BART against transformers on random weights of order one: logits, loss and every gradient, for each of its heads."""

import numpy as np
import pytest
import torch
import transformers

from minigpt import fast, ops
from minigpt.blocks.run import Run
from minigpt.data.seq2seq import Seq2SeqBatch, shift_tokens_right
from minigpt.interop.hf import to_state_dict
from minigpt.lab.gradcheck.cases import random_parameters
from minigpt.models import BART, BARTClassifier, BARTConfig, BARTQuestionAnswering
from minigpt.ops import IGNORE

pytestmark = pytest.mark.parity

BOS, PAD, EOS, VOCAB, CLASSES = 0, 1, 2, 17, 3
SIZES = [(1, 1, 1, 4, 3), (1, 3, 3, 12, 7), (3, 2, 2, 10, 11)]  # encoder and decoder layers, heads, width, context
MODELS = {
    "generation": (BART, transformers.BartForConditionalGeneration),
    "classification": (lambda c: BARTClassifier(c, CLASSES), transformers.BartForSequenceClassification),
    "answers": (BARTQuestionAnswering, transformers.BartForQuestionAnswering),
}
TIED = {"lm_head.weight", "model.encoder.embed_tokens.weight", "model.decoder.embed_tokens.weight"}


def hf_config(c, **changed):
    settings = {
        "vocab_size": c.vocab_size,
        "max_position_embeddings": c.context,
        "d_model": c.width,
        "encoder_layers": c.encoder_layers,
        "decoder_layers": c.decoder_layers,
        "encoder_attention_heads": c.heads,
        "decoder_attention_heads": c.heads,
        "encoder_ffn_dim": c.feed_forward,
        "decoder_ffn_dim": c.feed_forward,
        "dropout": 0.0,
        "attn_implementation": "eager",
        "num_labels": CLASSES,
        "forced_eos_token_id": None,
    }
    return transformers.BartConfig(**(settings | changed))


def hf_model(model, params, dtype, cls, **changed):
    hf = cls(hf_config(model.config, **changed)).to(dtype)
    tensors = {k: torch.tensor(np.array(v), dtype=dtype) for k, v in to_state_dict(model, params).items()}
    missing, unexpected = hf.load_state_dict(tensors, strict=False)
    assert unexpected == [] and set(missing) <= TIED
    return hf.eval()


def hf_results(hf, batch):
    """Logits (of ours' shape), the loss computed from them in their own precision, and every gradient."""
    mask = None if batch.source_padding is None else torch.tensor(batch.source_padding.astype(int))
    given = {"input_ids": torch.tensor(batch.source), "attention_mask": mask}
    if batch.targets is not None:
        given["decoder_input_ids"] = torch.tensor(batch.inputs)
    out = hf(**given)
    logits = torch.stack([out.start_logits, out.end_logits], dim=1) if batch.spans is not None else out.logits
    targets = next(x for x in (batch.targets, batch.labels, batch.spans) if x is not None)
    loss = torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), torch.tensor(targets).flatten(), ignore_index=IGNORE
    )
    loss.backward()
    gradients = {k: p.grad.numpy() for k, p in hf.named_parameters() if k not in TIED}
    return logits.detach().numpy(), loss.item(), gradients


def our_results(model, params, batch, implementation=ops):
    run = Run(ops=implementation)
    loss, cache = model.forward(params, batch, run)
    grads = params.zeros_like()
    model.backward(params, grads, cache, run)
    theirs = to_state_dict(model, grads)
    theirs.pop("final_logits_bias", None)  # a buffer of theirs too: no gradient
    return model.logits(params, batch, run), loss, theirs


def random_batch(head, context, padded):
    """Rows that end with </s>; the target is a little shorter than the source."""
    rng = np.random.default_rng(context)
    source = rng.integers(3, VOCAB, (3, context))
    lengths = np.array([context, max(2, context // 2), 2]) if padded else np.full(3, context)
    source[np.arange(3), lengths - 1] = EOS
    real = np.arange(context) < lengths[:, None]
    source = np.where(real, source, PAD)
    padding = real if padded else None
    if head == "generation":
        targets = rng.integers(3, VOCAB, (3, max(2, context - 1)))
        targets[:, 0], targets[0, -1] = BOS, EOS
        targets[1, 1:] = IGNORE  # so that the decoder reads padding
        return Seq2SeqBatch(source, shift_tokens_right(targets, pad=PAD, start=EOS), targets, padding)
    inputs = shift_tokens_right(source, pad=PAD, start=EOS)
    if head == "classification":
        return Seq2SeqBatch(source, inputs, source_padding=padding, labels=np.array([2, 0, IGNORE]))
    spans = np.sort(rng.integers(0, context, (3, 2)), axis=1)
    return Seq2SeqBatch(source, inputs, source_padding=padding, spans=spans)


@pytest.fixture(params=[(size, head, padded) for size in SIZES for head in MODELS for padded in (False, True)])
def case(request):
    (encoder, decoder, heads, width, context), head, padded = request.param
    make, hf_class = MODELS[head]
    model = make(BARTConfig(VOCAB, context, encoder, decoder, heads, width, feed_forward=width + 3))
    params = random_parameters(model, seed=encoder)
    if head == "generation":
        assert np.abs(params["final_logits_bias"]).min() > 0
    return model, params, random_batch(head, context, padded), hf_class


def real_positions(logits, batch):
    """Where a padded row's answer scores are the decoder's states at padding, which nobody looks at."""
    if batch.source_padding is None or batch.spans is None:
        return logits
    return logits.swapaxes(1, 2)[batch.source_padding]


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_double_precision(case, implementation):
    model, params, batch, hf_class = case
    logits, loss, grads = our_results(model, params, batch, implementation)
    hf_logits, hf_loss, hf_grads = hf_results(hf_model(model, params, torch.float64, hf_class), batch)
    assert hf_logits.dtype == np.float64 and grads.keys() == hf_grads.keys()
    pairs = {"logits": (real_positions(logits, batch), real_positions(hf_logits, batch)), "loss": (loss, hf_loss)}
    pairs |= {name: (grads[name], hf_grads[name]) for name in grads}
    if batch.spans is not None:  # scores at padding count here; torch never trains the padding's embedding
        pairs["model.shared.weight"] = tuple(np.delete(x, PAD, axis=0) for x in pairs["model.shared.weight"])
    for name, (a, b) in pairs.items():
        assert np.abs(a - b).max() <= 1e-9 * max(1.0, np.abs(b).max()), name


@pytest.mark.parametrize("implementation", [ops, fast], ids=["plain", "fast"])
def test_single_precision(case, implementation):
    """Our float32 results are at most three times as far from the float64 ones as transformers' own."""
    model, params, batch, hf_class = case
    single = params.astype("float32")
    logits, loss, grads = our_results(model, single.astype("float64"), batch)
    exact = {"logits": real_positions(logits, batch), "loss": loss, **grads}
    logits, loss, grads = our_results(model, single, batch, implementation)
    ours = {"logits": real_positions(logits, batch), "loss": loss, **grads}
    logits, loss, grads = hf_results(hf_model(model, single, torch.float32, hf_class), batch)
    theirs = {"logits": real_positions(logits, batch), "loss": loss, **grads}
    for name, value in exact.items():
        ours_off, theirs_off = np.abs(ours[name] - value).max(), np.abs(theirs[name] - value).max()
        assert ours_off <= 3 * theirs_off + 1e-6, name


@pytest.mark.parametrize(
    "preset, count",
    [("facebook/bart-base", 139_420_416), ("facebook/bart-large", 406_291_456)],
)
def test_published_sizes_are_theirs(preset, count):
    shape = {"facebook/bart-base": (6, 768, 12), "facebook/bart-large": (12, 1024, 16)}[preset]
    layers, width, heads = shape
    model = BART(BARTConfig(50265, 1024, layers, layers, heads, width))
    with torch.device("meta"):
        hf = transformers.BartForConditionalGeneration(hf_config(model.config))
    assert model.parameter_count == count == sum(p.numel() for p in hf.parameters())
