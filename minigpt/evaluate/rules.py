"""How the options of a question are compared: the names of the rules, which `minigpt.evaluate.scoring.rate` applies."""

RULE_NAMES = {
    "sum": "Σ log p",
    "token": "log p per token",
    "character": "log p per character",
    "unconditional": 'Σ log p minus that after "Answer:"',
}
RULES = tuple(RULE_NAMES)
