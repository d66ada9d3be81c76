"""What is done with every format: its valid files, which of them are damaged, and what reads them."""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from importlib.util import find_spec
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np

import minigpt
from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.data.encoded import encode_files
from minigpt.data.sentences import FORMS, split_documents
from minigpt.data.text import read_pieces, resolve_sources, whole_files
from minigpt.interop.chat.template import find_template
from minigpt.lab.scaling.family import open_family
from minigpt.tasks import TASKS
from minigpt.tasks.readers.stories import read_rocstories
from minigpt.tokenizers import ByteTokenizer
from minigpt.tokenizers.base import fingerprint
from minigpt.train.best import best_so_far
from minigpt.train.checkpoint import checkpoint_paths, load_state, restore_optimizer
from minigpt.train.config import apply_settings, build_config, preset_names, read_preset, read_toml
from minigpt.train.families import make_model
from minigpt.train.log import last_sample, read_log
from minigpt.train.optimizer import AdamW

from . import samples, task_samples
from .hub_answers import hub_answers, use_hub
from .mutate import mutated
from .samples import Files

STORED = Path(__file__).resolve().parents[1] / "train" / "stored" / "run"
HOSTILE_TEXT = (
    "The cat's 12 hats:\n\t“é日🙂ﬁ” aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!  <s>[MASK]</w> hat \u2028\0x<unk>" + "ab" * 60
)


class Format(NamedTuple):
    """A format.

    Attributes:
        name: in the table.
        make: the valid files, by their path in a folder.
        kinds: which of them are damaged, and how a damaged one keeps its structure (`mutate.KINDS`).
        use: reads the folder, of which the named file is damaged; raises UserError to refuse it.
        writes: whether reading writes into the folder.
    """

    name: str
    make: Callable[[], Files]
    kinds: dict[str, str]
    use: Callable[[Path, str], object]
    writes: bool = False


LONGEST_SENTENCE = 1000  # characters


def refusing(*calls: Callable[[], object]) -> None:
    """What is open is used: each call may refuse on its own, and then says so in a sentence of a decent length."""
    for call in calls:
        try:
            call()
        except UserError as error:
            assert 0 < len(str(error)) <= LONGEST_SENTENCE, len(str(error))


def use_tokenizer(folder: Path, name: str, *, file: str = "", pattern: str | None = None) -> None:
    """Open it, and do all that can be done with one."""
    exercise(tokenizers.load(folder / file if file else folder, pattern=pattern))


def exercise(t: Any) -> None:
    def there_and_back() -> None:
        t.decode(t.encode(HOSTILE_TEXT))

    def with_special() -> None:
        ids, spans = t.encode_with_offsets(HOSTILE_TEXT, allowed="all")
        assert ids == t.encode(HOSTILE_TEXT, allowed="all") and len(spans) == len(ids)

    def every_id() -> None:
        ids = range(min(t.vocab_size, 400))
        (
            t.decode(ids),
            [t.token(i) for i in ids],
            t.byte_count(list(ids)[:5]),
            t.decode([t.vocab_size - 1] * min(t.vocab_size, 2)),
        )

    refusing(
        there_and_back,
        with_special,
        every_id,
        lambda: tokenizers.encode_text(t, HOSTILE_TEXT),
        lambda: tokenizers.encode_pair(t, "a", "b"),
        lambda: (fingerprint(t), t.last_cut(HOSTILE_TEXT)),
        lambda: json.dumps(t.to_json(), ensure_ascii=False).encode("utf-8"),
    )


def use_model(folder: Path, name: str, *, file: str = "") -> None:
    """Open it, and let it compute and write."""
    m = minigpt.load(folder / file if file else folder)
    refusing(
        lambda: m.logits([[0, 1, 2]]),
        m.settings,
        lambda: m.generate_ids([[1, 2]], max_new_tokens=2) if m.model.family != "bert" else None,
        lambda: m.tokenizer is not None and m.generate("A ha", max_new_tokens=2),
    )


def use_chat(folder: Path, name: str) -> None:
    """Fill the template, as it stands in its file and in the tokenizer's."""
    template = find_template(folder, None, {})
    talk = [{"role": "system", "content": "a"}, {"role": "user", "content": HOSTILE_TEXT}]
    if template is not None:
        refusing(lambda: template.text(talk), lambda: template.text(talk[1:]))


def use_run(folder: Path, name: str) -> None:
    m = minigpt.load(folder)
    checkpoint = checkpoint_paths(folder)[-1]
    state = load_state(checkpoint)
    step, start = state["step"], state["positions"]["samples.txt"]
    optimizer = AdamW(m.params, m.config.optimizer)
    refusing(
        lambda: m.generate("A", max_new_tokens=2),
        lambda: (read_log(folder), last_sample(folder, step, start), best_so_far(folder, "loss")),
        lambda: restore_optimizer(checkpoint, optimizer, state["updates"]),
    )


def run_files() -> Files:
    return {str(p.relative_to(STORED)): p.read_bytes() for p in sorted(STORED.rglob("*")) if p.is_file()}


