"""The architectures. Each is a configuration class and a model class; `minigpt.train.families` knows them by name.

A model holds its configuration (`config`), its parameters' specification (`specs`, `parameter_count`) and the width of
an attention head (`head_width`, which decides which kernels can run), and has

    init(seed, dtype, backend)                     fresh parameters
    forward(params, batch, run)                    (loss, cache); the loss is in nats, per target of the whole step
    backward(params, grads, cache, run, scale)     adds scale times the loss's gradient to `grads`
    measures(cache)                                {name: (sum, count)}, what else of the pass is worth knowing
    logits(params, …)                              its scores

A head for a task stands on the body of such a model (`bert_heads`, `causal_heads`, and in `bart`). What a model learns
from stands in `minigpt.train.objectives`.
"""

from minigpt.models.bart import BART, BARTClassifier, BARTConfig, BARTQuestionAnswering
from minigpt.models.bert import Bert
from minigpt.models.bert_body import BertConfig
from minigpt.models.causal_heads import CausalHead
from minigpt.models.gpt import GPT, GPTConfig
from minigpt.models.llama import Llama, LlamaConfig
from minigpt.models.transformer import Transformer, TransformerConfig

__all__ = [
    "BART",
    "GPT",
    "BARTClassifier",
    "BARTConfig",
    "BARTQuestionAnswering",
    "Bert",
    "BertConfig",
    "CausalHead",
    "GPTConfig",
    "Llama",
    "LlamaConfig",
    "Transformer",
    "TransformerConfig",
]
