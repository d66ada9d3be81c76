"""The arguments of the commands that use a trained model, and of `gradcheck`, `check` and `info`."""

from __future__ import annotations

from minigpt.cli.arguments import names
from minigpt.cli.parser import Parser


def sample(add: Parser) -> None:
    add.example('minigpt sample runs/tiny-1 --prompt "The " --tokens 200 --temperature 0.7')
    add.run_folder()
    add.add_argument("--prompt", help="the text to continue; by default the run's own")
    _add_drawing(add)
    add.count("--beams", "search with N beams (not for GPT and Llama runs)", least=0)
    add.backend()


def chat(add: Parser) -> None:
    add.example('minigpt chat SmolLM2-135M-Instruct.Q4_1.gguf --system "Answer briefly." --temperature 0')
    add.value("run_folder", "MODEL", "a folder, GGUF file, run or hub name that comes with a chat template")
    add.value("--system", "TEXT", "what the model is told before the first message")
    _add_drawing(add)
    add.backend()


def _add_drawing(add: Parser) -> None:
    """How tokens are drawn, and how many."""
    add.count("--tokens", "how many tokens to write")
    add.value("--temperature", "T", "0 always takes the most probable token", type=float)
    add.value("--top-k", "K", "draw from the K most probable tokens; 0 from all", type=int)
    add.value("--top-p", "P", "draw from the most probable tokens that sum to P", type=float)
    add.value("--min-p", "P", "draw tokens at least P times as probable as the first", type=float)
    add.value("--repetition-penalty", "X", "above 1, tokens of the text come again less often", type=float)
    add.count("--no-repeat-ngram", "no sequence of N tokens comes twice; 0 allows it", least=0)
    add.count("--seed", "the same seed writes the same text", least=0, default=0)


def embed(add: Parser) -> None:
    add.example('minigpt embed all-MiniLM-L6-v2 "A cat sat." "A dog stood." --normalize')
    add.value("run_folder", "RUN", "a run's folder, or any model that convert reads")
    add.value("texts", "TEXT", "the texts, one vector each", nargs="*")
    add.value("--file", "FILE", "more texts, one a line")
    one = "what makes one vector of the tokens' states: their mean (the default), the first, or the largest numbers"
    add.choice("--pooling", ("mean", "cls", "max"), one, default="mean")
    add.flag("--normalize", "divide by the length, so that products are cosines")
    add.value("--layer", "N", "behind which layer; 0 the embedding, -1 the last (default)", type=int, default=-1)
    add.flag("--truncate", "leave out what a text has beyond the model's context")
    add.count("--batch", "texts at a time", default=32)
    add.value("--out", "FILE.npy", "write the vectors as an array of NumPy, (texts, width)")
    add.backend()


def evaluate(add: Parser) -> None:
    add.example("minigpt eval runs/tiny-1 --data my_text.txt")
    add.run_folder()
    texts = (
        "the text, all of it; by default the validation part of the text that the run was trained on. Bits per byte "
        "divide by the bytes of the files themselves (what wc -c counts): all of them but those of the first token's "
        "characters, which nothing stands before, and of the lines between documents"
    )
    add.several("--data", "FILE|DIR|NAME", texts)
    add.add_argument("--split", help="of a fine-tuned model's task, the part to measure: train, dev or test")
    add.count("--context", "cut the text into windows of N tokens; by default of the model's context", least=2)
    add.flag("--baseline", "also measure a model that only counts, made from the training text")
    add.backend()


def plot(add: Parser) -> None:
    add.example("minigpt plot runs/tiny-1")
    add.run_folder(also="")
    add.value("--out", "FILE.png", "by default curves.png in the run's folder")
    add.value("--baseline", "LOSS", "draw this loss as a line, such as that of eval --baseline", type=float)
    add.several("--beside", "RUN", "compare with another run's losses; repeatable")
    add.flag("--force", "replace the file in --out if there is one")


def convert(add: Parser) -> None:
    add.example("minigpt convert runs/tiny-1 my-model --to hf")
    sources = "a run, a Hugging Face folder or name, a GGUF file, a model of llama2.c (.bin), or GPT's released arrays"
    add.value("source", "SRC", sources)
    add.value("target", "DST", "what to write; it must not exist yet")
    formats = (
        "run: a folder that sample, eval and train --resume take (the default); a run is copied with its weights "
        "alone; hf: one that transformers opens; llama2c, llama2c-v1: a file of llama2.c, as its run program reads it "
        "or in version 1; gguf, gguf-f32: a GGUF file for llama.cpp, with matrices in float16 or float32"
    )
    add.choice("--to", names.FORMATS, formats, default="run")
    add.value("--tokenizer", "FILE|DIR|none", "the tokenizer; by default the one that lies in SRC, if any")
    add.value("--pattern", "REGEX", "how the tokenizer cuts text into words, where its file does not say it")
    add.several("--skip", "NAME", "leave out SRC's tensors whose names begin with this")
    add.several("--fresh", "NAME", "start the tensors that SRC lacks anew")


def gradcheck(add: Parser) -> None:
    add.example("minigpt gradcheck attention", "minigpt gradcheck gpt2 --thorough")
    what = (
        "an operation (attention, layernorm, …), one of its cases, a model (gpt2, llama, …), ops (every operation) or "
        "all; without a name, they are listed"
    )
    add.value("name", "NAME", what, nargs="?")
    add.flag(
        "--thorough",
        "differentiate a model's parameters element by element, instead of at a few of each and along a direction",
    )


def info(add: Parser) -> None:
    add.example("minigpt info runs/tiny-1 --verify")
    add.value("run_folder", "RUN", "a run's folder, for --verify", nargs="?")
    add.flag("--verify", "read every file of a run, and say what is damaged (exit status 1)")


def check(add: Parser) -> None:
    add.example("minigpt check my_layers.py LayerNorm --hint")
    add.value("file", "FILE.py", "a Python file that needs NumPy alone; docs/check.md explains")
    add.value("names", "NAME", "which pairs, functions or models; by default all", nargs="*")
    add.value("--as", "OPERATION", "what it is, if its name does not say so", dest="claimed")
    how = add.add_mutually_exclusive_group()
    how.add_argument("--hint", dest="level", action="store_const", const="hint", help="a hint in place of the name")
    how.add_argument("--answer", dest="level", action="store_const", const="answer", help="show the right line, too")
    add.value("--plot", "FILE.png", "draw where gradients are wrong")
    add.set_defaults(level="name")


def explain(add: Parser) -> None:
    add.example(
        'minigpt explain runs/tiny-1 --prompt "Anna was looking for her red ball." --out page.html',
        "minigpt explain --kernels --out kernels.html",
    )
    add.run_folder()
    add.value("--prompt", "TEXT", "the text; BERT's may have [MASK]")
    add.value("--out", "FILE.html", "the page, one file that needs no other", required=True)
    target = "what a model with an encoder should write, or what stands at [MASK]; by default what it would say"
    add.value("--target", "TEXT", target)
    layers = "of which everything is shown, counted from 1; by default as many as a page has room for"
    add.count("--layers", layers, nargs="+")
    add.count("--heads", "of which attention is shown, counted from 1; by default all", nargs="+")
    add.flag("--replay", "also a slider over all of the run's checkpoints")
    kernels = "instead of a model, flash attention's CUDA kernel on the CPU: blocks, tiles, threads, barrier by barrier"
    add.flag("--kernels", kernels)
    add.flag("--force", "replace the file in --out if there is one")
