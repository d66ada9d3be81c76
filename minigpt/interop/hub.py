"""Models by their name on a hub: "owner/name", or "owner/name@revision" for a branch, a tag or a commit.

`huggingface_hub` downloads them, once, into its own cache (HF_HOME says where; HF_HUB_OFFLINE=1 asks nobody, HF_TOKEN
opens what is private, HF_ENDPOINT names another hub). Only what a model needs is fetched: configuration, tokenizer and
safetensors; never a pickle, and no code.
"""

from __future__ import annotations

import errno
import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from minigpt.core.errors import UserError
from minigpt.core.interrupts import noticed
from minigpt.interop.weight_files import INDEX, SINGLE, read_index
from minigpt.train.run_folder import Ability, find_run, is_run

SMALL = (
    *("config.json", "generation_config.json", INDEX, "chat_template.jinja"),
    *("tokenizer*.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt", "merges.txt"),
    *("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "dict.txt", "*.tiktoken"),
)
_NAME = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)(@(?P<revision>[\w./-]+))?", re.ASCII)
_SHA256 = re.compile(r"[0-9a-f]{64}")


def is_hub_name(name: str) -> bool:
    """Whether a name could be one on a hub: two words with a slash between them, and no path here.

    What begins with a folder that is here, such as runs/, is a path that is spelt wrongly.
    """
    return _NAME.fullmatch(name) is not None and not Path(name.partition("/")[0]).exists()


def find_model(name: str | None, ability: Ability | None = None) -> Path:
    """The run called `name`, as `find_run`, the path of another model that `minigpt.load` may open, or one of a hub."""
    if name is not None and not is_run(Path(name)):
        if Path(name).exists():
            return Path(name)
        if is_hub_name(name):
            return fetch(name)
    return find_run(name, ability)


def fetch(name: str) -> Path:
    """The folder of a model in the cache, downloaded if it is not there yet.

    A broken connection is taken up again where it broke; a later call downloads only the files that are missing.

    Raises:
        UserError: the package is missing; there is no such model or revision, or it is gated; the hub cannot be reached
            and the cache lacks the model; the disk is full; a file is damaged; or the model has no safetensors.
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise UserError(f"{name!r} is no model's name on a hub: that is owner/name, or owner/name@revision")
    repo, revision = match["repo"], match["revision"]
    reachable = _check(repo, revision)
    folder = _download(repo, revision, SMALL, ask=reachable)
    if not (folder / "config.json").exists():
        raise UserError(f"{name} has no config.json, so minigpt cannot tell which model it is")
    weights = _weight_files(folder)
    _download(repo, folder.name, weights, ask=reachable)  # of the same commit, whatever was uploaded in between
    if missing := [file for file in weights if not (folder / file).exists()]:
        if not reachable:
            raise UserError(_not_all(name))
        if missing == [SINGLE]:
            raise UserError(f"{name} has no {SINGLE}: minigpt reads weights from safetensors only, never from pickles")
        raise UserError(f"{name} has no {missing[0]}, which its {INDEX} names")
    return folder


def _weight_files(folder: Path) -> list[str]:
    """The files of weights that the index names, or the one that there is without an index."""
    return sorted(set(read_index(folder).values())) if (folder / INDEX).exists() else [SINGLE]


def _check(repo: str, revision: str | None) -> bool:
    """Whether the hub can be asked; an error if it answers that it does not give this model."""
    hub = _client(repo)
    if hub.constants.HF_HUB_OFFLINE:
        return False
    try:
        hub.HfApi().model_info(repo, revision=revision, timeout=hub.constants.HF_HUB_ETAG_TIMEOUT)
    except hub.errors.GatedRepoError:
        raise UserError(
            f"{repo} is gated: ask for access on its page, then log in (hf auth login) or set HF_TOKEN"
        ) from None
    except hub.errors.RepositoryNotFoundError:
        raise UserError(
            f"there is no {repo}, neither a path here nor a model on the hub (a private one needs HF_TOKEN)"
        ) from None
    except hub.errors.RevisionNotFoundError:
        raise UserError(f"{repo} has no revision {revision}") from None
    except hub.errors.HFValidationError as error:
        raise UserError(f"{repo} is no model's name on a hub: {_first_line(error)}") from None
    except (OSError, hub.errors.HTTPError):
        return False
    except Exception as error:  # the client takes answers for what they should be
        raise _not_understood(hub, error) from None
    return True


def _download(repo: str, revision: str | None, patterns: Iterable[str], *, ask: bool) -> Path:
    """The snapshot's folder, with at least these files of it if the hub is asked."""
    hub = _client(repo)
    cache = Path(hub.constants.HF_HUB_CACHE)
    blobs = cache / f"models--{repo.replace('/', '--')}" / "blobs"
    before = _complete(blobs)
    where = f"{repo}@{revision}" if revision else repo
    try:
        how = {"allow_patterns": list(patterns), "local_files_only": not ask}
        with noticed() as came:
            folder = Path(hub.snapshot_download(repo, revision=revision, tqdm_class=_bar(hub, came), **how))
    except hub.errors.LocalEntryNotFoundError:
        raise UserError(_not_all(where)) from None
    except (OSError, hub.errors.HTTPError) as error:
        if isinstance(error, OSError) and error.errno == errno.ENOSPC:
            raise UserError(f"the disk is full: {where} does not fit into {cache}") from None
        raise UserError(
            f"{where} was not downloaded completely ({_first_line(error)}); try again: files that are complete are kept"
        ) from None
    except Exception as error:
        raise _not_understood(hub, error) from None
    _verify(blobs, _complete(blobs) - before, where)
    return folder


def _bar(hub: ModuleType, came: list[int]) -> type:
    """The client's progress bar, which ends the thread that downloads once a signal came: else we would wait for it."""

    class Bar(hub.utils.tqdm):
        def update(self, n: float | None = 1) -> bool | None:
            if came:
                raise KeyboardInterrupt
            return super().update(n)

    return Bar


def _client(repo: str) -> ModuleType:
    """The package `huggingface_hub`, which takes half a second to import."""
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
    except ImportError:
        raise UserError(
            f"{repo} is no path here; to open a model by its name on a hub, install huggingface_hub: "
            "pip install '.[hub]' in the clone"
        ) from None
    return huggingface_hub


def _not_understood(hub: ModuleType, error: Exception) -> UserError:
    what = f"{type(error).__name__}: {_first_line(error)}"
    return UserError(f"{hub.constants.ENDPOINT} answers what no hub should ({what}); nothing was opened")


def _not_all(where: str) -> str:
    constants = _client(where).constants
    why = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else f"{constants.ENDPOINT} cannot be reached"
    return f"there is no {where} here; {why}, and the cache has not all of it"


def _complete(blobs: Path) -> set[str]:
    return {file.name for file in blobs.glob("*") if not file.name.endswith(".incomplete")}


def _verify(blobs: Path, names: Iterable[str], where: str) -> None:
    """Compare large files that came just now with their SHA-256, by which the hub calls them."""
    for name in names:
        if _SHA256.fullmatch(name):
            with (blobs / name).open("rb") as file:
                if hashlib.file_digest(file, "sha256").hexdigest() == name:
                    continue
            (blobs / name).unlink()
            raise UserError(f"a file of {where} came damaged (its SHA-256 is another); it was deleted, try again")


def _first_line(error: BaseException) -> str:
    return (str(error).strip().split("\n")[0] or type(error).__name__).rstrip(".:")
