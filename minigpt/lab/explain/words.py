"""What the page says at each step, in plain English. Names in `code` are the code's own."""

from __future__ import annotations

from typing import NamedTuple


class Words(NamedTuple):
    title: str
    say: str


_ACTIVATION = Words(
    "Activation",
    "Each number is bent by itself: large ones pass, negative ones are held back. Without this bend, two linear layers "
    "in a row would be no more than one.",
)
_ACTIVATION_BACK = Words(
    "Back through the activation",
    "Each number's gradient is multiplied by the slope of the curve at that number. Where the curve is flat, nothing "
    "gets through.",
)

# By operation and part, then the phase.
FORWARD: dict[tuple[str, str], Words] = {
    ("embedding", ""): Words(
        "Look up each token",
        "Each token's id picks one row of the table: a list of numbers that training has found for this token. From "
        "here on the model sees numbers only.",
    ),
    ("embedding", "token_types"): Words(
        "Look up each segment",
        "BERT reads one or two texts at once. A second table has a row for each of the two, which says to which text "
        "a token belongs.",
    ),
    ("embedding", "gather"): Words(
        "Pick the hidden places",
        "Only the places that were hidden are to be predicted, so only their rows go on.",
    ),
    ("position", ""): Words(
        "Add where it stands",
        "Attention by itself does not see the order of tokens. So each place, first, second and so on, has a row of "
        "its own in a second table, and it is added to the token's row. Now the same word differs from place to "
        "place.",
    ),
    ("norm", ""): Words(
        "Norm",
        "Each row is brought to the same size, so that the next layer gets numbers of a size that it is used to: that "
        "is `normalized`. Then each column is multiplied by a learned number, its gain: that is `y`.",
    ),
    ("linear", ""): Words(
        "Linear layer",
        "Each row is multiplied with the weight matrix: every number that comes out is a weighted sum of all numbers "
        "of the same row. Rows do not see each other here.",
    ),
    ("linear", "qkv"): Words(
        "Query, key and value",
        "One matrix turns each token's row into three. The query says what the token looks for, the key what it "
        "offers, the value what it hands to those that look at it. Each is cut into heads.",
    ),
    ("linear", "q"): Words(
        "Query",
        "The text being written asks: one matrix makes a query of each of its rows. Keys and values come from the "
        "source.",
    ),
    ("linear", "kv"): Words(
        "Key and value of the source",
        "The encoder's rows answer: one matrix makes a key and a value of each of them.",
    ),
    ("linear", "out"): Words(
        "Bring the heads together",
        "What all heads found stands side by side in one row. This matrix mixes it into what attention adds to the "
        "stream.",
    ),
    ("linear", "up"): Words(
        "Feed-forward, up",
        "The row is multiplied into a wider one. Each new number is a weighted sum of the row: it is large where the "
        "row resembles its weights.",
    ),
    ("linear", "down"): Words(
        "Feed-forward, down",
        "The wide row is multiplied back to the stream's width: what the feed-forward layer adds.",
    ),
    ("linear", "output"): Words(
        "Logits: a score for each token",
        "Each row is compared with every token of the vocabulary. A high score says: this may come here. Shown are the "
        "tokens that matter for this text.",
    ),
    ("rope", ""): Words(
        "Turn queries and keys by their place",
        "Pairs of numbers are turned like the hand of a clock, the further the later the token stands. The score of a "
        "query and a key then depends on how far apart they are.",
    ),
    ("attention", "scores"): Words(
        "Scores: each query meets each key",
        "The score of a query and a key is their product, summed over the head's numbers, times `scale`: mostly 1/√D, "
        "where D is how many numbers a head's query has. A high score says: this key offers what this query looks for.",
    ),
    ("attention", "mask"): Words(
        "Mask: who may look where",
        "A score that the mask does not allow becomes −∞. A model that writes from left to right must not look at what "
        "comes later. Nor does a gradient come back to such a score: the step back through the softmax shows why.",
    ),
    ("attention", "softmax"): Words(
        "Softmax: scores become shares",
        "Each row of scores becomes shares that are positive and sum to 1. A score of −∞ becomes exactly 0: that token "
        "is not looked at.",
    ),
    ("attention", "mixture"): Words(
        "Mixture of values",
        "Each query takes its share of every value it looks at, and adds them up. This is the only place where tokens "
        "learn of each other.",
    ),
    ("activation", ""): _ACTIVATION,
    ("tanh", ""): _ACTIVATION,
    ("add", "sum"): Words(
        "Residual sum",
        "The stream is the row that runs through all layers, `x`. What attention or the feed-forward layer found, "
        "`y`, is added to it. The stream keeps all that was there before.",
    ),
    ("cross_entropy", ""): Words(
        "Probabilities and loss",
        "A softmax over the vocabulary turns scores into probabilities. A place costs −log of the probability of the "
        "token that really came next: 0 if the model was certain of it, much if it was surprised. The loss is the mean "
        "over the places, in nats: a probability of one half costs 0.69.",
    ),
}

