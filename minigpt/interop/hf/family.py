"""What one family of Hugging Face's has to say about itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table


class Family(NamedTuple):
    """One `model_type`, as data and pure functions.

    Attributes:
        model_type: what config.json calls it.
        config_class: their class for it, which says what keys there are.
        family: our name, a key of `minigpt.train.families.FAMILIES`.
        table: the naming table of a model (see `minigpt.interop.tables`): their name -> (our name, view). It may name
            more than the model has (see `rows`).
        architecture: the class whose folders we read and write.
        read_config: our configuration of theirs; it asks for every key that it understands, `fixed` ones included.
        write_config: theirs of ours, without what all families share.
        fits: whether one of our configurations of that family is of this model_type ("gpt" is two of theirs).
        problems: what their class cannot express, as ends of the sentence "the model has …", and whether such a
            configuration has it.
        prefix: what names begin with in the table, and lack in files of the bare model.
        tied: further names of tensors that stand in the table once -> their name in the table.
        optional: their names that may be absent, which then are zeros.
        ignored: buffers that some files carry, as a regular expression.
        renamed: old spellings, as a regular expression -> its replacement.
        harmless: keys of config.json that change nothing, beyond those that all families share.
        aliases: further names of keys (see `minigpt.interop.keys.Keys`).
        signature: a tensor that only this family has, by which a configuration without a model_type is recognised.
    """

    model_type: str
    family: str
    table: Callable[[Any], Table]
    config_class: str
    architecture: str
    read_config: Callable[[Keys], Any]
    write_config: Callable[[Any], dict[str, Any]]
    fits: Callable[[Any], bool] = lambda config: True
    problems: Callable[[Any], Mapping[str, Any]] = lambda config: {}
    prefix: str = ""
    tied: Mapping[str, str] = {}
    optional: frozenset[str] = frozenset()
    ignored: str = r"(?!)"
    renamed: Mapping[str, str] = {}
    harmless: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = MappingProxyType({})
    signature: str = ""

    @property
    def bare(self) -> str:
        """Their class without a head."""
        return f"{self.config_class.removesuffix('Config')}Model"

    def rows(self, model: Any) -> Table:
        """The table's rows of what the model has; without a head, as the bare class names them."""
        ours = {spec.name for spec in model.specs}
        found = {theirs: row for theirs, row in self.table(model).items() if row[0] in ours}
        headless = getattr(model.config, "headless", False)
        return {theirs.removeprefix(self.prefix): row for theirs, row in found.items()} if headless else found

    def canonical(self, name: str, table: Table) -> str | None:
        """The name in the table (or among the tied ones) that `name` in a file stands for; None to ignore it.

        A name that stands for nothing is returned as it is.
        """
        for old, new in self.renamed.items():
            name = re.sub(old, new, name)
        for candidate in (name, self.prefix + name, name.removeprefix(self.prefix)):
            if candidate in table or candidate in self.tied:
                return candidate
        return None if re.fullmatch(self.ignored, name) else name
