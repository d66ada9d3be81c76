"""How each family is fine-tuned: NAME.toml as published, NAME-tiny.toml for models that a CPU trains in minutes."""
