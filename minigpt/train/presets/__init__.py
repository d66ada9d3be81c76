"""The files that name a model and how it is trained: `minigpt train NAME` reads NAME.toml from here."""

from importlib import resources


def preset_names() -> list[str]:
    files = resources.files(__name__).iterdir()
    return sorted(file.name.removesuffix(".toml") for file in files if file.name.endswith(".toml"))
