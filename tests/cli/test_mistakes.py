"""A newcomer's mistakes: each gets one sentence and a non-zero exit, and nothing is lost."""

import shutil
import sys

import pytest

from minigpt import tokenizers
from minigpt.cli import main

from ..train.runs import arguments, unlisted


def test_unknown_preset_names_the_nearest(error):
    assert "unknown preset 'shakespear-cpu': did you mean 'shakespeare-cpu'?" in error("train", "shakespear-cpu")


def test_unknown_settings_name_the_nearest(error):
    assert "unknown setting 'train.step': did you mean 'train.steps'?" in error("train", "--set", "train.step=3")
    assert "unknown section 'modell': did you mean 'model'?" in error("train", "--set", "modell.layers=3")
    assert "not of the form section.key=value" in error("train", "--set", "steps=3")


@pytest.mark.parametrize(
    "setting, sentence",
    {
        "train.steps=many": "train.steps is 'many', but it must be a whole number",
        "train.steps=1.5": "train.steps is 1.5, but it must be a whole number",
        "train.steps=0": "train.steps is 0; it must be at least 1",
        "train.seed=-1": "train.seed is -1; it must not be negative",
        "model.bias=1": "model.bias is 1, but it must be true or false",
        "model.heads=3": "model.width 128 is not a multiple of model.heads 3",
        "model.heads=0": "model.heads is 0; it must be at least 1",
        "model.norm=none": 'model.norm is \'none\'; choose "pre" or "post"',
        "model.activation=swish": "model.activation is 'swish'; choose from",
        "model.dropout=1": "model.dropout is 1.0; it must be at least 0 and below 1",
        "optimizer.variant=sgd": "optimizer.variant is 'sgd'; choose one of adamw",
        "optimizer.beta1=1.0": "optimizer.beta1 must be at least 0 and below 1",
        "schedule.peak=nan": "schedule.peak is nan, but it must be a finite number",
        "optimizer.eps=inf": "optimizer.eps is inf, but it must be a finite number",
        f"schedule.peak={'9' * 400}": "but it must be a finite number",
        f"train.steps={'9' * 30}": "which is too large",
        f"train.steps={'[' * 5000}": "but it must be a whole number",
        "schedule.floor=1": "schedule.floor must be between 0 and schedule.peak",
        "data.validation_fraction=1.0": "data.validation_fraction is 1.0; it must be between 0 and 1",
        "sample.top_p=0": "sample.top_p is 0.0; it must be above 0 and at most 1",
        "train.dtype=float16": "train.dtype is 'float16'; choose one of float32, float64",
    }.items(),
)
def test_bad_values(error, setting, sentence):
    assert sentence in error("train", "--set", setting)


def test_bad_configuration_files(error, tmp_path):
    path = tmp_path / "my.toml"
    assert "there is no file" in error("train", path)
    path.write_text("[model\n")
    assert "my.toml is not a valid TOML file" in error("train", path)
    path.write_text("model = 3\n")
    assert "model is a section of the configuration, not a value" in error("train", path)
    path.write_text("family = []\n")
    assert "unknown model family '[]'" in error("train", path)
    path.write_text('family = "gtp"\n')
    assert "unknown model family 'gtp': did you mean 'gpt'?" in error("train", path)
    path.write_bytes(b"\xff\xfe")
    assert "my.toml is not a valid TOML file" in error("train", path)


def test_bad_texts(error, tmp_path):
    path = tmp_path / "t.txt"
    assert "is neither a file, nor a folder, nor a known corpus" in error("train", "--data", path)
    path.write_text("")
    assert f"there is no text in {path}: the file is empty" in error("train", "--data", path)
    path.write_bytes(b"good until here \xff\xfe bad")
    assert f"{path} is not a UTF-8 text: byte 16 cannot be decoded" in error("train", "--data", path)
    path.write_text("much too short")
    assert "the text is too short" in error("train", "--data", path)
    (tmp_path / "folder").mkdir()
    assert "contains no files" in error("train", "--data", tmp_path / "folder")
    assert "--data is empty" in error("train", "--data", "")
    assert "is not a regular file" in error("train", "--data", "/dev/zero")
    assert "File name too long" in error("train", "--data", "x" * 300)


