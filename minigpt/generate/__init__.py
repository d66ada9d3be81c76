"""Writing with a trained model.

sampling            the next token drawn: temperature, top-k, top-p
beam                several texts searched side by side
fill                blanks filled in
settings            all that can be asked for, under transformers' names
processors, truncation   what changes the scores before a token is chosen
embedding           texts as vectors
"""
