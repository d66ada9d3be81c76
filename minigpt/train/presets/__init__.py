"""The files that name a model and how it is trained: `minigpt train NAME` reads NAME.toml from here."""
