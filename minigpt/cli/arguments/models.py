"""The arguments of the commands that use a trained model, and of `gradcheck`, `check` and `info`."""

from __future__ import annotations

from minigpt.cli.arguments import names
from minigpt.cli.parser import Parser, not_empty


def sample(add: Parser) -> None:
    add.example('minigpt sample runs/sprint-1 --prompt "One day, Anna" --tokens 200 --temperature 0.7')
    add.run_folder()
    add.add_argument("--prompt", help="the text to continue; default: the prompt in the settings of the run")
    _add_drawing(add)
    add.count("--beams", "search with N beams (not for GPT and Llama runs)", least=0)
    add.backend()


def chat(add: Parser) -> None:
    add.example('minigpt chat SmolLM2-135M-Instruct.Q4_1.gguf --system "Answer briefly." --temperature 0')
    add.value(
        "run_folder", "MODEL", "a published chat model: a folder, GGUF file or hub name (docs/chat.md)", type=not_empty
    )
    add.value("--system", "TEXT", "what the model is told before the first message")
    _add_drawing(add)
    add.backend()


def _add_drawing(add: Parser) -> None:
    """How tokens are drawn, and how many."""
    add.count("--tokens", "how many tokens to write")
    add.value("--temperature", "T", "below 1, unlikely tokens become rarer; 0: always the most probable", type=float)
    add.value("--top-k", "K", "draw only from the K most probable tokens; 0: from all", type=int)
    add.value("--top-p", "P", "draw only from the smallest set of tokens whose probabilities add up to P", type=float)
    add.value("--min-p", "P", "draw only tokens at least P times as probable as the most probable one", type=float)
    add.value("--repetition-penalty", "X", "values above 1 make repetitions less likely", type=float)
    add.count("--no-repeat-ngram", "never write the same N tokens in a row twice; 0: allow it", least=0)
    add.count("--seed", "random seed, 0 by default: the same seed writes the same text", least=0, default=0)
    _add_weights(add)


def _add_weights(add: Parser) -> None:
    add.choice("--weights", ("int8",), "matrices of 8 bits: a quarter of the memory; quick with Numba (docs/speed.md)")


def embed(add: Parser) -> None:
    add.example('minigpt embed all-MiniLM-L6-v2 "A cat sat." "A dog stood." --normalize')
    add.value("run_folder", "RUN", "a run's folder, or any model that convert reads")
    add.value("texts", "TEXT", "the texts, one vector each", nargs="*")
    add.value("--file", "FILE", "more texts, one a line")
    one = "how the states of the tokens become one vector: their mean (default), the first state, or the maximum"
    add.choice("--pooling", ("mean", "cls", "max"), one, default="mean")
    add.flag("--normalize", "divide vectors by their length, so that dot products are cosines")
    add.value("--layer", "N", "whose output is used: 0: the embedding, -1: the last layer", type=int, default=-1)
    add.flag("--truncate", "cut off texts that are longer than the model's context")
    add.count("--batch", "texts at a time", default=32)
    add.value("--out", "FILE.npy", "write the vectors as an array of NumPy, (texts, width)")
    add.backend()


def evaluate(add: Parser) -> None:
    add.example("minigpt eval runs/sprint-1 --data my_text.txt")
    add.run_folder()
    texts = (
        "the text; default: the validation part of the run's own text. For bits per byte, the loss is divided by "
        "the size of the files in bytes, less the first token (nothing predicts it) and the lines between documents"
    )
    add.several("--data", "FILE|DIR|NAME", texts)
    add.value(
        "--split", "PART", "for a fine-tuned model, the part of its task to measure: train, dev or test", type=not_empty
    )
    add.count("--context", "cut the text into windows of N tokens; default: the model's context", least=2)
    add.flag("--baseline", "also measure a 5-gram model, which only counts in the training text")
    _add_weights(add)
    add.backend()


