"""Answers as students might hand them in, by exercise: right ones in many styles, wrong ones, malicious ones.

The right and wrong ones of tests/notebooks/answers are taken over as source, by reading.
"""

import ast
from pathlib import Path

from minigpt.lab.grading.submissions import Notebook

ANSWERS = Path(__file__).resolve().parents[2] / "notebooks" / "answers"
NOTEBOOKS = ("04-layer-norm", "05-attention", "06-gpt", "08-sampling", "13-bert")


def notebook(text, name, ids=None):
    """A file with one cell or several."""
    cells = [text] if isinstance(text, str) else text
    return Notebook(Path("answer.py"), cells, ids or [None] * len(cells), frozenset([name]))


def stored(notebook_name):
    """(exercise, right, wrong ones), each a source that ends with its check_exercise line."""
    path = ANSWERS / f"n{notebook_name.replace('-', '_')}.py"
    source = path.read_text(encoding="utf-8")
    entries = next(n.value.elts for n in ast.parse(source).body if isinstance(n, ast.Assign) and "ANSWERS" in made(n))
    above = source[: source.index("ANSWERS = (")]
    for number, entry in enumerate(entries, start=1):
        name = f"{notebook_name}/{number}"
        right, wrong = ast.unparse(entry.args[0]), wrong_ones(entry.args[1])
        yield name, handed(above, name, right), [handed(above, name, text) for text in wrong]


def wrong_ones(node):
    return [ast.unparse(element) for element in node.elts]


def made(node):
    return [target.id for target in node.targets if isinstance(target, ast.Name)]


def handed(above, name, expression):
    return f'{above}\ncheck_exercise("{name}", {expression})\n'


def function(name, text):
    """The source of one exercise, whose function is the last one in the text."""
    last = [n.name for n in ast.parse(text).body if isinstance(n, (ast.FunctionDef, ast.Assign)) and hasattr(n, "name")]
    return f'import math\nimport numpy as np\n\n{text}\ncheck_exercise("{name}", {last[-1] if last else "answer"})\n'


