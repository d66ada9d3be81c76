"""Speaking to a chat model: its template, which makes one text of the messages, and its answers, token by token."""
