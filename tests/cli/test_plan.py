"""`minigpt plan`: its numbers for people and programs, and one sentence for whatever it cannot plan."""

import pytest

from minigpt.cli import main

from .conftest import json_of


def test_values(capsys):
    v = json_of(capsys, "plan", "gpt3-175b", "--gpu", "a100", "--gpus", "1024", "--price", "2", "--json")
    assert v["parameters"]["total"] == 174_604_259_328
    assert v["flops"]["six_n_d"] == pytest.approx(3.14e23, rel=0.002)
    assert v["time"]["cost"] == pytest.approx(2 * v["time"]["gpu_hours"])
    assert v["time"]["gpu_hours"] == pytest.approx(1024 * v["time"]["seconds"] / 3600)
    assert v["time"]["seconds"] * 0.4 == pytest.approx(v["seconds_at_mfu"]["0.3"] * 0.3)
    each = v["memory"]["state_on_each_gpu"]
    assert each["0"] == 16 * 174_604_259_328 and each["3"] == pytest.approx(each["0"] / 1024)
    split = v["layout"]["split"]
    assert split["data"] * split["tensor"] * split["pipeline"] == 1024


def test_text(capsys):
    assert main(["plan", "llama-7b", "--gpu", "a100", "--tokens", "1T", "--precision", "bf16", "--mfu", "0.5"]) == 0
    out = capsys.readouterr().out
    for part in ("6,738,415,616 parameters", "for 1T tokens", "4.04e+22 FLOPs", "at an MFU of 0.5", "Assumed: the MFU"):
        assert part in out
    assert main(["plan", "bart-large", "--gpus", "3"]) == 0
    assert "Source and target are taken to be equally long" in capsys.readouterr().out


def test_tokens_time_and_gpus_are_proportional(capsys):
    base, more = (
        json_of(capsys, "plan", "gpt2", "--gpus", gpus, "--tokens", tokens, "--json")
        for gpus, tokens in [("8", "10B"), ("16", "5e9")]
    )
    assert base["time"]["seconds"] == pytest.approx(4 * more["time"]["seconds"])


def test_little_is_said_in_small_units(capsys):
    assert main(["plan", "tiny", "--price", "2"]) == 0
    out = capsys.readouterr().out
    v = json_of(capsys, "plan", "tiny", "--price", "2", "--json")["time"]
    assert f"0.4: {v['seconds']:.3g} seconds" in out and f", {v['cost']:.2g} at 2 an hour" in out and v["cost"] < 0.01


def test_what_does_not_fit_is_said(capsys):
    assert main(["plan", "gpt3-175b", "--gpus", "2"]) == 0
    assert "nothing fits that uses them all; 64 are enough" in capsys.readouterr().out
    assert main(["plan", "gpt3-175b", "--gpus", "64", "--mfu", "0.95"]) == 0
    assert "is more than this layout allows" in capsys.readouterr().out


@pytest.mark.slow("the plans for other machines in this file")
def test_this_machine(capsys):
    assert main(["plan", "gpt2-tiny", "--gpu", "cpu"]) == 0
    shown = capsys.readouterr().out
    assert "  it holds  " in shown and "GPU" not in shown
    v = json_of(capsys, "plan", "gpt2-tiny", "--gpu", "cpu", "--json")
    assert v["hardware"] == {"gpu": "CPU", "gpus": 1, "precision": "float32", "fits_on": 1}
    assert v["time"]["seconds"] > 0


CLUSTER = ("--set", "cluster.tensor=1", "--set", "cluster.pipeline=1")


