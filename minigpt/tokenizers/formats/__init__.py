"""Other programs' tokenizer files."""
