"""The commands of the command line, one file each: `add_parser` says what it takes, `run` does it."""

COMMANDS = {  # in the order of the help, each with its line there, so that the help needs no command's module
    "train": "train a model and print samples of what it writes",
    "finetune": "train a pretrained model on the examples of a task",
    "sample": "let a trained model write",
    "embed": "turn texts into vectors, for comparing and finding texts",
    "eval": "measure a model's loss, perplexity and bits per byte on a text",
    "zeroshot": "measure what a model can do on tasks that it was not trained for",
    "fewshot": "measure what a model makes of examples in its context, without training on them",
    "average": "average the weights of a run's last checkpoints",
    "data": "write texts and tasks of the story world",
    "gradcheck": "compare every hand-written gradient with numeric differences, in float64",
    "plan": "work out on paper what training a model takes: parameters, arithmetic, memory, a layout, days and cost",
    "plot": "draw a run's loss, learning rate and gradient norm as PNG",
    "scaling": "train a family of sizes and fit how their loss falls with parameters, tokens and compute",
    "tokenizer": "train, use and look at tokenizers",
    "convert": "turn a model of another implementation into a run, or a run into one of theirs",
    "bench": "measure speed on this machine",
    "info": "say what works on this machine (Python, BLAS, threads, CuPy, GPU, compiler)",
}