def test_tokenizers_that_are_missing_or_do_not_fit(error, trained, tmp_path):
    text, _ = trained
    assert "there is no tokenizer 'bytes': write char, byte, bpe:SIZE" in error(
        "train", "--data", text, "--tokenizer", "bytes"
    )
    small = ("--set", "model.vocab_size=5")
    assert "the tokenizer does not fit the model: it has" in error("train", "--data", text, *small)
    tokenizers.save(tokenizers.CharTokenizer("xyz"), tmp_path / "t.json")
    assert "is not among the 3 characters" in error(
        "train", "shakespeare-cpu", "--data", text, "--tokenizer", tmp_path / "t.json"
    )


def test_an_existing_folder_is_never_overwritten_unasked(error, trained, run, tmp_path, capsys):
    text, _ = trained
    before = {p: p.read_bytes() for p in run.rglob("*") if p.is_file()}
    assert f"{run} exists: continue it with --resume {run}, or replace it with --force" in error(
        *arguments(text, run, 5)
    )
    other = tmp_path / "documents"
    other.mkdir()
    (other / "thesis.txt").write_text("years of work")
    for force in ([], ["--force"]):  # --force replaces runs, not whatever a path happens to name
        assert "documents exists and is not a run" in error(*arguments(text, other, 5), *force)
    assert {p: p.read_bytes() for p in run.rglob("*") if p.is_file()} == before
    assert (other / "thesis.txt").read_text() == "years of work"
    assert main([*arguments(text, run, 5), "--force"]) == 0
    assert (run / "checkpoints" / "step-5").is_dir() and not (run / "checkpoints" / "step-10").exists()
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def test_a_file_in_the_way_and_an_unwritable_place(error, trained, tmp_path):
    text, _ = trained
    (tmp_path / "file").write_text("x")
    assert "file exists and is not a run" in error(*arguments(text, tmp_path / "file", 5))
    assert "cannot create the run folder" in error(*arguments(text, tmp_path / "file" / "run", 5))


def test_resume_takes_the_run_as_it_is(error, run, tmp_path):
    for place in (tmp_path / "nothing", "runs/nothing", "./nothing"):
        assert f"there is nothing at {place}; give a run's folder" in error("train", "--resume", place)
    assert f"{tmp_path} is not a run folder" in error("train", "--resume", tmp_path)
    for extra in (["--seed", "0"], ["--set", "train.batch=2"], ["--force"], ["--out", "x"], ["tiny"]):
        assert "--resume goes on with a run as it is" in error("train", "--resume", run, *extra)


