"""The names that the help lists of tables whose modules take long to import; tests/cli/test_help.py compares them."""

DTYPES = ("float32", "bfloat16", "float16")
TOKENIZERS = ("char", "byte", "bpe", "gpt", "wordpiece")
OPTIMIZERS = ("adamw", "muon")
PATTERNS = ("gpt2", "llama3", "cl100k", "o200k")
FORMATS = ("run", "hf", "llama2c", "llama2c-v1", "gguf", "gguf-f32")  # that convert writes
GPUS = ("a100", "h100", "h100-pcie", "h200", "l4", "l40s", "rtx-3090", "rtx-4090", "v100")
SIZES = ("2x24", "2x32", "2x48", "3x56", "3x80", "4x96", "4x136")  # of a family, and two other defaults of scaling
CONTEXT, QUESTIONS = 256, 300
SHAPES = {
    "S": "nanoGPT's CPU recipe",
    "M": "a 10M-parameter character model",
    "L": "GPT-2 124M, one row",
    "T2048": "M with one row of 2,048 tokens",
}
GPU_SHAPES = ("G",)  # on a GPU only