@pytest.mark.slow("test_simulation, and tests/lab/simulate/test_figure.py")
def test_the_picture_of_a_simulation(capsys, tmp_path):
    picture = tmp_path / "step.png"
    assert main(["plan", "gpt2", "--simulate", "16", "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_simulation(capsys):
    arguments = ("plan", "gpt2", "--simulate", "16", "--set", "cluster.network=5e9", *CLUSTER)
    v = json_of(capsys, *arguments, "--json")["simulation"]
    assert v["ranks"] == 16 and v["split"]["data"] == 16
    assert sum(v["busy"].values()) == pytest.approx(v["step"]["seconds"]) and v["busy"]["waiting"] > 0
    assert v["step"]["seconds"] < v["step"]["without_overlap"]
    for curve in ("weak", "strong"):
        found = {point["ranks"]: point["efficiency"] for point in v[curve]}
        assert found[16] == v["step"]["efficiency"] < found[1] <= 1
    assert max(point["ranks"] for point in v["weak"]) == 4096
    assert v["failures"]["goodput"] == pytest.approx(v["failures"]["on_paper"], rel=0.01)
    assert main([*arguments]) == 0
    out = capsys.readouterr().out
    assert "simulated: a step on 16 ranks, data 16 x tensor 1 x pipeline 1" in out and "Simulated, not measured" in out


def test_mistakes_of_a_simulation(error):
    assert "say on how many ranks with --simulate N" in error("plan", "gpt2", "--out", "a.png")
    assert "say on how many ranks with --simulate N" in error("plan", "gpt2", "--set", "cluster.node=4")
    assert "at most 4096 ranks" in error("plan", "gpt2", "--simulate", "5000")
    few = error("plan", "gpt3-175b", "--simulate", "2")
    assert "no layout of gpt3-175b over 2 ranks fits" in few and "64 are enough" in few
    assert "unknown setting 'cluster.nodes'" in error("plan", "gpt2", "--simulate", "2", "--set", "cluster.nodes=4")
    assert "it must not be negative" in error("plan", "gpt2", "--simulate", "2", "--set", "cluster.network=-1")
    assert "give both" in error("plan", "gpt2", "--simulate", "2", "--set", "cluster.block_forward=1")
    collective = error("plan", "gpt2", "--simulate", "2", "--set", "cluster.collective=star")
    assert "cluster.collective is 'star'; choose one of ring, tree, two-level, best" in collective


def test_mistakes(error):
    assert "unknown GPU 'h10': did you mean 'h100'?" in error("plan", "gpt2", "--gpu", "h10")
    assert "unknown preset 'gpt4'" in error("plan", "gpt4")
    assert "the V100's tensor cores do not take bfloat16" in error(
        "plan", "gpt2", "--gpu", "v100", "--precision", "bf16"
    )
    assert "is not a number of tokens" in error("plan", "gpt2", "--tokens", "many")
    assert "is not a number of tokens" in error("plan", "gpt2", "--tokens", "0")
    assert "1.5 is not above 0 and at most 1" in error("plan", "gpt2", "--mfu", "1.5")
    assert "'nil' is not a number" in error("plan", "gpt2", "--mfu", "nil")
    for option, sentence in (("--price", "is not a price"), ("--mfu", "is not above 0")):
        for endless in ("nan", "inf", "1e309" if option == "--price" else "1e-320"):  # JSON knows none
            assert sentence in error("plan", "gpt2", option, endless)
    assert "0 is below 1" in error("plan", "gpt2", "--gpus", "0")
    assert "is this one machine" in error("plan", "gpt2", "--gpu", "cpu", "--gpus", "2")
    too_large = error("plan", "gpt2", "--set", f"model.vocab_size={10**10}")
    assert "gpt2 does not fit on any number of H100s with 512 rows in a step" in too_large
    text = error("plan", "tiny", "--set", "data.tokenizer=char", "--set", "model.vocab_size=0")
    assert "how many tokens a char tokenizer has depends on the text" in text
    assert "model.layers is 9999999; it must be at most 10000" in error("plan", "gpt2", "--set", "model.layers=9999999")
    assert "unknown setting 'model.layer'" in error("plan", "gpt2", "--set", "model.layer=3")
    assert "there is no file none.toml" in error("plan", "none.toml")