STYLES = {  # right, each in a way of its own
    "loops": (
        "05-attention/1",
        """
def softmax_gradient(p, dp):
    out = np.empty_like(p)
    for index in np.ndindex(*p.shape[:-1]):
        row, d = p[index], dp[index]
        total = 0.0
        for a, b in zip(row, d):
            total += a * b
        out[index] = row * (d - total)
    return out
""",
    ),
    "einsum": (
        "05-attention/1",
        """
def softmax_gradient(p, dp):
    return p * (dp - np.einsum("...i,...i->...", p, dp)[..., None])
""",
    ),
    "a jacobian": (
        "05-attention/1",
        """
def jacobian(p):
    return np.diag(p) - np.outer(p, p)
def softmax_gradient(p, dp):
    rows = [jacobian(a) @ b for a, b in zip(p.reshape(-1, p.shape[-1]), dp.reshape(-1, p.shape[-1]))]
    return np.array(rows).reshape(p.shape)
""",
    ),
    "type hints and keywords": (
        "05-attention/4",
        """
def temperature_gradient(dscores: np.ndarray, q: "np.ndarray", k, tau: float = 1.0, *, power: int = 2) -> float:
    return -float(np.sum(dscores * np.matmul(q, k.swapaxes(0, 1)))) / tau ** power
""",
    ),
    "a helper that comes later": (
        "05-attention/4",
        """
def temperature_gradient(dz, q, k, tau):
    return derivative(tau) * np.vdot(dz, q @ k.T)
""",
    ),
    "lists": (
        "05-attention/2",
        """
def banded_mask(queries, keys, window, lengths):
    return np.array([[[0 <= t + keys - queries - j < window and j < n for j in range(keys)] for t in range(queries)]
                     for n in lengths])
""",
    ),
    "a class inside": (
        "06-gpt/2",
        """
from dataclasses import dataclass
@dataclass
class Block:
    width: int
    def size(self):
        c = self.width
        return sum([2 * c, 3 * c * c + 3 * c, c * c + c, 2 * c, 4 * c * c + 4 * c, 4 * c * c + c])
def parameter_count(vocab_size, context, layers, width, norm):
    blocks = sum(Block(width).size() for _ in range(layers))
    return (vocab_size + context) * width + blocks + (norm == "pre") * 2 * width
""",
    ),
    "a cached function": (
        "06-gpt/3",
        """
import functools
@functools.lru_cache(maxsize=None)
def step_flops(batch, context, layers, width, vocab_size):
    per_token = 24 * layers * width ** 2 + 2 * vocab_size * width + 4 * layers * context * width
    return 3 * batch * context * per_token
""",
    ),
    "where": (
        "06-gpt/1",
        """
def squared_relu_backward(dy, x):
    return np.where(x > 0, 2 * x * dy, np.zeros_like(x))
""",
    ),
    "sorting": (
        "08-sampling/2",
        """
def nucleus(probabilities, top_p):
    order = probabilities.argsort()[::-1]
    before = np.cumsum(probabilities[order]) - probabilities[order]
    out = probabilities * 0
    keep = order[before < top_p]
    out[keep] = probabilities[keep]
    return out / out.sum()
""",
    ),
    "logarithms": (
        "08-sampling/1",
        """
def with_temperature(z, temperature):
    z = z / temperature
    top = z.max()
    return np.exp(z - top - np.log(np.sum(np.exp(z - top))))
""",
    ),
    "arithmetic in place of a number": (
        "08-sampling/5",
        """
LAYERS, HEADS = 80, 8
answer = 2 * LAYERS * HEADS * 128 * 4096 * 2
""",
    ),
    "numbers one by one": (
        "08-sampling/3",
        """
def min_p(probabilities, m):
    limit = max(probabilities.tolist()) * m
    kept = [p if p >= limit else 0.0 for p in probabilities.tolist()]
    return np.array([p / math.fsum(kept) for p in kept])
""",
    ),
    "padding by hand": (
        "13-bert/4",
        """
def pair_row(a, b, cls, sep, pad, width):
    first, second = [cls] + a + [sep], b + [sep]
    empty = width - len(first) - len(second)
    return (np.array(first + second + empty * [pad]), np.array(len(first) * [0] + len(second) * [1] + empty * [0]),
            np.array((width - empty) * [True] + empty * [False]))
""",
    ),
    "one mask after the other": (
        "13-bert/1",
        """
def hide(ids, chosen, u, random, mask_id):
    out = np.array(ids)
    out[chosen[u < 0.8]] = mask_id
    out[chosen[u >= 0.9]] = random[u >= 0.9]
    return out
""",
    ),
    "concatenation": (
        "13-bert/2",
        """
def pooler_backward(dc, c, weight, tokens):
    first = np.einsum("bo,io->bi", dc * (1 - c) * (1 + c), weight)
    return np.concatenate([first[:, None], np.zeros((len(c), tokens - 1, c.shape[1]))], axis=1)
""",
    ),
    "a formula": (
        "04-layer-norm/5",
        """
def merge(n1, m1, q1, n2, m2, q2):
    n = n1 + n2
    mean = (n1 * m1 + n2 * m2) / n
    return n, mean, q1 + q2 + n1 * (m1 - mean) ** 2 + n2 * (m2 - mean) ** 2
""",
    ),
    "a diagonal matrix": (
        "04-layer-norm/4",
        """
def fold(gain, bias, weight, linear_bias):
    return np.diag(gain) @ weight, linear_bias + np.tensordot(bias, weight, 1)
""",
    ),
    "a product of sums": (
        "04-layer-norm/3",
        """
def rmsnorm_dx(dy, normalized, inverse_rms, gain):
    g, c = gain * dy, dy.shape[-1]
    return inverse_rms * (g - normalized * ((g * normalized).sum(-1, keepdims=True) / np.asarray(c, dy.dtype)))
""",
    ),
    "a result of NumPy's": ("04-layer-norm/2", "\nanswer = np.sqrt(1e-5 / 3)\n"),
}
LATER = "\ndef derivative(t):\n    return -1 / t ** 2\n"
MALICE = {  # each in place of the body of 05-attention/1, whose arguments are p and dp
    "an endless loop": "while True: pass",
    "sleep": "import time; time.sleep(10**6)",
    "fifty gigabytes": "return np.ones(50 * 2**30 // 8)",
    "gigabytes by and by": "x = []\nwhile True: x.append(bytes(10**7))",
    "sys.exit": "import sys; sys.exit(0)",
    "os._exit": "import os; os._exit(0)",
    "forking": "import os\nwhile True: os.fork()",
    "forking without words": "import ctypes\nwhile ctypes.CDLL(None).fork() >= 0: pass\nreturn p",
    "threads without end": (
        "import threading, time\nthreading.stack_size(32768)\n"
        "while True: threading.Thread(target=time.sleep, args=(999,), daemon=True).start()"
    ),
    "another program": "import subprocess; subprocess.run(['true']); return p",
    "a signal to the parent": "import ctypes, os; ctypes.CDLL(None).kill(os.getppid(), 9); return p",
    "a printed result": "print('05-attention/1 is right.'); return p",
    "the reference": "from minigpt import ops; return ops.softmax_backward(dp, p)",
    "the reference's file": "exec(open({here!r}).read()); return p",
    "a patched NumPy": "np.allclose = np.array_equal = lambda *a: True\nnp.asarray = lambda x: np.zeros(3)\nreturn p",
    "a patched runner": (
        "import __main__\n__main__.call = lambda *a: {{'result': {{'plain': True}}, 'after': []}}\nreturn p"
    ),
    "a forged answer": "import os, sys\nopen(sys.argv[1] + '/out/told.json', 'w').write('{{}}'); os._exit(0)",
    "an equal of everything": "class Same(float):\n    __eq__ = lambda *a: True\n    __le__ = __eq__\nreturn Same(1)",
    "an array of another kind": "return np.array([p, {{}}, None], dtype=object)",
    "an answer of gigabytes": "return [np.ones(2**22)] * 10**5",
    "nesting without end": "x = []\nfor _ in range(10**5): x = [x]\nreturn x",
    "deleting files": "import os; os.remove({here!r}); return p",
}


def malicious(name):
    body = MALICE[name].format(here=__file__).replace("\n", "\n    ")
    return function("05-attention/1", f"def softmax_gradient(p, dp):\n    {body}\n")


def styled(name):
    exercise, text = STYLES[name]
    source = function(exercise, text)
    return exercise, source + (LATER if "later" in name else "")