def use_configuration(folder: Path, name: str) -> None:
    _plan(build_config(read_toml(folder / name)))


def _plan(config: Any) -> None:
    if not config.model.vocab_size:  # as many as the tokenizer has
        config = replace(config, model=replace(config.model, vocab_size=300))
    sum(spec.size for spec in make_model(config).specs)


def use_settings(folder: Path, name: str) -> None:
    """Lines as they are given to --set."""
    lines = (folder / name).read_bytes().decode("utf-8", "surrogateescape").split("\n")
    _plan(build_config(apply_settings(read_preset("gpt2-tiny"), [line for line in lines if line])))


def preset_files() -> Files:
    names = [name for name in preset_names() if name.endswith("tiny")]
    folder = Path(minigpt.__file__).parent / "train" / "presets"
    return {f"{name}.toml": (folder / f"{name}.toml").read_bytes() for name in names} | {
        "config.toml": run_files()["config.toml"]
    }


SETTINGS = """train.steps=10
model.width=24
model.heads=2
model.layers=2
model.norm="post"
model.context=32
data.sources=["a", "b"]
optimizer.beta2=0.99
schedule.peak=1e-3
train.eval_every=5
sample.prompt=A b
train.dtype=float64"""


def use_task(folder: Path, name: str) -> None:
    task = name.split("/")[0]
    if task == "roc":
        read_rocstories(folder / name)
    else:
        TASKS[task].read(folder / task, task_samples.SPLITS.get(task, "dev"))


def task_files(texts: dict[str, str]) -> Files:
    return {name: text.encode("utf-8") for name, text in texts.items()}


TOKEN_TEXT = b"First one.\n\nThen another.\n" * 5


def use_token_shards(folder: Path, name: str) -> None:
    """Whatever lies in the cache: what comes out are the ids of the text."""
    os.environ["MINIGPT_CACHE"] = str(folder)
    encoded = encode_files([folder / "text.txt"], ByteTokenizer(), "a" * 64)
    assert bytes(np.asarray(encoded.ids)) == TOKEN_TEXT
    encoded.part().scored_bytes()


def token_shards() -> Files:
    def write(folder: Path) -> None:
        (folder / "text.txt").write_bytes(TOKEN_TEXT)
        before = os.environ.get("MINIGPT_CACHE")
        try:
            use_token_shards(folder, "")
        finally:
            os.environ.pop("MINIGPT_CACHE") if before is None else os.environ.update(MINIGPT_CACHE=before)

    return samples.files_of(write)


def use_text(folder: Path, name: str) -> None:
    files = resolve_sources([str(folder)])
    refusing(
        *(lambda form=form: list(split_documents(read_pieces(files), form)) for form in FORMS),
        lambda: list(whole_files(files)),
        lambda: tokenizers.train("char", files),
    )


FAMILY = {"sizes": ["2x32", "3x48"], "data": "storyworld", "tokens": 1e5, "seeds": 1, "steps": 20, "floor": 0.5}
FAMILY |= {"step_tokens": 512.0, "context": 64, "validation_fraction": 0.1}


def _json(make: Callable[[], Files], use: Callable[[Path, str], object] = use_tokenizer) -> dict[str, Any]:
    return {"make": make, "kinds": {"tokenizer.json": "json"}, "use": use}


_FOLDER = {name: "json" for name in ("config.json", "generation_config.json", "tokenizer_config.json")}
_FOLDER |= {"special_tokens_map.json": "json", "tokenizer.json": "json", "model.safetensors": "safetensors"}
_TASKS = {"tabs": (task_samples.TABS, "text"), "commas": (task_samples.COMMAS, "text")}
_TASKS |= {"json": (task_samples.JSON_FILES, "json"), "json-lines": (task_samples.JSON_LINES, "jsonl")}
_TASKS |= {"xml": (task_samples.MARKUP, "text"), "lines": (task_samples.PLAIN, "text")}


