"""Every format: its valid files are read, what once failed is read or refused, and so are some damaged files."""

import faulthandler
import json
import os
import signal
from pathlib import Path
from random import Random

import pytest

from minigpt.core import limits
from minigpt.core.errors import UserError
from minigpt.tokenizers.pipeline import normalizers

from . import formats as table
from . import hostile, measuring, mutate, workers
from .formats import Bench, Damaged, Format, drawn, formats
from .workers import Outcome, tried

CORPUS = Path(__file__).parent / "corpus"
OPTIONAL = ("gguf", "chat-template", "hub-answers")  # need packages that the core does without
NAMES = [pytest.param(name, marks=pytest.mark.parity) if name in OPTIONAL else name for name in formats()]
GOOD = ("accepted", "refused")


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    """The bench of a format, made once."""
    folder, made = tmp_path_factory.mktemp("fuzz"), {}

    def of(name: str) -> Bench:
        if name not in made:
            made[name] = Bench(name, folder)
        return made[name]

    return of


@pytest.fixture(autouse=True)
def little_time(monkeypatch):
    monkeypatch.setenv("MINIGPT_CACHE", "/nowhere")  # token shards set it, for good
    monkeypatch.setattr(limits, "PATTERN_SECONDS", 0.01)  # all of which some patterns take
    monkeypatch.setattr(normalizers, "GROWN_CHARACTERS", 1000)


@pytest.mark.parametrize("name", NAMES)
def test_valid_files_are_read(name, bench, monkeypatch):
    monkeypatch.setattr(limits, "PATTERN_SECONDS", 60)  # a good pattern is not judged by a slow machine's clock
    whole = bench(name)
    for file in list(whole.format.kinds)[:1]:
        assert whole.use(Damaged(file, whole.files[file])) is None


def test_readers_whose_lines_are_counted_exist():
    assert [name for name in measuring.READERS if not (measuring.PACKAGE / name).is_file()] == []


def corpus() -> list[tuple[str, Path]]:
    """Files that once ended in a traceback, a hang or too much memory: FORMAT/WHAT/PATH in the format's folder."""
    found = [path.relative_to(CORPUS) for path in sorted(CORPUS.rglob("*")) if path.is_file()]
    return [(path.parts[0], path) for path in found]


@pytest.mark.parametrize(("name", "path"), corpus(), ids=lambda value: str(value))
def test_what_once_failed(name, path, bench):
    file, kinds = str(Path(*path.parts[2:])), bench(name).format.kinds
    if file not in kinds:  # it is called by a hash
        file = next(known for known in kinds if known.endswith(path.suffix))
    assert tried(bench(name), Damaged(file, (CORPUS / path).read_bytes())) in GOOD


FORMATS = ("hf-gpt2", "tiktoken", "sentencepiece-bpe", "vocab-merges", "gpt-arrays", "scaling")


@pytest.mark.parametrize("name", [*FORMATS, "task-commas", "task-xml", "llama2c"])
def test_pipes_devices_and_folders_are_refused(name, tmp_path):
    """In the place of each file; a pipe that nobody writes into would be waited for, a device be read without end."""
    whole = Bench(name, tmp_path)
    for file in whole.format.kinds:
        path = whole.folder / file
        for put in (lambda p: os.mkfifo(p), lambda p: p.symlink_to("/dev/zero"), lambda p: p.mkdir()):
            path.unlink()
            put(path)
            signal.alarm(300)  # ends the tests with a message, should it wait
            try:
                whole.format.use(whole.folder, file)  # what is not needed may be left out
            except UserError as error:
                assert str(error)
            signal.alarm(0)
            path.rmdir() if path.is_dir() else path.unlink()
            whole.put(whole.files)


@pytest.mark.parametrize("name", NAMES)
def test_damaged_files_are_read_or_refused(name, bench):
    for number in range(4):
        damaged = bench(name).damaged(drawn(name, 1, number))
        assert tried(bench(name), damaged) in GOOD, (number, damaged.file, damaged.data[:300])


