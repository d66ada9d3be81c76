"""Training a family: resumed where it stopped, never overwritten, its floor that of its validation text."""

import itertools
import json
import math

import pytest

from minigpt import tokenizers
from minigpt.core.errors import UserError
from minigpt.data import storyworld
from minigpt.lab.scaling import Size, family, open_family, results, start_family, train_family
from minigpt.train.run_folder import load_config

SMALL = (Size(1, 8), Size(1, 12), Size(1, 18))


@pytest.fixture
def small(monkeypatch):
    """Ten validation documents, a small vocabulary, four evaluations."""
    for name, value in {
        "_VALIDATION": 10,
        "_TOKENIZER": "bpe:400",
        "EVALUATIONS": 4,
        "WARMUP": 5,
    }.items():
        monkeypatch.setattr(family, name, value)


def contents(folder):
    return {p.relative_to(folder): p.read_bytes() for p in sorted((folder / "runs").rglob("*")) if p.is_file()}


@pytest.mark.slow("test_rows_of_a_list_or_of_several, and the command on a text of ones own")
def test_a_story_world_family(small, tmp_path, monkeypatch):
    out = tmp_path / "family"
    made = start_family(out, sizes=SMALL, tokens=8_000)
    assert open_family(out) == made and made.steps % 4 == 0
    assert made.steps * made.step_tokens == pytest.approx(8_000, rel=0.2)
    documents = list(itertools.islice(storyworld.stream(0, "dev"), 10))
    texts = (out / "text.txt").read_text().rstrip("\n").split("\n\n")
    assert texts[-10:] == [d.text for d in documents]
    assert all(storyworld.split_of(text) == "train" for text in texts[:-10])

    asked = itertools.count()
    assert not train_family(out, made, should_stop=lambda: next(asked) > 12)  # stopped within a run
    begun = []
    assert train_family(out, made, on_run=lambda member: begun.append(member.name))
    assert begun and begun[-1] == "1x18-seed-0"
    before = contents(out)
    assert train_family(out, made, on_run=lambda member: pytest.fail("everything is trained"))
    assert contents(out) == before

    whole = tmp_path / "whole"
    train_family(whole, start_family(whole, sizes=SMALL, tokens=8_000))
    log = "runs/1x8-seed-0/log.jsonl"
    assert (whole / log).read_bytes() == (out / log).read_bytes()  # interrupted or not, the same bits

    points, names = results.read_points(out, made)
    assert names == [f"{s}-seed-0" for s in SMALL] and len(points.losses) == 9
    entropy = -sum(d.log_p for d in documents) / _tokens(out, documents)
    assert made.floor == pytest.approx(entropy)
    assert (points.losses > made.floor).all()
    monkeypatch.setattr(results, "_DRAWS", 10)
    found = results.measure(out, made, shots=(1, 0), questions=3)
    assert set(found.fits) >= {"parameters", "joint"} and not found.predictions
    assert list(found.shots) == names and [k for k, *_ in found.shots[names[0]]] == [0, 1]


def _tokens(out, documents):
    return sum(len(tokenizers.load(out).encode(d.text)) + 1 for d in documents)


def test_documents_of_one_kind(small, tmp_path):
    """Their floor is that of documents which are known to be of this kind."""
    made = start_family(tmp_path / "lists", sizes=SMALL, data="storyworld:list", tokens=3_000)
    documents = list(itertools.islice(storyworld.stream(0, "dev", "list"), 10))
    text = (tmp_path / "lists" / "text.txt").read_text()
    assert text.endswith("\n\n".join(d.text for d in documents) + "\n")
    within = -sum(d.log_p - math.log(storyworld.SHARES["list"] / 100) for d in documents)
    assert made.floor == pytest.approx(within / _tokens(tmp_path / "lists", documents))
    with pytest.raises(UserError, match="has no documents of the kind 'poem'"):
        start_family(tmp_path / "poems", sizes=SMALL, data="storyworld:poem", tokens=3_000)


def test_rows_of_a_list_or_of_several(small, tmp_path):
    """How long rows are is kept with the family; one that was made before this could be chosen has 256."""
    out = tmp_path / "lists"
    made = start_family(out, sizes=SMALL, data="storyworld:list", tokens=3_000, context=100)
    assert train_family(out, made)
    for member in family.members(out, made):
        assert load_config(member.folder).model.context == 100
    tokenizer = tokenizers.load(out)
    lengths = [len(tokenizer.encode(text)) + 1 for text in (out / "text.txt").read_text().split("\n\n")]
    assert max(lengths) <= 100
    usual = start_family(tmp_path / "usual", sizes=SMALL, data="storyworld:list", tokens=3_000)
    in_a_row = [one.step_tokens / family.BATCH / (sum(lengths) / len(lengths)) for one in (made, usual)]
    assert 0.9 < in_a_row[0] < 1.6 and in_a_row[1] > 3  # lists
    settings = json.loads((out / "family.json").read_text())
    assert settings.pop("context") == 100
    (out / "family.json").write_text(json.dumps(settings))
    assert open_family(out) == made._replace(context=256)


def test_what_is_refused(small, tmp_path, text_file):
    text_file.write_text(text_file.read_text() * 6)
    with pytest.raises(UserError, match="the same size is given twice"):
        start_family(tmp_path / "a", sizes=(Size(1, 8), Size(1, 8)), data=str(text_file), tokens=1000)
    with pytest.raises(UserError, match="is not a folder that `minigpt scaling` made"):
        open_family(tmp_path)
    made = start_family(tmp_path / "b", sizes=SMALL, data=str(text_file), tokens=1000)
    assert made.floor is None
    with pytest.raises(UserError, match="exists already, and nothing is ever overwritten"):
        start_family(tmp_path / "b", sizes=SMALL, data=str(text_file), tokens=1000)
    with pytest.raises(UserError, match="has 0 finished runs"):
        results.read_points(tmp_path / "b", made)
    (tmp_path / "b" / "family.json").write_text('{"sizes": ["1x8"]}')
    with pytest.raises(UserError, match="is damaged"):
        open_family(tmp_path / "b")
