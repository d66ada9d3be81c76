"""Pages of every family, and a Chromium that opens them without a network."""

import shutil

import pytest

import minigpt
from minigpt.interop.loaded import Loaded
from minigpt.lab.explain import explain
from minigpt.models import BART, GPT, BARTConfig, GPTConfig, Llama, LlamaConfig, Transformer, TransformerConfig
from minigpt.tokenizers import ByteTokenizer

from ...notebooks.sources import FOLDER

CHROMIUM = next(
    (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
)
CHECKPOINTS = FOLDER.parent / "data" / "checkpoints"
PROMPT = "One sunny morning, Anna was looking for her red ball. She asked Tom, and he looked"

PATIENCE = 600_000  # milliseconds: a slow and busy machine is no failure
HEADS = {"some-heads": [4, 2]}


def fresh(model):
    return Loaded(model, model.init(1), ByteTokenizer(), None)


SMALL = {"vocab_size": 256, "context": 24, "width": 16, "heads": 2}
PAIR = SMALL | {"encoder_layers": 1, "decoder_layers": 2}
FAMILIES = {  # a model, its prompt and what it should write
    "some-heads": lambda: (minigpt.load(CHECKPOINTS / "tiny"), "Anna was looking.", None),
    "tiny": lambda: (minigpt.load(CHECKPOINTS / "tiny"), PROMPT, None),
    "bert": lambda: (minigpt.load(CHECKPOINTS / "bert-tiny"), "The dog saw [MASK] in the garden.", None),
    "gpt": lambda: (fresh(GPT(GPTConfig(**SMALL, norm="post", window=3))), "a small text", None),
    "llama": lambda: (fresh(Llama(LlamaConfig(**SMALL, kv_heads=1, feed_forward=20))), "a small text", None),
    "bart": lambda: (fresh(BART(BARTConfig(**PAIR))), "a small text", "some txt"),
    "transformer": lambda: (fresh(Transformer(TransformerConfig(**PAIR))), "a small text", "some txt"),
}


@pytest.fixture(scope="module")
def chromium():
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"], timeout=PATIENCE)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Each family's page as a file, made when it is first asked for."""
    folder, kept = tmp_path_factory.mktemp("pages"), {}

    def of(name):
        if name not in kept:
            loaded, prompt, target = FAMILIES[name]()
            page = explain(loaded, prompt, target=target, name=name, heads=HEADS.get(name))
            kept[name] = page.save(folder / f"{name}.html"), page, (loaded, prompt, target)
        return kept[name]

    return of


@pytest.fixture
def visit(chromium, made):
    """Open a family's page, or a file, with the network off; a word in the console or a request is a failure."""
    contexts, problems = [], []

    def open_page(name, **options):
        context = chromium.new_context(offline=True, **({"viewport": {"width": 1360, "height": 900}} | options))
        context.set_default_timeout(PATIENCE)
        contexts.append(context)
        tab = context.new_page()
        tab.on("console", lambda message: problems.append(message.text))
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("request", lambda r: problems.append(r.url) if not r.url.startswith(("file:", "data:")) else None)
        tab.goto((made(name)[0] if isinstance(name, str) else name).as_uri())
        assert tab.evaluate("document.documentElement.dataset.ready") == "yes"
        return tab

    yield open_page
    for context in contexts:
        context.close()
    assert problems == []


def go(tab, step):
    tab.evaluate(
        "n => { const s = document.querySelector('.track input'); s.value = n; s.dispatchEvent(new Event('input')); }",
        step,
    )


def step_of(tab):
    return int(tab.evaluate("document.documentElement.dataset.step"))
