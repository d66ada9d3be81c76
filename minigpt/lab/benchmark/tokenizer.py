"""Time byte-level BPE against the libraries it is compared with: interleaved, so that all see the same machine.

"train" is from files to merges; "encode cold" starts with empty caches; "encode warm" is the second time over the same
text. tiktoken keeps no cache, so its one number stands beside both. Of times, and of each round's ratios, there are
medians with their 95% intervals.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from minigpt.core.errors import UserError
from minigpt.core.files import read_text
from minigpt.lab.benchmark.contest import interval
from minigpt.tokenizers.byte_bpe import ByteBPE
from minigpt.tokenizers.loading import load
from minigpt.tokenizers.making import train


def bench(
    files: Sequence[str],
    merges: int,
    repeats: int,
    rivals: Sequence[str],
    vocab: str | None = None,
    clock: str = "wall",
    progress: Callable[[], object] = lambda: None,
) -> dict[str, Any]:
    """Run every task `repeats` times, ours and theirs in turn, and return the medians, speeds and whether all agree.

    Args:
        clock: "wall" or "cpu", the processor time of this process, all its threads together.
    """
    now = time.process_time if clock == "cpu" else time.perf_counter
    text = "".join(read_text(file) for file in files)
    seconds: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    same: dict[str, bool] = {}
    trained = train("bpe", list(files), 256 + merges)
    tokenizer = load(vocab) if vocab else trained
    if not isinstance(tokenizer, ByteBPE):
        raise UserError(f"{vocab} is not a byte-level BPE")
    theirs = _rival_encoder(tokenizer) if "tiktoken" in rivals else None
    for _ in range(repeats):
        ours = _timed(now, seconds["train"]["minigpt"], lambda: train("bpe", list(files), 256 + merges))
        if "tokenizers" in rivals:
            learned = _timed(now, seconds["train"]["tokenizers"], lambda: _train_hf(files, merges))
            same["merges"] = same.get("merges", True) and learned() == ours.merges
        tokenizer.forget()
        cold = _timed(now, seconds["encode cold"]["minigpt"], lambda: tokenizer.encode(text))
        warm = _timed(now, seconds["encode warm"]["minigpt"], lambda: tokenizer.encode(text))
        if theirs:
            ids = _timed(now, seconds["encode warm"]["tiktoken"], lambda: theirs.encode_ordinary(text))
            same["ids"] = same.get("ids", True) and ids == cold == warm
        progress()
    if theirs:
        seconds["encode cold"]["tiktoken"] = seconds["encode warm"]["tiktoken"]
    size = len(text.encode("utf-8"))
    tasks = {task: _summary(times, size) for task, times in seconds.items()}
    return {"bytes": size, "merges": len(trained.merges), "tasks": tasks, "same": same}


def _timed(now: Callable[[], float], times: list[float], work: Callable[[], Any]) -> Any:
    start = now()
    result = work()
    times.append(now() - start)
    return result


def _summary(times: dict[str, list[float]], size: int) -> dict[str, Any]:
    ours = times["minigpt"]
    others = {name: values for name, values in times.items() if name != "minigpt"}
    speed = {name: interval([b / a for a, b in zip(ours, values, strict=True)]) for name, values in others.items()}
    return {
        "seconds": interval(ours).median,
        "mb_per_second": size / 1e6 / interval(ours).median,
        "others": {name: interval(values).median for name, values in others.items()},
        "speed": {name: ratio.median for name, ratio in speed.items()},
        "speed_interval": {name: [ratio.low, ratio.high] for name, ratio in speed.items()},
    }


def _train_hf(files: Sequence[str], merges: int) -> Callable[[], list[tuple[str, str]]]:
    """Train with Hugging Face; the merges are read from its file by the function returned, outside the timing."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=256 + merges, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train([str(file) for file in files], trainer)
    return lambda: [tuple(pair) for pair in json.loads(tokenizer.to_str())["model"]["merges"]]


def _rival_encoder(tokenizer: ByteBPE) -> Any:
    """tiktoken with the same vocabulary. Ids are ranks there, so they must be in merge order; ours are."""
    import tiktoken

    special = tokenizer.special_tokens
    ranks = {data: i for i, data in tokenizer.bytes_of_tokens().items() if i not in special.values()}
    return tiktoken.Encoding(
        "minigpt", pat_str=tokenizer.pattern, mergeable_ranks=ranks, special_tokens=special, explicit_n_vocab=None
    )
