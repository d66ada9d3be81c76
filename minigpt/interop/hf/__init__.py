"""Hugging Face's names, layouts and folders, both ways: one file per lineage, and what they share.

To add a family, write a file with a class (see family.py; one like another inherits from it) and list it in
families.py. Its heart is the naming table: a row for each of their tensors, saying which view of ours it is. tables.py
has the views that occur (`as_is`, `transposed`, `columns` of a fused projection), the rows of a linear layer or a norm,
and repeats those of a layer; gpt.py is a short example. A tied tensor stands in the table once, under the name that
they save it by; its other names stand in `tied`. What the family reads from config.json it lists in `fields` and
`fixed`, or asks `Keys` for: every key that has an effect in their class, honoured or refused.
"""

from minigpt.interop.hf.families import FAMILIES, family_of, to_state_dict

__all__ = ["FAMILIES", "family_of", "to_state_dict"]
