"""White space as Unicode has it, which is what Rust, and so Hugging Face's tokenizers, and the `regex` package mean.

Python means more: str.isspace, str.split, str.strip and \\s of `re` count U+001C to U+001F as well, and str.splitlines
ends lines at eight characters besides the line feed and the carriage return. Those are for what was written in Python,
such as BERT's and GPT's first tokenizers.
"""

WHITE = "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