def test_an_input_is_a_function_of_format_seed_and_number(bench):
    for name in ("hf-gpt2", "sentencepiece-bpe", "task-tabs"):
        first = [bench(name).damaged(drawn(name, 0, n)) for n in range(20)]
        assert first == [bench(name).damaged(drawn(name, 0, n)) for n in range(20)]
        assert sum(bench(name).files[d.file] != d.data for d in first) >= 15


@pytest.mark.parametrize("kind", mutate.KINDS)
def test_most_damage_changes_something(kind, bench):
    whole = next(b.files[f] for b in map(bench, formats()) for f, k in b.format.kinds.items() if k == kind)
    found = {mutate.mutated(whole, kind, [whole], Random(n)) for n in range(25)} - {whole}
    assert len(found) > 15


def test_structure_survives_most_of_the_damage_that_keeps_it():
    good = 0
    for n in range(100):
        try:
            json.loads(mutate.KINDS["json"](b'{"a": [1, 2.5, "x"], "b": {"c": null}}', Random(n)))
            good += 1
        except (ValueError, RecursionError):  # numbers of a million digits, and other raw text
            pass
    assert good > 80


def read(folder, name):
    (folder / name).read_bytes()


def hangs(folder, name):
    if (folder / name).read_bytes() != b"good":
        while True:
            pass


def hoards(folder, name):
    if (folder / name).read_bytes() != b"good":
        bytearray(workers.MEGABYTES << 21)


def crashes(folder, name):
    if (folder / name).read_bytes() != b"good":
        faulthandler.disable()  # its report would look like a crash of the tests
        signal.raise_signal(signal.SIGSEGV)


def fails(folder, name):
    if (folder / name).read_bytes() != b"good":
        raise KeyError("x")


@pytest.mark.parametrize(
    ("use", "kind"),
    [
        (hangs, "hang"),
        (hoards, "memory: no module of ours"),
        (crashes, "crash: signal 11"),
        (fails, "traceback: KeyError in no module of ours"),
    ],
)
def test_every_kind_of_failure_is_seen_and_its_input_kept(use, kind, monkeypatch, tmp_path):
    """What reads the files fails as soon as they are damaged: each input is counted, and the worker goes on."""
    broken = Format("broken", lambda: {"x": b"good"}, {"x": "bytes"}, use)
    monkeypatch.setattr(table, "formats", lambda: {"broken": broken})
    monkeypatch.setattr(workers, "SECONDS", 0.01 if use is hangs else 60.0)
    outcome: Outcome = workers.run("broken", range(4), 0, tmp_path)
    assert (
        outcome.inputs == 4 and sum(outcome.counts.values()) + outcome.accepted == 4 and set(outcome.counts) == {kind}
    )
    kept = Path(outcome.failures[kind][0])
    assert kept.read_bytes() != b"good" and kept.is_relative_to(tmp_path / "broken")


def test_a_worker_without_memory_for_the_next_input_leaves_it_to_another(monkeypatch, tmp_path):
    monkeypatch.setattr(table, "formats", lambda: {"any": Format("any", lambda: {"x": b"good"}, {"x": "bytes"}, read)})
    made, damaged = [], Bench.damaged

    def scarce(bench, random):
        made.append(random)  # a process forgets what its children made
        if len(made) > 3:
            raise MemoryError
        return damaged(bench, random)

    monkeypatch.setattr(Bench, "damaged", scarce)
    outcome = workers.run("any", range(8), 0, tmp_path)
    assert (outcome.inputs, outcome.accepted, outcome.counts) == (8, 8, {})


def test_hostile_values_are_all_there():
    """Those that the limits are for: each must be drawn."""
    seen = {str(hostile.value(Random(n))) for n in range(4000)}
    assert {str(10**400), "nan", "\ud800", r"(a|aa)+$", "\0raw0\0", "[]"} <= seen