def _formats() -> list[Format]:
    found = [
        Format("tokenizer-byte-bpe", **_json(lambda: samples.saved(samples.byte_bpe()))),
        Format("tokenizer-wordpiece", **_json(lambda: samples.saved(samples.word_piece()))),
        Format("tokenizer-gpt", **_json(lambda: samples.saved(samples.gpt_bpe()))),
        Format(
            "tokenizer-sentencepiece", **_json(lambda: samples.saved(samples.SentencePieceBPE(samples.little_llama())))
        ),
        Format("tokenizer-char", **_json(lambda: samples.saved(tokenizers.CharTokenizer("ab \u2028\0é.ATh")))),
        Format("steps-bpe", **_json(samples.bpe_steps)),
        Format("steps-unigram", **_json(samples.unigram_steps)),
        Format("steps-words", **_json(samples.word_steps)),
        Format("vocab-merges", samples.gpt2_vocabulary, {"vocab.json": "json", "merges.txt": "text"}, use_tokenizer),
        Format(
            "gpt-files",
            samples.gpt_vocabulary,
            {"encoder_bpe_40000.json": "json", "vocab_40000.bpe": "text"},
            use_tokenizer,
        ),
        Format(
            "merges-alone",
            lambda: {"vocab.bpe": samples.gpt2_vocabulary()["merges.txt"]},
            {"vocab.bpe": "text"},
            use_tokenizer,
        ),
        Format(
            "vocab-txt", samples.bert_vocabulary, {"vocab.txt": "text", "tokenizer_config.json": "json"}, use_tokenizer
        ),
        Format("tiktoken", samples.ranks, {"ranks.tiktoken": "text"}, partial(use_tokenizer, pattern="gpt2")),
        Format("sentencepiece-bpe", lambda: samples.sentencepiece(2), {"tokenizer.model": "protobuf"}, use_tokenizer),
        Format(
            "sentencepiece-unigram", lambda: samples.sentencepiece(1), {"tokenizer.model": "protobuf"}, use_tokenizer
        ),
        Format("hf-gpt2", samples.gpt2_folder, _FOLDER, use_model),
        Format("hf-llama", samples.llama_folder, _FOLDER, use_model),
        Format("hf-bert", samples.bert_folder, _FOLDER, use_model),
        Format("hf-bart", samples.bart_folder, _FOLDER, use_model),
        Format(
            "safetensors-shards",
            samples.shards,
            {"model.safetensors.index.json": "json", "model-0.safetensors": "safetensors"},
            use_model,
        ),
        Format("gpt-arrays", samples.released_arrays, {"params_shapes.json": "json", "params_0.npy": "npy"}, use_model),
        Format(
            "llama2c",
            samples.llama2c_files,
            {"model.bin": "integers", "tokenizer.bin": "integers"},
            partial(use_model, file="model.bin"),
        ),
        Format(
            "run",
            run_files,
            {
                **{"config.toml": "toml", "tokenizer.json": "json", "log.jsonl": "jsonl", "samples.txt": "text"},
                "checkpoints/step-6/state.json": "json",
                "checkpoints/step-6/model.safetensors": "safetensors",
                "checkpoints/step-6/optimizer.safetensors": "safetensors",
            },
            use_run,
        ),
        Format("configuration", preset_files, dict.fromkeys(preset_files(), "toml"), use_configuration),
        Format("set", lambda: {"settings": SETTINGS.encode()}, {"settings": "text"}, use_settings),
        Format("text", lambda: {"text.txt": samples.TEXT.encode()}, {"text.txt": "text"}, use_text),
        Format(
            "scaling",
            lambda: {"family.json": samples.as_json(FAMILY)},
            {"family.json": "json"},
            lambda f, n: open_family(f),
        ),
    ]
    shards = token_shards()
    kinds = {name: "json" if name.endswith(".json") else "bytes" for name in shards if name != "text.txt"}
    found.append(Format("token-shards", lambda: shards, kinds, use_token_shards, writes=True))
    if find_spec("gguf"):  # which writes the valid file
        use = partial(use_model, file="model.gguf")
        found.append(Format("gguf", samples.gguf_file, {"model.gguf": "integers"}, use))
    if find_spec("jinja2"):
        kinds = {"chat_template.jinja": "text", "tokenizer_config.json": "json"}
        found.append(Format("chat-template", samples.chat_folder, kinds, use_chat))
    if find_spec("huggingface_hub"):
        kinds = {"answers/model.json": "json", "answers/tree.json": "json", "answers/headers": "text"}
        kinds |= {"config.json": "json", "model.safetensors.index.json": "json"}
        found.append(Format("hub-answers", hub_answers, kinds, use_hub, writes=True))
    for name, (texts, kind) in _TASKS.items():
        found.append(Format(f"task-{name}", partial(task_files, texts), dict.fromkeys(texts, kind), use_task))
    return found


@cache
def formats() -> dict[str, Format]:
    """All of them, by name."""
    return {found.name: found for found in _formats()}


class Damaged(NamedTuple):
    """One input: which file of a format it is, and its bytes."""

    file: str
    data: bytes


class Bench:
    """A folder with the valid files of a format, in which one after the other is damaged."""

    def __init__(self, name: str, folder: Path):
        self.format, self.folder = formats()[name], folder / name
        self.files = self.format.make()
        self.put(self.files)
        self._others = list(self.files.values())

    def put(self, files: Files) -> None:
        for name, data in files.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)

    def damaged(self, random: Random) -> Damaged:
        """An input that is not the valid file itself, except by chance."""
        file = random.choice(list(self.format.kinds))
        return Damaged(file, mutated(self.files[file], self.format.kinds[file], self._others, random))

    def use(self, damaged: Damaged) -> UserError | None:
        """Read the folder with the damaged file in it: None, or what refuses it. Then the folder is whole again."""
        self.put({damaged.file: damaged.data})
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                self.format.use(self.folder, damaged.file)
        except UserError as error:
            return error
        finally:
            if self.format.writes:
                shutil.rmtree(self.folder)
                self.put(self.files)
            else:
                self.put({damaged.file: self.files[damaged.file]})
        return None


def drawn(name: str, seed: int, number: int) -> Random:
    """The random numbers that one input is made of: the same on every machine."""
    return Random(f"{name}/{seed}/{number}")
