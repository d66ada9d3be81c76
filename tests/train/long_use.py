"""Makes a run that has gone on for very long, and measures what opening and resuming it takes, in a process of its own.

python -m tests.train.long_use RUN      prints CPU seconds and megabytes
"""

import json
import os
import resource
import shutil
import sys
from pathlib import Path

from minigpt.train.integrity import LIST, Entry, checkpoint_paths, digest_of, sealed


def relist(run: Path, **positions: int) -> None:
    """Write the lists of a run's checkpoints anew, of the files as they are now."""
    digests = {name: digest_of(run / name).entry() for name in ("config.toml", "tokenizer.json", *positions)}
    for checkpoint in checkpoint_paths(run):
        state = json.loads((checkpoint / "state.json").read_bytes())
        state["positions"] = positions
        (checkpoint / "state.json").unlink()  # it may be linked to another checkpoint's
        (checkpoint / "state.json").write_text(json.dumps(state | {"step": int(checkpoint.name[5:])}))
        own = ("model.safetensors", "optimizer.safetensors", "state.json")
        entries: dict[str, Entry] = {**digests, **{name: digest_of(checkpoint / name).entry() for name in own}}
        (checkpoint / LIST).unlink()
        (checkpoint / LIST).write_bytes(sealed({"files": entries}))


def age(run: Path, *, lines: int, checkpoints: int) -> None:
    """Give a short run a log of so many lines, as many samples as there would be, and so many checkpoints."""
    (last,) = checkpoint_paths(run)[-1:]
    with open(run / "log.jsonl", "w") as log, open(run / "samples.txt", "w") as samples:
        for step in range(1, lines + 1):
            log.write(f'{{"step": {step}, "loss": 2.1234567890123456, "lr": 0.001, "grad_norm": 0.7654321098765432}}\n')
            if step % 200 == 0:
                log.write(f'{{"step": {step}, "val_loss": 2.345678901234567, "val_tokens": 20000}}\n')
                samples.write(f"--- step {step} ---\n{'a few words ' * 25}\n\n")
    for path in checkpoint_paths(run)[:-1]:
        shutil.rmtree(path)
    for number in range(checkpoints):
        shutil.copytree(last, run / "checkpoints" / f"step-{lines - number}", copy_function=os.link)
    shutil.rmtree(last)
    (run / "finished.json").unlink(missing_ok=True)
    relist(run, **{name: (run / name).stat().st_size for name in ("log.jsonl", "samples.txt")})


def measure(run: str) -> dict[str, float]:
    """Open a run, and resume it up to its first step."""
    from minigpt.interop.loaded import load
    from minigpt.train.opening import open_run
    from minigpt.train.run_folder import locked

    load(run)
    with locked(Path(run)):
        open_run(run).resume()
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return {"seconds": usage.ru_utime + usage.ru_stime, "megabytes": usage.ru_maxrss / 1024}


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1])))
