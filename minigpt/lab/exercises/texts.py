"""What an exercise is called, which function it asks for, and a nudge: the first of its two hints.

The second hint is the exercise's own (`Exercise.hint`), which comes close to the answer. A nudge only says where to
look. No answers stand here.
"""

from __future__ import annotations

from typing import NamedTuple


class Text(NamedTuple):
    """Attributes: the function's name is None where a value is asked for."""

    title: str
    function: str | None
    nudge: str


def _points(text: Text) -> int:
    return 2 if text.function else 1


TEXTS = {
    "00-start-here/1": Text(
        "The loss of a model that knows nothing", None, "How probable is each token if none is preferred?"
    ),
    "00-start-here/2": Text("Greedy continuation", "greedy", "Which of the T positions says how the text goes on?"),
    "00-start-here/3": Text("Heads that look back", "looks_back", "Where in a (T, T) map do these numbers stand?"),
    "01-text-to-tokens/1": Text(
        "Replace a pair",
        "merge",
        "After a pair was replaced, where does the search go on? Try three equal ids in a row.",
    ),
    "01-text-to-tokens/2": Text(
        "Encode a word", "encode", "What decides first: where a pair stands, or when it was learned?"
    ),
    "01-text-to-tokens/3": Text(
        "Longest pieces",
        "longest_pieces",
        "From each place, try the longest piece first. What does a piece inside look like?",
    ),
    "01-text-to-tokens/4": Text(
        "Bytes of a word", None, "How many bytes has a letter with dots, and how many has bread?"
    ),
    "01-text-to-tokens/5": Text("Frequency or likelihood", None, "The score divides the pair's count by what?"),
    "02-embeddings-and-positions/1": Text(
        "Gradient of a look-up", "scatter", "What if one id occurs twice in a batch?"
    ),
    "02-embeddings-and-positions/2": Text("Parameters in tables", None, "A table has a row for each thing it knows."),
    "02-embeddings-and-positions/3": Text(
        "A row of sinusoids", "sinusoid", "How many different frequencies are there?"
    ),
    "02-embeddings-and-positions/4": Text(
        "Rotary scores", "rotary_score", "What does the product of two turned vectors depend on?"
    ),
    "02-embeddings-and-positions/5": Text(
        "The slowest pair", None, "Which pair is slowest, and what is a full turn in radians?"
    ),
    "03-objective/1": Text(
        "Terms of the objective", None, "Write the sum for a text of three tokens and a context of two."
    ),
    "03-objective/2": Text("Log-softmax", "log_softmax", "What may be taken off all scores of a row without a change?"),
    "03-objective/3": Text(
        "Distillation", "distillation_gradient", "Put log p into the loss first. What do the q of a row sum to?"
    ),
    "03-objective/4": Text("Bits per byte", None, "Two units change: nats to bits, and tokens to bytes."),
    "03-objective/5": Text("The smallest loss", None, "How often does each letter come in the long run?"),
    "04-layer-norm/1": Text("Two features", None, "What happens to x̂ if x is multiplied with a thousand?"),
    "04-layer-norm/2": Text(
        "How ε shrinks", None, "Write the deviation of x̂ as a fraction of two lengths: s over what?"
    ),
    "04-layer-norm/3": Text(
        "The gradient of RMSNorm",
        "rmsnorm_dx",
        "On how many ways does one x reach its row's x̂? What reaches x̂ itself, before anything else?",
    ),
    "04-layer-norm/4": Text(
        "Fold the norm away", "fold", "Write z with y = γ x̂ + β put in. Which part of it is multiplied with x̂?"
    ),
    "04-layer-norm/5": Text(
        "Merge two halves",
        "merge",
        "Around which mean must both sums of squares be taken? How far is each half's from it?",
    ),
    "05-attention/1": Text(
        "The softmax's gradient",
        "softmax_gradient",
        "Every Z_j moves every P_i of its row. Which sum comes out of that?",
    ),
    "05-attention/2": Text(
        "A banded mask",
        "banded_mask",
        "At which position does the first query stand, if there are more keys than queries?",
    ),
    "05-attention/3": Text(
        "One head, backwards",
        "head_backward",
        "Write the forward pass as four lines, then undo them from the last to the first. Which factor is constant?",
    ),
    "05-attention/4": Text(
        "A learnable temperature",
        "temperature_gradient",
        "One number reaches the loss through how many scores? What is the derivative of 1/τ?",
    ),
    "06-gpt/1": Text(
        "The squared ReLU", "squared_relu_backward", "What is the slope of x² at 3, and what is y left of 0?"
    ),
    "06-gpt/2": Text(
        "Count parameters",
        "parameter_count",
        "List a block's matrices and vectors with their shapes. What stands before the blocks, and what after them?",
    ),
    "06-gpt/3": Text(
        "FLOPs of a step",
        "step_flops",
        "How often is each weight multiplied for one token? Which products of attention have no weights?",
    ),
    "06-gpt/4": Text(
        "Find the bug",
        "layernorm_backward",
        "Check each of the three functions alone, with parameters drawn at random and not as they are at the start.",
    ),
    "07-training/1": Text(
        "A step of AdamW", "adamw_step", "In which order do decay, moments, corrections and the step come?"
    ),
    "07-training/2": Text(
        "Warm-up and cosine", "rate", "Which part of the way is behind, if only the steps after warm-up count?"
    ),
    "07-training/3": Text("Clip by the norm", "clip", "How many norms are there, and when must nothing be changed?"),
    "07-training/4": Text("Bytes of training", None, "Which arrays of the model's size does training hold?"),
    "07-training/5": Text("An outlier's memory", None, "With what is its weight multiplied in every step?"),
    "08-sampling/1": Text(
        "Softmax with a temperature",
        "with_temperature",
        "What is divided by τ, scores or probabilities? And what is exp(2000) in float64?",
    ),
    "08-sampling/2": Text(
        "Top-p",
        "nucleus",
        "Of which tokens must the sum be known to decide about one of them? Where does each stand in the end?",
    ),
    "08-sampling/3": Text("Min-p", "min_p", "Least of what is m? Think of a flat distribution, then of a sharp one."),
    "08-sampling/4": Text(
        "What a cache saves", None, "How long is the text that is read for the first new token, and for the last?"
    ),
    "08-sampling/5": Text("Bytes of a cache", None, "What is kept of a token in each layer, and for which heads?"),
    "09-cuda/1": Text("Merge two parts of a row", "merge", "Both sums must be rescaled to one maximum. Which one?"),
    "09-cuda/2": Text("A tile, backwards", "tile_backward", "With lse, is anything left to be normalised?"),
    "09-cuda/3": Text("A place for every chunk", "place", "How many rows share 128 bytes? Try an exclusive or."),
    "09-cuda/4": Text("The missing barrier", None, "Which thread reads what another one writes?"),
    "10-speed/1": Text("A lean GELU", "lean_gelu", "How can x + a x³ be written with one product fewer?"),
    "10-speed/2": Text(
        "AdamW in place", "adamw_in_place", "Which result can be written over an array that is not needed any more?"
    ),
    "10-speed/3": Text("Undivided exponentials", "unnormalised", "What is smaller, (T, S) or (T, D)? Divide that one."),
    "10-speed/4": Text(
        "FLOPs a byte", "intensity", "How many products has the result, and how many numbers are read and written?"
    ),
    "11-fine-tuning/1": Text("Both orders", "both_orders", "Which tokens stand first, in between and last?"),
    "11-fine-tuning/2": Text("Weights of tokens", "token_weights", "A mean of means: over what is each of them taken?"),
    "11-fine-tuning/3": Text(
        "A choice, backwards", "choice_backward", "What is the gradient of a mean cross-entropy for its scores?"
    ),
    "11-fine-tuning/4": Text("New parameters", None, "What is new: a linear layer, and which embeddings?"),
    "12-zero-shot/1": Text("Four rules", "choose", "By what does each rule divide, or what does it take off?"),
    "12-zero-shot/2": Text("Two answers", None, "Work out the sum, then divide by the number of tokens."),
    "12-zero-shot/3": Text("Two ways round", "two_ways", "Which sums over the table give p(u) and p(c)?"),
    "12-zero-shot/4": Text("Skill", None, "Where between guessing and perfection does it stand?"),
    "13-bert/1": Text(
        "80/10/10",
        "hide",
        "Three fates: which part of 0 … 1 belongs to each? What must the caller's ids look like afterwards?",
    ),
    "13-bert/2": Text(
        "The pooler, backwards",
        "pooler_backward",
        "What is the derivative of tanh, written with its result? Which of the T states does the pooler read?",
    ),
    "13-bert/3": Text("How many are changed", None, "How many are chosen, and what share of them looks as it was?"),
    "13-bert/4": Text(
        "A row of a pair",
        "pair_row",
        "To which of the two texts do [CLS] and each [SEP] belong? What stands in the rest of the row?",
    ),
    "14-bart/1": Text("Text infilling", "infill", "What does a span of length 0 do? Go from one span to the next."),
    "14-bart/2": Text("Words behind a mask", None, "Leave the zeros of the Poisson distribution out."),
    "14-bart/3": Text(
        "The memory's gradient", "memory_gradient", "Every layer reads the memory. What do gradients do that meet?"
    ),
    "14-bart/4": Text("ROUGE-1", "rouge_1", "Count words with their repetitions. What is an F1 in counts?"),
    "15-gpt3/1": Text("Pairs in a band", "allowed_pairs", "How many keys does the i-th query see?"),
    "15-gpt3/2": Text("How far a stack sees", "reach", "By how much does each layer reach further back?"),
    "15-gpt3/3": Text("Tokens for a budget", None, "How many FLOPs take one token and one parameter?"),
    "15-gpt3/4": Text("Fit a law", "fit_law", "Which quantity is a straight line in logarithms?"),
    "15-gpt3/5": Text("A prompt for RTE", "rte_prompt", "Print one of the notebook's prompts, with every line break."),
    "16-llama/1": Text(
        "RMSNorm, backwards", "rmsnorm_backward", "Which term of LayerNorm's gradient has no reason to be here?"
    ),
    "16-llama/2": Text("A rotation", "rotate", "Which two numbers are one pair, and by which angle is it turned?"),
    "16-llama/3": Text("SwiGLU, backwards", "swiglu_backward", "Which of the two factors goes through the sigmoid?"),
    "16-llama/4": Text("Bytes of a cache", "cache_bytes", "What is kept for each token and layer?"),
    "16-llama/5": Text("Meta's rows", "meta_to_halves", "Where does Hugging Face put the partner of row 0 of a head?"),
    "17-translation/1": Text("The schedule", "noam", "Two curves cross at the end of warm-up: which one counts?"),
    "17-translation/2": Text(
        "Smoothed labels", "smoothed_gradient", "What is the gradient if the truth is a distribution?"
    ),
    "17-translation/3": Text(
        "What the decoder reads", "decoder_inputs", "Everything moves by one. What becomes of −100?"
    ),
    "17-translation/4": Text(
        "The best hypothesis", "best_hypothesis", "Both numbers of a pair are negative or grow: divide by what?"
    ),
    "17-translation/5": Text(
        "A shift as a matrix", "shift_matrix", "One pair is turned by an angle: write its 2 × 2 matrix."
    ),
    "18-many-machines/1": Text(
        "A round of the ring", "ring_round", "Which piece does a rank send in round 0? And then?"
    ),
    "18-many-machines/2": Text("Seconds of a ring", "ring_seconds", "How many rounds, and how many bytes in each?"),
    "18-many-machines/3": Text(
        "Memory by ZeRO's stages", "zero_bytes", "Of the 16 bytes a parameter, which ones does each stage divide?"
    ),
    "18-many-machines/4": Text(
        "Two all-reduces, backwards", "mlp_backward", "x went to every rank. What do gradients do that meet?"
    ),
    "18-many-machines/5": Text(
        "A pipeline's bubble", "bubble", "In how many turns does a stage work, in how many not?"
    ),
}
POINTS = {name: _points(text) for name, text in TEXTS.items()}
