"""What the plan says of activations is what real caches hold, and the usual formula is the published one."""

import numpy as np
import pytest
from numpy.lib.array_utils import byte_bounds

from minigpt import fast, ops
from minigpt.blocks import BlockConfig
from minigpt.blocks.run import Run
from minigpt.data.batch import Batch
from minigpt.data.bert_batch import BertBatch
from minigpt.data.seq2seq import Seq2SeqBatch
from minigpt.fast import rope as fast_rope
from minigpt.lab.plan.memory import kept_bytes, package_state_bytes, sharded, state_bytes, usual_bytes
from minigpt.lab.plan.workload import Stack, workload
from minigpt.ops import Mask
from minigpt.ops.rope import RopeCache
from minigpt.train.config import build_config
from minigpt.train.families import FAMILIES

from ...tiers import some

TABLES = {"plain": ops, "fast": fast}
ROWS = 3


def buffers(cache, params, found):
    """The bytes of every buffer of numbers that a cache keeps alive, parameters and rotary tables left out."""
    if isinstance(cache, np.ndarray):
        base = cache
        while isinstance(base.base, np.ndarray):
            base = base.base
        if base is not params.flat and cache.dtype.kind == "f":
            # Scratch memory is bytes, rounded up to one of eight sizes to a doubling: count what was asked for.
            used = byte_bounds(cache)[1] - byte_bounds(base)[0] if base.dtype == np.uint8 else base.nbytes
            found[id(base)] = max(used, found.get(id(base), 0))
    elif isinstance(cache, (tuple, list)) and not isinstance(cache, (RopeCache, fast_rope.RopeCache, Mask)):
        for item in cache:
            buffers(item, params, found)
    return found


def forward(config, table, *, recompute):
    model = FAMILIES[config.family].model(config.model)
    params = model.init(0)
    ids = np.random.default_rng(0).integers(4, config.model.vocab_size, (ROWS, config.model.context))
    batch = Batch(ids, ids)
    if config.family in ("bart", "transformer"):
        batch = Seq2SeqBatch(ids, ids, ids)
    if config.family == "bert":
        places = np.zeros((ROWS, config.objective.max_predictions), int)
        labels = np.zeros(ROWS, int) if config.model.pairs else None
        batch = BertBatch(ids, np.zeros_like(ids), places, places, labels)
    _, cache = model.forward(params, batch, Run(train=True, ops=TABLES[table], recompute=recompute))
    return cache, params


GPT = {"vocab_size": 29, "context": 11, "layers": 3, "heads": 3, "width": 15, "feed_forward": 22}
SEQ2SEQ = {"vocab_size": 29, "context": 11, "encoder_layers": 2, "decoder_layers": 3, "heads": 3, "width": 15}
CASES = {
    "gpt2": ("gpt", GPT),
    "gpt2-dropout": ("gpt", GPT | {"dropout": 0.1}),
    "gpt": ("gpt", GPT | {"norm": "post", "dropout": 0.1}),
    "gpt3": ("gpt", GPT | {"window": 4, "bias": False}),
    "gpt-relu": ("gpt", GPT | {"activation": "relu"}),
    "gpt-long": ("gpt", GPT | {"context": 520, "dropout": 0.1}),
    "gpt-longer": ("gpt", GPT | {"context": 1030, "layers": 2, "heads": 1, "width": 7, "dropout": 0.1}),
    "llama": ("llama", {**GPT, "heads": 4, "kv_heads": 2, "width": 24, "head_width": 8}),
    "transformer": ("transformer", SEQ2SEQ | {"dropout": 0.1, "activation_dropout": 0.1}),
    "bart": ("bart", SEQ2SEQ | {"dropout": 0.0, "attention_dropout": 0.0}),
    "bart-dropout": ("bart", SEQ2SEQ),
    "bart-long": ("bart", SEQ2SEQ | {"context": 520, "decoder_layers": 1, "heads": 1, "width": 7}),
    "bart-longer": ("bart", SEQ2SEQ | {"context": 1030, "decoder_layers": 1, "heads": 1, "width": 7}),
    "bert": ("bert", GPT),
    "bert-no-pairs": ("bert", GPT | {"pairs": False, "dropout": 0.0, "attention_dropout": 0.0}),
}


LONG = [name for name in CASES if "long" in name]
SHORT = [name for name in CASES if name not in LONG or name == "gpt-long"]


@pytest.mark.parametrize("recompute", [False, True])
@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("name", some(CASES, SHORT, "gpt-long, and the short ones of each family"))
def test_kept_bytes_are_those_of_a_real_cache(name, table, recompute):
    family, settings = CASES[name]
    config = build_config({"family": family, "model": settings})
    cache, params = forward(config, table, recompute=recompute)
    measured = sum(buffers(cache, params, {}).values())
    assert measured == ROWS * kept_bytes(workload(config), table=table, recompute=recompute)


def test_training_state():
    assert state_bytes("bfloat16").total == state_bytes("float32").total == 16
    assert package_state_bytes("bfloat16").total == 18
    assert [sharded(state_bytes("bfloat16"), stage, 64) for stage in range(4)] == [
        16,
        4 + 12 / 64,  # Rajbhandari et al. 2020, figure 1: for 7.5B parameters 120, 31.4, 16.6 and 1.9 GB
        2 + 14 / 64,
        16 / 64,
    ]


def test_grouped_keys_and_swiglu_in_the_usual_count():
    block = BlockConfig(64, 8, 96, kv_heads=2, head_width=8, activation="swiglu")
    stack = Stack(1, block, 10, {Mask(causal=True): 1})
    norms, inputs, qkv, hidden, up, down = 4 * 64, 4 * 64, 2 * 96, 2 * 64, 4 * 96, 2 * 96
    assert usual_bytes(stack) == 10 * (norms + inputs + qkv + hidden + up + down + 4 * 8)
