"""The command line as a newcomer meets it: every mistake gets one sentence and a non-zero exit, and nothing is lost."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from minigpt import tokenizers
from minigpt.cli import COMMANDS, main

from .train.runs import arguments, train


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("trained")
    text = folder / "text.txt"
    text.write_text("".join(f"{i} plus {i} is {i + i}.\n" for i in range(200)))
    patch = pytest.MonkeyPatch()
    patch.setenv("MINIGPT_CACHE", str(folder / "cache"))
    assert train(text, folder / "run", 10) == 0
    patch.undo()
    return text, folder / "run"


@pytest.fixture
def run(trained, tmp_path):
    """A copy of the trained run that a test may damage."""
    shutil.copytree(trained[1], tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def error(capsys, tmp_path, monkeypatch):
    """Run a command that must fail with one sentence on stderr, and return the sentence."""
    monkeypatch.chdir(tmp_path)

    def check(*arguments) -> str:
        capsys.readouterr()
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as exit:  # argparse
            status = exit.code
        shown = capsys.readouterr()
        assert status == 2, shown
        assert shown.out == "" and shown.err.count("\n") == 1 and shown.err.startswith("minigpt: error: "), shown
        assert not (tmp_path / "runs").exists()
        return shown.err

    return check


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
    assert "cannot read the configuration" in error("train", path)
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
    assert "is not among the 3 characters" in error("train", "--data", text, "--tokenizer", tmp_path / "t.json")


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
    assert "is not a run folder" in error("train", "--resume", tmp_path / "nothing")
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
        assert f"the checkpoint file {weights} is damaged" in error("sample", run)
    weights.unlink()
    assert f"the checkpoint file {weights} is missing" in error("sample", run)
    weights.write_bytes(content)
    state.write_text("{")
    assert f"the checkpoint file {state} is damaged" in error("train", "--resume", run, "--steps", 20)
    shutil.rmtree(checkpoint)
    shutil.rmtree(run / "checkpoints" / "step-5")
    assert "has no checkpoint" in error("sample", run)


def test_a_checkpoint_of_another_model(error, run):
    config = run / "config.toml"
    text = config.read_text()
    config.write_text(text.replace("layers = 1", "layers = 2"))
    assert "does not fit the model of its configuration: it lacks blocks.1." in error("sample", run)
    config.write_text(text.replace("feed_forward = 64", "feed_forward = 32"))
    assert "has shape (16, 64), not (16, 32)" in error("sample", run)
    config.write_text(text.replace('norm = "pre"', 'norm = "post"'))
    assert "it has final_norm" in error("sample", run)


def test_a_tokenizer_of_another_model(error, run):
    tokenizers.save(tokenizers.ByteTokenizer(), run)
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
        assert "nothing is not a run folder" in error(*command, "nothing")


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


def test_plot_needs_something_to_plot_and_somewhere_to_put_it(error, run, tmp_path):
    assert "cannot write" in error("plot", run, "--out", tmp_path / "no" / "such" / "folder.png")
    (run / "log.jsonl").unlink()
    assert "has no logged training steps to plot" in error("plot", run)


def test_no_gpu(error, run, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "cupy", None)  # importing it fails, as where it is not installed
    for command in (["train"], ["sample", run], ["eval", run]):
        assert "the cupy backend cannot run: CuPy is not installed; install the extra" in error(
            *command, "--backend", "cupy"
        )
    monkeypatch.setenv("MINIGPT_BACKEND", "cuda")
    assert "train.backend is 'cuda'; choose one of numpy, cupy" in error("train")
    assert "unknown backend 'cuda': choose numpy or cupy" in error("sample", run)


def test_wrong_words(error):
    assert "invalid choice" in error("tran")
    assert "unrecognized arguments: --epochs" in error("train", "--epochs", "3")
    assert "invalid choice: 'gpt5'" in error("gradcheck", "gpt5")
    assert "required: COMMAND" in error()


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command, capsys):
    with pytest.raises(SystemExit) as exit:
        main([command, "--help"])
    shown = capsys.readouterr().out
    assert exit.value.code == 0 and "Example:\n  minigpt " + command in shown


def json_of(capsys, *arguments):
    capsys.readouterr()
    assert main([str(a) for a in arguments]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    return json.loads(out)


def test_json_is_one_object_and_nothing_else(run, trained, tmp_path, capsys):
    result = json_of(capsys, *arguments(trained[0], tmp_path / "new", 3), "--json")
    assert result.keys() == {"run", "steps", "train_loss", "val_loss", "tokens_per_second"} and result["steps"] == 3
    assert json_of(capsys, "eval", run, "--json").keys() == {"loss", "perplexity", "bits_per_byte", "tokens"}
    assert len(json_of(capsys, "sample", run, "--json", "--tokens", "5")["text"]) == 5
    assert json_of(capsys, "plot", run, "--json")["figure"].endswith("curves.png")
    assert "cpu" not in json_of(capsys, "info", "--json") and json_of(capsys, "info", "--json")["cores"] >= 1
    checked = json_of(capsys, "gradcheck", "gpt2-no-bias", "--json")
    assert checked["worst"] <= 1e-7 and {"model", "name", "error"} <= checked["parameters"][0].keys()


def test_gradcheck_fails_where_a_gradient_is_wrong(monkeypatch, capsys):
    from minigpt import ops

    right = ops.layernorm_backward
    monkeypatch.setattr(ops, "layernorm_backward", lambda *a, **k: 1.001 * right(*a, **k))
    assert main(["gradcheck", "gpt"]) == 1
    shown = capsys.readouterr().out
    assert "WRONG" in shown and "ok" in shown and " 0 wrong" not in shown


def test_the_same_seed_samples_the_same_text(run, capsys):
    texts = [json_of(capsys, "sample", run, "--json", "--seed", seed)["text"] for seed in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


def test_sample_prints_the_prompt_and_what_follows(run, capsys):
    text = json_of(capsys, "sample", run, "--prompt", "3 plus ", "--tokens", "9", "--json")["text"]
    assert main(["sample", str(run), "--prompt", "3 plus ", "--tokens", "9"]) == 0
    assert capsys.readouterr().out == f"3 plus {text}\n"


def test_bits_per_byte_counts_bytes_not_tokens(run, tmp_path, capsys):
    path = tmp_path / "t.txt"
    path.write_text("3 plus 4 is 7.\n")
    result = json_of(capsys, "eval", run, "--data", path, "--json")
    assert result["tokens"] == 14 and result["bits_per_byte"] == pytest.approx(result["loss"] / 0.6931471805599453)


def test_runs_are_numbered_and_the_newest_is_the_default(trained, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    plain = [a for a in arguments(trained[0], "x", 2) if a not in ("--out", "x")]
    for number in (1, 2):
        assert json_of(capsys, *plain, "--json")["run"] == f"runs/tiny-{number}"
    assert json_of(capsys, "plot", "--json")["run"] == "runs/tiny-2"
    assert json_of(capsys, "plot", "tiny-1", "--json")["run"] == "runs/tiny-1"


def test_a_closed_pipe_ends_quietly(run):
    command = f"'{sys.executable}' -m minigpt sample '{run}' --tokens 3000 | head -c 5; echo :${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stdout[5:] == ":141\n" and done.stderr == ""


def test_importing_the_package_is_quiet_and_needs_neither_cupy_nor_matplotlib():
    code = "import sys, minigpt, minigpt.cli; print({'cupy', 'matplotlib', 'torch'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n" and done.stderr == ""


def test_empty_arguments_are_not_taken_for_absent_ones(error):
    assert "is not a run folder" in error("train", "--resume", "")
    assert "--out is empty" in error("train", "--out", "")
    assert "--force replaces the run in --out" in error("train", "--force")
    assert "names the folder that you are in" in error("train", "--out", ".")


def test_prompts_are_checked_before_training(error, trained, tmp_path):
    for prompt, sentence in [("é", "is not among"), ("1" * 17, "the prompt has 17 tokens")]:
        assert sentence in error(*arguments(trained[0], tmp_path / "new", 5, sample__prompt=f'"{prompt}"'))
    assert not (tmp_path / "new").exists()


def test_a_vocabulary_larger_than_the_tokenizers_writes_only_what_can_be_decoded(trained, tmp_path):
    assert main(arguments(trained[0], tmp_path / "run", 2, model__vocab_size=300, sample__tokens=200)) == 0


def test_state_files_are_not_believed_blindly(error, run, tmp_path):
    victim = tmp_path / "victim.txt"
    victim.write_text("not to be touched")
    state = run / "checkpoints" / "step-10" / "state.json"
    good = json.loads(state.read_text())
    for damage in (
        {"positions": {"../victim.txt": 0}},
        {"positions": []},
        {"step": 99},
        {"updates": "a"},
        {"positions": {"log.jsonl": -1, "samples.txt": 0}},
    ):
        state.write_text(json.dumps(good | damage))
        assert f"the checkpoint file {state} is damaged" in error("train", "--resume", run, "--steps", 20)
    for damaged in ("{}", "[]", "5"):
        state.write_text(damaged)
        assert f"the checkpoint file {state} is damaged" in error("train", "--resume", run, "--steps", 20)
    assert victim.read_text() == "not to be touched"


def test_damaged_logs_do_not_matter(run, capsys):
    (run / "log.jsonl").write_bytes((run / "log.jsonl").read_bytes() + b"5\n[]\n\xff\xfe\n")
    assert main(["plot", str(run)]) == 0
    (run / "samples.txt").unlink()
    assert main(["train", "--resume", str(run)]) == 0


def test_a_damaged_token_cache_is_made_anew(trained, run, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MINIGPT_CACHE", str(tmp_path / "cache"))
    expected = json_of(capsys, "eval", run, "--json")
    (shard,) = (tmp_path / "cache" / "tokens").glob("*.bin")
    content = shard.read_bytes()
    for damaged in (content[:50], b"", bytes(len(content)), b"\xff" * len(content)):
        shard.write_bytes(damaged)
        assert json_of(capsys, "eval", run, "--json") == expected
        assert shard.read_bytes() == content


def test_eval_insists_on_the_text_of_the_run(error, trained, run, tmp_path):
    config = run / "config.toml"
    moved = tmp_path / "moved.txt"
    config.write_text(config.read_text().replace(str(trained[0]), str(moved)))
    for command in (["eval", run], ["train", "--resume", run]):
        assert f"is no longer at {moved}; give its new place with --data" in error(*command)
    moved.write_text(trained[0].read_text() + "1 plus 1 is 2.\n")
    assert "the text is not the one that" in error("eval", run)


def test_bits_per_byte_of_bytes(trained, tmp_path, capsys):
    """A text that starts inside a character still has as many bytes as it has byte tokens."""
    text = tmp_path / "t.txt"
    text.write_text("é" * 400)
    assert main([*arguments(text, tmp_path / "run", 2), "--tokenizer", "byte"]) == 0
    result = json_of(capsys, "eval", tmp_path / "run", "--data", text, "--json")
    assert result["tokens"] == 799 and result["bits_per_byte"] == pytest.approx(result["loss"] / 0.6931471805599453)


def test_weights_that_are_not_finite(error, run):
    from safetensors.numpy import load_file, save_file

    path = run / "checkpoints" / "step-10" / "model.safetensors"
    tensors = load_file(path)
    tensors["tokens"][:] = float("nan")
    save_file(tensors, path)
    assert "the model's scores are not finite" in error("sample", run, "--json")
    assert "its training went wrong" in error("eval", run)


def test_output_that_cannot_be_written(run):
    for redirect, status, message in [(">/dev/full", 2, "No space left on device"), (">&-", 0, ""), ("2>&-", 0, "")]:
        command = f"'{sys.executable}' -m minigpt sample '{run}' --tokens 5 {redirect}"
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
        assert done.returncode == status and message in done.stderr and done.stderr.count("\n") == bool(message)


def test_any_terminal_can_show_any_text(tmp_path, capsys):
    text = tmp_path / "t.txt"
    text.write_text("Grüße aus 東京 🙂\n" * 40)
    assert main([*arguments(text, tmp_path / "run", 2), "--tokenizer", "char"]) == 0
    command = [sys.executable, "-m", "minigpt", "sample", str(tmp_path / "run"), "--prompt", "Grüße"]
    done = subprocess.run(command, capture_output=True, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0 and done.stdout.startswith(b"Gr\\xfc\\xdfe") and done.stderr == b""


def test_two_runs_at_once_get_folders_of_their_own(trained, tmp_path, monkeypatch, capsys):
    """Another process takes the number, or the place, while this one prepares its folder."""
    from minigpt.commands import train as train_command

    monkeypatch.chdir(tmp_path)
    right = train_command.Trainer.start

    def slow(self):
        right(self)
        shutil.copytree(trained[1], tmp_path / "runs" / "tiny-1", dirs_exist_ok=True)
        shutil.copytree(trained[1], tmp_path / "place", dirs_exist_ok=True)

    monkeypatch.setattr(train_command.Trainer, "start", slow)
    plain = [a for a in arguments(trained[0], "x", 2) if a not in ("--out", "x")]
    assert json_of(capsys, *plain, "--json")["run"] == "runs/tiny-2"
    assert main([*plain, "--out", "place"]) == 2
    assert "place exists: continue it with --resume place" in capsys.readouterr().err
    assert (tmp_path / "place" / "checkpoints" / "step-10").exists()


def test_force_leaves_a_run_alone_that_is_being_trained(error, trained, run):
    from minigpt.train.run_folder import locked

    with locked(run):
        assert "another process is training" in error(*arguments(trained[0], run, 2), "--force")
    assert (run / "checkpoints" / "step-10").exists()


@pytest.mark.parametrize("spec", ["bpe:300", "wordpiece:60", "gpt:60", "byte", "char"])
def test_every_kind_of_tokenizer_trains_resumes_and_evaluates(trained, tmp_path, capsys, spec):
    run = tmp_path / "run"
    assert main([*arguments(trained[0], run, 3), "--tokenizer", spec]) == 0
    assert main(["train", "--resume", str(run), "--steps", "5"]) == 0
    result = json_of(capsys, "eval", run, "--json")
    assert result["tokens"] > 10 and 0 < result["bits_per_byte"] < 20
    assert json_of(capsys, "sample", run, "--json", "--prompt", "3 plus")["tokens"] == 12


def test_a_tokenizer_the_model_was_not_trained_with(error, run):
    path = run / "tokenizer.json"
    other = json.loads(path.read_text())
    other["characters"] = "".join(chr(ord(c) + 1) for c in other["characters"])  # as many, but others
    path.write_text(json.dumps(other))
    for command in (["sample", run], ["eval", run], ["train", "--resume", run, "--steps", 20]):
        sentence = error(*command)
        assert "does not fit its model" in sentence or "is not among" in sentence