def plot(add: Parser) -> None:
    add.example("minigpt plot runs/sprint-1")
    add.run_folder(also="")
    add.value("--out", "FILE.png", "by default curves.png in the run's folder")
    add.value("--baseline", "LOSS", "draw this loss as a line, such as that of eval --baseline", type=float)
    add.several("--beside", "RUN", "also draw the losses of this run; may be repeated")
    add.flag("--force", "replace the file in --out if there is one")


def convert(add: Parser) -> None:
    add.example("minigpt convert runs/sprint-1 my-model --to hf")
    sources = "a run, a Hugging Face folder or name, a GGUF file, a llama2.c model (.bin), or OpenAI's GPT weights"
    add.value("source", "SRC", sources)
    add.value("target", "DST", "what to write; it must not exist yet")
    formats = (
        "run (default): a folder for sample, eval and train --resume; of a run only the weights are copied; "
        "hf: a folder that transformers opens; llama2c, llama2c-v1: a file of llama2.c, as its run program reads it "
        "or in version 1; gguf, gguf-f32: a GGUF file for llama.cpp, with matrices in float16 or float32"
    )
    add.choice("--to", names.FORMATS, formats, default="run")
    add.value("--tokenizer", "FILE|DIR|none", "the tokenizer; default: the one in SRC, if there is one")
    add.value("--pattern", "REGEX", "how the tokenizer splits text into words, if its file does not say so")
    add.several("--skip", "NAME", "ignore the tensors of SRC whose names begin with this")
    add.several("--fresh", "NAME", "draw new weights for tensors whose names begin with this, if SRC lacks them")


def gradcheck(add: Parser) -> None:
    add.example("minigpt gradcheck attention", "minigpt gradcheck gpt2 --thorough")
    what = (
        "an operation (attention, layernorm, …), one of its cases, a model (gpt2, llama, …), ops (every operation) or "
        "all; without NAME, all names are listed"
    )
    add.value("name", "NAME", what, nargs="?")
    add.flag("--thorough", "check every element of a model's parameters, not only a few of each and one direction")


def info(add: Parser) -> None:
    add.example("minigpt info runs/sprint-1 --verify")
    add.value("run_folder", "RUN", "a run's folder, for --verify", nargs="?")
    add.flag("--verify", "read every file of a run, and say what is damaged (exit status 1)")


def check(add: Parser) -> None:
    add.example("minigpt check my_layers.py LayerNorm --hint")
    add.value("file", "FILE.py", "a Python file that needs nothing but NumPy (docs/check.md)")
    add.value("names", "NAME", "the functions or models to check; default: all", nargs="*")
    add.value("--as", "OPERATION", "which operation it is, if its name does not say so", dest="claimed", type=not_empty)
    how = add.add_mutually_exclusive_group()
    how.add_argument(
        "--hint", dest="level", action="store_const", const="hint", help="give a hint, do not name the mistake"
    )
    how.add_argument("--answer", dest="level", action="store_const", const="answer", help="also show the right line")
    add.value("--plot", "FILE.png", "draw where gradients are wrong", type=not_empty)
    add.set_defaults(level="name")


def explain(add: Parser) -> None:
    add.example(
        'minigpt explain runs/sprint-1 --prompt "Anna was looking for her red ball." --out page.html',
        "minigpt explain --kernels --out kernels.html",
    )
    add.run_folder()
    add.value("--prompt", "TEXT", "the text; for BERT it may contain [MASK]")
    add.value("--out", "FILE.html", "the page, one self-contained file", required=True)
    target = "the right answer: the text of an encoder–decoder, or the word at [MASK]; default: the model's own"
    add.value("--target", "TEXT", target)
    layers = "the layers to show in full, counted from 1; default: as many as fit"
    add.count("--layers", layers, nargs="+")
    add.count("--heads", "the attention heads to show, counted from 1; default: all", nargs="+")
    add.flag("--replay", "add a slider over all checkpoints of the run")
    kernels = "show a CUDA kernel (flash attention) on the CPU instead of a model, step by step"
    add.flag("--kernels", kernels)
    add.flag("--force", "replace the file in --out if there is one")