def test_resume_insists_on_the_same_text(error, run, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("".join(f"{i} plus 1 is {i + 1}.\n" for i in range(200)))
    before = (run / "config.toml").read_bytes()
    assert "the text is not the one that" in error("train", "--resume", run, "--data", other, "--steps", 30)
    assert "is at step 10 already; --steps must not be less" in error("train", "--resume", run, "--steps", 5)
    assert (run / "config.toml").read_bytes() == before  # what was refused left no trace


def test_damaged_checkpoints(error, run):
    checkpoint = run / "checkpoints" / "step-10"
    weights, state = checkpoint / "model.safetensors", checkpoint / "state.json"
    content = weights.read_bytes()
    for damaged in (content[: len(content) // 2], content[:4], b"", b"\x00" * 100):
        weights.write_bytes(damaged)
        sentence = error("sample", run)
        assert f"the checkpoint file {weights} is damaged" in sentence and "step-5 is good" in sentence
    weights.unlink()
    assert f"the checkpoint file {weights} is damaged (it is missing)" in error("sample", run)
    weights.write_bytes(content)
    state.write_text("{")
    assert f"the checkpoint file {state} is damaged" in error("train", "--resume", run, "--steps", 20)
    shutil.rmtree(checkpoint)
    shutil.rmtree(run / "checkpoints" / "step-5")
    assert "has no checkpoint" in error("sample", run)


def test_a_checkpoint_of_another_model(error, run):
    config = unlisted(run) / "config.toml"
    text = config.read_text()
    config.write_text(text.replace("layers = 1", "layers = 2"))
    assert "does not fit the model of its configuration: it lacks blocks.1." in error("sample", run)
    config.write_text(text.replace("feed_forward = 64", "feed_forward = 32"))
    assert "has shape (16, 64), not (16, 32)" in error("sample", run)
    config.write_text(text.replace('norm = "pre"', 'norm = "post"'))
    assert "it has final_norm" in error("sample", run)


def test_a_tokenizer_of_another_model(error, run):
    tokenizers.save(tokenizers.ByteTokenizer(), unlisted(run))
    assert "the tokenizer does not fit the model: it has 256 tokens" in error("sample", run)
    (run / "tokenizer.json").write_text("not json")
    assert "tokenizer.json is not a tokenizer file" in error("sample", run)


def test_bad_prompts_and_sampling_settings(error, run):
    assert "the prompt has 17 tokens, but the model's context is 16" in error("sample", run, "--prompt", "1" * 17)
    assert "character 'é' (U+00E9) at position 3 is not among" in error("sample", run, "--prompt", "plus é"[2:])
    assert "sample.temperature is -1.0; it must not be negative" in error("sample", run, "--temperature", "-1")
    assert "sample.top_p is 1.5" in error("sample", run, "--top-p", "1.5")
    assert "0 is below 1" in error("sample", run, "--tokens", "0")
    assert "invalid whole number value: 'ten'" in error("sample", run, "--tokens", "ten")


def test_bad_evaluation_texts(error, run, tmp_path):
    path = tmp_path / "t.txt"
    path.write_text("ABC")
    assert "character 'A' (U+0041) at position 0 is not among" in error("eval", run, "--data", path)
    path.write_text("1")
    assert "has 1 tokens; at least 2 are needed" in error("eval", run, "--data", path)


def test_no_run_yet(error):
    for command in (["sample"], ["eval"], ["plot"]):
        assert "there is no run in runs/ yet" in error(*command)
        assert "there is no nothing, neither here nor in runs/" in error(*command, "nothing")


def test_plot_overwrites_only_pictures_it_is_asked_to(error, run, tmp_path, capsys):
    notes = tmp_path / "notes.txt"
    notes.write_text("keep me")
    assert "does not end in .png" in error("plot", run, "--out", notes)
    picture = tmp_path / "picture.png"
    picture.write_text("keep me too")
    assert "exists; replace it with --force" in error("plot", run, "--out", picture)
    assert notes.read_text() == "keep me" and picture.read_text() == "keep me too"
    assert main(["plot", str(run), "--out", str(picture), "--force"]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_plot_compares_runs_in_a_picture_of_its_own(error, run, tmp_path, capsys):
    assert "say where with --out" in error("plot", run, "--beside", run)
    picture = tmp_path / "both.png"
    assert main(["plot", str(run), "--beside", str(run), "--baseline", "2.5", "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "at most 6 can be told apart" in error("plot", run, *["--beside", run] * 6, "--out", tmp_path / "many.png")
    (run / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n')
    assert "no validation loss to compare" in error("plot", run, "--beside", run, "--out", tmp_path / "none.png")


def test_plot_needs_something_to_plot_and_somewhere_to_put_it(error, run, tmp_path):
    assert "cannot write" in error("plot", run, "--out", tmp_path / "no" / "such" / "folder.png")
    (run / "log.jsonl").unlink()
    assert "has no logged training steps to plot" in error("plot", run)


def test_no_gpu(error, run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cupy", None)  # importing it fails, as where it is not installed
    for command in (["train"], ["sample", run], ["eval", run]):
        assert "the cupy backend cannot run: CuPy is not installed; in the clone, install" in error(
            *command, "--backend", "cupy"
        )
    monkeypatch.setenv("MINIGPT_BACKEND", "cuda")
    assert "train.backend is 'cuda'; choose one of numpy, cupy" in error("train")
    assert "unknown backend 'cuda': choose numpy or cupy" in error("sample", run)


def test_wrong_words(error):
    assert "there is no command 'tran': did you mean 'train'?" in error("tran")
    assert "there is no command 'xyz': there are train, finetune" in error("xyz")
    assert "unrecognized arguments: --epochs; see `minigpt train --help`" in error("train", "--epochs", "3")
    assert "nothing called 'gpt5' to check: did you mean 'gpt'?" in error("gradcheck", "gpt5")
    assert "did you mean 'layernorm'?" in error("gradcheck", "layer_norms")
    assert "required: COMMAND" in error()
    for many in ("9" * 5000, "0", "-1", "nan", "٣k٣"):
        assert "is not a number of tokens, such as 300B" in (said := error("plan", "tiny", f"--tokens={many}"))
        assert len(said) < 1000
