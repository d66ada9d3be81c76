"""Whatever bytes stand in the files: they are read, or refused with one sentence."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import minigpt
from minigpt.core.errors import UserError

from ..tiers import examples
from .files import gpt2_folder

MANY = settings(max_examples=examples(150), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return gpt2_folder(tmp_path_factory.mktemp("fuzz") / "hf")


def opened_or_refused(folder):
    try:
        minigpt.load(folder)
    except UserError as error:
        assert str(error) and "\n\n" not in str(error)


@MANY
@given(data=st.data())
def test_weight_files(folder, data):
    path = folder / "model.safetensors"
    good = path.read_bytes()
    try:
        header = 8 + int.from_bytes(good[:8], "little")
        place = data.draw(st.integers(0, header + 20))
        end = data.draw(st.integers(place, min(place + 30, len(good))))
        path.write_bytes(good[:place] + data.draw(st.binary(max_size=30)) + good[end:])
        opened_or_refused(folder)
    finally:
        path.write_bytes(good)


@MANY
@given(data=st.data())
def test_headers(folder, data):
    path = folder / "model.safetensors"
    good = path.read_bytes()
    length = int.from_bytes(good[:8], "little")
    header = json.loads(good[8 : 8 + length])
    try:
        name = data.draw(st.sampled_from(sorted(header)))
        key = data.draw(st.sampled_from(["dtype", "shape", "data_offsets", ""]))
        if key:
            header[name] = {**header[name], key: data.draw(JSON)}
        else:
            header[name] = data.draw(JSON)
        text = json.dumps(header).encode()
        path.write_bytes(len(text).to_bytes(8, "little") + text + good[8 + length :])
        opened_or_refused(folder)
    finally:
        path.write_bytes(good)


@MANY
@given(data=st.data())
def test_configurations(folder, data):
    path = folder / "config.json"
    good = path.read_text()
    values = json.loads(good)
    try:
        key = data.draw(st.sampled_from([*sorted(values), "add_cross_attention", "n_ctx"]))
        path.write_text(json.dumps({**values, key: data.draw(JSON)}))
        opened_or_refused(folder)
    finally:
        path.write_text(good)


@MANY
@given(
    weight_map=st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.just("a.safetensors") | JSON, max_size=4)
)
def test_indices(folder, weight_map):
    weights, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    good = weights.read_bytes()
    try:
        weights.unlink()
        (folder / "a.safetensors").write_bytes(good)
        index.write_text(json.dumps({"weight_map": weight_map}))
        opened_or_refused(folder)
    finally:
        index.unlink()
        (folder / "a.safetensors").unlink()
        weights.write_bytes(good)