BACKWARD: dict[tuple[str, str], Words] = {
    ("embedding", ""): Words(
        "Into the table",
        "The gradient reaches the rows of the table. A token that stands at several places gets the sum of their "
        "gradients. If the output layer uses the same table, every row has a gradient from there, also that of a "
        "token which the text does not have. Here the road ends. Training then moves these numbers a little the other "
        "way, so that the loss falls.",
    ),
    ("embedding", "gather"): Words(
        "Back to the hidden places",
        "Only the hidden places were predicted, so only their rows receive a gradient; all others get 0.",
    ),
    ("position", ""): Words(
        "Into the positions",
        "Forward it was a sum. So the same gradient goes to both: to the token's row and to the row of its place.",
    ),
    ("norm", ""): Words(
        "Back through the norm",
        "Multiply a row by a number, and nothing changes behind its norm; nor, with a LayerNorm, if you add one "
        "number to all its entries. So the gradient must not ask for such a change: that part of it is taken off. "
        "What is left is divided by the row's size.",
    ),
    ("linear", ""): Words(
        "Back through the linear layer",
        "`dx` is `dy` times the same matrix, transposed: its rows have become columns. The gradient of the weight, "
        "`dweight`, is what came in, `x`, times what comes back, `dy`, summed over all tokens.",
    ),
    ("linear", "output"): Words(
        "Back from the logits",
        "A vocabulary token has a column in the output matrix. `dx` sums these columns, each times its token's error. "
        "And the matrix learns: the right token's column is pulled towards the place's row `x`, all others are pushed "
        "away.",
    ),
    ("rope", ""): Words(
        "Turn the gradient back",
        "A turn is undone by turning the other way; the gradient is turned back by the same angles.",
    ),
    ("attention", "dv"): Words(
        "Gradient of the values",
        "A value was used by every query that looked at it. It receives their gradients, each times the share with "
        "which the query looked: `dv` is `weights` transposed times `dy_heads`.",
    ),
    ("attention", "dprobabilities"): Words(
        "Gradient of the shares",
        "Would it help to look there more? The gradient that comes back at a query, times the value of a key, says how "
        "the loss would move with that share.",
    ),
    ("attention", "dscores"): Words(
        "Back through the softmax",
        "Shares sum to 1, so one can only grow while others shrink. So from each row of `dprobabilities` its mean, "
        "weighted by the shares, is taken off, and each number is multiplied by its share. Where the mask forbids, "
        "the share is 0, and 0 times anything is 0: that is why the masked half of `dscores` is exactly zero.",
    ),
    ("attention", "dq"): Words(
        "Gradient of the queries",
        "Scores were multiplied by `scale`, so `dscores` is too. A query met every key that it may look at, so it sums "
        "over them: `dq` is `dscores` times `k_heads`.",
    ),
    ("attention", "dk"): Words(
        "Gradient of the keys",
        "A key met every query that may look at it, so it sums over them: `dk` is the same `dscores`, transposed, "
        "times `q_heads`.",
    ),
    ("activation", ""): _ACTIVATION_BACK,
    ("tanh", ""): _ACTIVATION_BACK,
    ("add", "split"): Words(
        "At a residual sum the gradient goes both ways",
        "A sum hands its gradient on to both summands, unchanged: the same numbers flow along the stream and into the "
        "sub-layer. Nothing is computed. This open road is why deep models can be trained.",
    ),
    ("add", "join"): Words(
        "The two roads meet",
        "Forward, the stream was used twice: it went on, and it went into the sub-layer. Backward, the two gradients "
        "are added: the one that came along the stream, here called `x`, and the one through the sub-layer, `y`.",
    ),
    ("cross_entropy", ""): Words(
        "Here the gradient starts",
        "The gradient of a place's logits is what the model said minus what was true: its probabilities, with 1 taken "
        "off at the right token, divided by the number of places. Where the model was certain and right, that is "
        "almost 0. The last place has no next token, so it gets none.",
    ),
}

