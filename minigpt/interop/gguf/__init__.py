"""GGUF, the one-file format of llama.cpp and what is built on it: models of the kinds llama and gpt2, their tokenizer
and their settings, read and written. The header is read here; the package `gguf` (extra `gguf`) unpacks quantized
numbers and writes files."""
