"""The commands of the command line: their lines in the help, what gives them their arguments, and what runs them."""

from __future__ import annotations

from typing import NamedTuple


class Command(NamedTuple):
    """A command. Its functions are named as module.function, and imported when they are needed.

    Attributes:
        summary: its line in the help.
        takes: the function of `minigpt.cli.arguments` that gives a parser its arguments.
        run: the function of `minigpt.cli` that does it and gives its exit status, None for 0; by default `run` in the
            module of its name, which begins with its group's.
        ranks: whether processes that `mpiexec` starts share its work; else the first one does it alone.
    """

    summary: str
    takes: str
    run: str = ""
    ranks: bool = False


class Group(NamedTuple):
    """Several commands under one name."""

    summary: str
    examples: tuple[str, ...]
    kinds: dict[str, Command]


DATA = Group(
    "write texts and tasks of the story world, which a program makes up",
    ("minigpt data storyworld", "minigpt data tasks --task story-cloze rte --out tasks"),
    {
        "storyworld": Command("write documents of the story world, with blank lines between", "tasks.documents"),
        "tasks": Command("write tasks made from the story world, in the originals' file formats", "tasks.tasks"),
    },
)
TOKENIZER = Group(
    "train, use and look at tokenizers",
    ("minigpt tokenizer train book.txt --vocab-size 4096 --out book-bpe.json",),
    {
        "train": Command("learn a vocabulary from text files", "tokenizers.train", "tokenizer.run_train"),
        "convert": Command(
            "write a tokenizer in any known format as tokenizer.json", "tokenizers.convert", "tokenizer.run_convert"
        ),
        "encode": Command("turn text into token ids", "tokenizers.encode", "tokenizer.run_encode"),
        "decode": Command("turn token ids into text", "tokenizers.decode", "tokenizer.run_decode"),
        "show": Command("colour the tokens of a text", "tokenizers.show", "tokenizer.run_show"),
    },
)
BENCH = Group(
    "measure speed on this machine",
    ("minigpt bench step --shape S",),
    {
        "machine": Command("name the processor and measure it", "benchmarks.machine", "bench.run_machine"),
        "step": Command("time a training step", "benchmarks.step", "bench.run_step", ranks=True),
        "decode": Command("time writing one text, token by token", "benchmarks.decode", "bench.run_decode"),
        "scaling": Command(
            "plot how time and memory of a step grow with the model", "benchmarks.scaling", "bench.run_scaling"
        ),
        "tokenizer": Command(
            "time training and encoding of byte-level BPE", "benchmarks.tokenizer", "bench.run_tokenizer"
        ),
        "attention": Command("time attention kernel by kernel", "benchmarks.attention", "bench.run_attention"),
    },
)
EXERCISES = Group(
    "give the notebooks' exercises to students, and grade their answers (docs/teaching.md)",
    ("minigpt exercises release course 05-attention", "minigpt exercises grade submitted --out points.csv"),
    {
        "list": Command("list the exercises with their points", "exercises.listed", "exercises.run_list"),
        "release": Command("write the notebooks for students", "exercises.release", "exercises.run_release"),
        "grade": Command("grade students' answers, each in a locked process", "exercises.grade", "exercises.run_grade"),
    },
)
COMMANDS: dict[str, Command | Group] = {  # in the order of the help
    "train": Command("train a model and print samples of what it writes", "training.train", ranks=True),
    "finetune": Command("train a pretrained model on the examples of a task", "tasks.finetune", ranks=True),
    "sample": Command("write a text with a trained model", "models.sample"),
    "chat": Command("talk with a published chat model in the terminal", "models.chat"),
    "embed": Command("turn texts into vectors, to compare and find texts", "models.embed"),
    "eval": Command("measure a model's loss, perplexity and bits per byte on a text", "models.evaluate", ranks=True),
    "zeroshot": Command(
        "measure what a model can do on tasks that it was not trained for", "tasks.zeroshot", ranks=True
    ),
    "fewshot": Command(
        "measure how well a model uses examples in its context, without training on them", "tasks.fewshot"
    ),
    "average": Command("average the weights of a run's last checkpoints", "training.average"),
    "data": DATA,
    "gradcheck": Command("compare every hand-written gradient with finite differences, in float64", "models.gradcheck"),
    "check": Command("find the mistake in a hand-written backward pass of your own", "models.check"),
    "exercises": EXERCISES,
    "plan": Command(
        "estimate what training a model takes: parameters, operations, memory, a layout over GPUs, days and cost",
        "training.plan",
    ),
    "explain": Command(
        "make a page that walks through a model's forward and backward pass on a text, number by number",
        "models.explain",
    ),
    "plot": Command("draw a run's loss, learning rate and gradient norm into a PNG file", "models.plot"),
    "scaling": Command(
        "train models of several sizes, and fit how the loss falls with parameters, tokens and compute",
        "training.scaling",
        ranks=True,
    ),
    "tokenizer": TOKENIZER,
    "convert": Command(
        "turn a model of Hugging Face, llama2.c, … into a run, or a run into such a model", "models.convert"
    ),
    "bench": BENCH,
    "info": Command("say what works on this machine (Python, BLAS, threads, CuPy, GPU, compiler)", "models.info"),
}
