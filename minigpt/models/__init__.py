"""The architectures. Each is a configuration class and a model class; `minigpt.train.families` knows them by name.

What a model has to offer is in `minigpt.models.model`. A head for a task stands on the body of such a model
(`bert_heads`, `causal_heads`, and in `bart`). What a model learns from stands in `minigpt.train.objectives`.
"""

from minigpt.models.bart import BART, BARTClassifier, BARTConfig, BARTQuestionAnswering
from minigpt.models.bert import Bert
from minigpt.models.bert_body import BertConfig
from minigpt.models.causal_heads import CausalHead
from minigpt.models.gpt import GPT, GPTConfig
from minigpt.models.llama import Llama, LlamaConfig
from minigpt.models.model import Model
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
    "Model",
    "Transformer",
    "TransformerConfig",
]
