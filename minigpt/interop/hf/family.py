"""What one family of Hugging Face's has to say about itself."""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from minigpt.interop.hf.fields import Field, read, written
from minigpt.interop.keys import Keys
from minigpt.interop.tables import Table
from minigpt.train.families import FAMILIES

NOTHING: Mapping[str, Any] = MappingProxyType({})


class Family:
    """One `model_type`: a class that says of itself only what differs from here, or from the family that it is like.

    Attributes:
        model_type: what config.json calls it.
        architecture: the class whose folders we read and write.
        family: our name, a key of `minigpt.train.families.FAMILIES`.
        fields: the settings that both configurations have.
        fixed: keys that must have one of these values where they are there, since we compute nothing else.
        constants: settings of ours that all its models have.
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
    architecture: str
    family: str
    fields: tuple[Field, ...]
    fixed: Mapping[str, tuple[Any, ...]] = NOTHING
    constants: Mapping[str, Any] = NOTHING
    prefix: str = ""
    tied: Mapping[str, str] = NOTHING
    optional: frozenset[str] = frozenset()
    ignored: str = r"(?!)"
    renamed: Mapping[str, str] = NOTHING
    harmless: frozenset[str] = frozenset()
    aliases: Mapping[str, str] = NOTHING
    signature: str = ""

    def table(self, model: Any) -> Table:
        """The naming table of a model (see `minigpt.interop.tables`): their name -> (our name, view). It may name more
        than the model has (see `rows`).
        """
        raise NotImplementedError

    def read(self, keys: Keys) -> dict[str, Any]:
        """Our settings, of their configuration; every key that has an effect is asked for."""
        for name, values in self.fixed.items():
            keys.fixed(name, *values)
        return read(keys, self.fields)

    def read_config(self, keys: Keys) -> Any:
        """Our configuration, of theirs."""
        return FAMILIES[self.family].config(**{**self.constants, **self.read(keys)})

    def write_config(self, config: Any) -> dict[str, Any]:
        """Theirs, of ours, without what all families share."""
        return written(config, self.fields)

    def fits(self, config: Any) -> bool:
        """Whether one of our configurations of that family is of this model_type ("gpt" is three of theirs)."""
        return True

    def problems(self, config: Any) -> dict[str, Any]:
        """What their class cannot express, as ends of the sentence "the model has …", and whether such a configuration
        has it.
        """
        return {}

    @property
    def stem(self) -> str:
        """What the names of all their classes for it begin with."""
        return re.split("LMHead|For", self.architecture)[0]

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