GROUPED = (
    "Here a key-value head serves several query heads, and receives the sum of the gradients that they give; it is "
    "taken at the end of the function."
)

TOKENS = Words(
    "The text becomes tokens",
    "A tokenizer cuts the text into pieces that it knows and gives each its number, the id. The model's work is to say "
    "at each place which token comes next. `␣` stands for a space.",
)


def words(operation: str, part: str, *, backward: bool) -> Words:
    """The words for a step."""
    table = BACKWARD if backward else FORWARD
    return table.get((operation, part)) or table[operation, ""]


GLOSSARY = [
    (
        "token, id",
        "A piece of text that the model knows: a word, a part of one, a mark. Its id is its number in the "
        "vocabulary, the list of all tokens.",
    ),
    (
        "parameter",
        "A number that training has found: an entry of a weight, a gain or a table. All other numbers here "
        "are computed from the parameters and the text.",
    ),
    ("embedding", "The row of numbers that stands for a token."),
    (
        "stream",
        "One row of numbers a token that runs through all layers, also called the residual stream. Each layer "
        "reads it and adds to it.",
    ),
    ("layer", "Attention and after it a feed-forward network. A model repeats it, each time with other parameters."),
    ("sub-layer", "Attention, or the feed-forward network: one of the two parts of a layer that add to the stream."),
    (
        "attention, head",
        "How tokens learn of each other: each takes a mixture of what others offer. A layer does so "
        "several times side by side; each time is a head.",
    ),
    (
        "query, key, value",
        "Three rows that a head makes of a token's row: what the token looks for, what it offers to "
        "those who look, and what it hands over.",
    ),
    ("mask", "Who may look where. Left out are mostly the tokens that come later."),
    ("softmax", "Turns scores into shares that are positive and sum to 1."),
    (
        "norm",
        "Two things: a layer that brings each row to the same size; and, above a picture, the length of an array, "
        "the root of the sum of its squares.",
    ),
    ("shape", "How many numbers an array has along each axis: (4, 19, 32) is 4 heads of 19 tokens of 32 numbers."),
    ("logit", "The score of a token of the vocabulary, before the softmax makes a probability of it."),
    (
        "loss, nat",
        "The mean cost of the right tokens. A token costs −log of its probability, in nats: 0 if it was "
        "certain, 0.69 at one half, 4.6 at one in a hundred.",
    ),
    (
        "gradient",
        "How much the loss would grow for each unit that a number grows. The code calls the gradient of `x` "
        "`dx`; it has the shape of `x`.",
    ),
    (
        "forward, backward",
        "From the text to the loss; and from the loss back along the same road, to find the gradient of every number.",
    ),
]
