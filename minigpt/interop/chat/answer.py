"""A chat model's answer to a conversation, in pieces as they come."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence

from minigpt.core.errors import UserError, warn
from minigpt.generate.sampling import Kept, continuation, text_pieces
from minigpt.generate.settings import Generation
from minigpt.interop.chat.template import ChatTemplate, Message
from minigpt.interop.opened import Opened
from minigpt.interop.prompting import visible


def answer(
    loaded: Opened,
    template: ChatTemplate,
    messages: Sequence[Message],
    g: Generation,
    *,
    seed: Sequence[int] = (0,),
    stop: Callable[[], bool] = lambda: False,
    kept: Kept | None = None,
) -> Iterator[str]:
    """What follows the last message, up to the token that ends it.

    The text is the template's, and names of special tokens in it are these tokens, as in transformers: what is typed is
    not kept from naming them. Where the conversation does not fit the context, its oldest exchanges are left out.

    Args:
        stop: asked before every token whether to end here.
        kept: of the conversation so far: what it begins with is not read again.
    Raises:
        UserError: the template fails, or the last message alone is too long.
    """
    context = loaded.model.config.context
    new = min(g.max_new_tokens or context, context // 2)
    ids = _prompt(loaded, template, messages, context - new)
    size = loaded.text.vocab_size
    found = continuation(loaded.model, loaded.params, ids, new, g, seed=seed, vocab_size=size, kept=kept)
    wanted = itertools.takewhile(lambda _: not stop(), found)
    return text_pieces(loaded.text, visible(loaded, wanted))


def _prompt(loaded: Opened, template: ChatTemplate, messages: Sequence[Message], most: int) -> list[int]:
    """The ids of the conversation, of its newest part if need be; a system message stays."""
    left = list(messages)
    start = 1 if left[0]["role"] == "system" else 0
    while True:
        ids = loaded.text.encode(template.text(left), allowed="all")
        if len(ids) <= most:
            break
        if len(left) < start + 3:
            raise UserError(f"the message takes {len(ids)} tokens, and there is room for {most}: shorten it")
        del left[start : start + 2]
    if dropped := len(messages) - len(left):
        warn(f"the first {dropped} messages no longer fit the context: the model does not see them")
    return ids
