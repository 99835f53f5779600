"""Recipes as TOML: strict both ways, so that a typing error never becomes a default.

The document has a key for each field of :class:`fastgan.recipes.Recipe`; the layers are arrays of
tables, ``[[generator]]`` and ``[[discriminator]]``, whose keys say which kind of layer each is. An
earlier stage is a recipe in a table, ``[first_stage]``. TOML has no null: None is the string
"none".
"""

from __future__ import annotations

import dataclasses
import tomllib
import types
import typing
from pathlib import Path
from typing import Any

import tomli_w

from fastgan.reading import read_text
from fastgan.recipes import Recipe

# Ours have 3,000; dotted keys take the parser the square of their length.
MOST_RECIPE_BYTES = 2**16
_NONE = "none"
# Fields younger than the first documents, whose defaults say what those runs did.
_YOUNGER = frozenset(
    {"average_decay", "average_every", "collapse_first_epoch", "first_stage"}
    | {"initial_bias", "n_sparse_weights"}
)
_TOML_NAMES = {int: "a whole number", float: "a number", str: "a string", bool: "true or false"}


def recipe_to_toml(recipe: Recipe) -> str:
    """Return the TOML document of a recipe."""
    return tomli_w.dumps(_to_plain(recipe))


def recipe_from_toml(text: str) -> Recipe:
    """Return the recipe of a TOML document; see :func:`fastgan.recipes.from_toml`."""
    if len(text) > MOST_RECIPE_BYTES:
        raise ValueError(
            f"recipe: expected at most {MOST_RECIPE_BYTES:,} characters, got {len(text):,}"
        )
    try:
        document = tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("recipe: expected a flat document, got one nested too deeply") from error
    except ValueError as error:  # tomllib.TOMLDecodeError, and numbers that are too long
        raise ValueError(f"recipe: this is not TOML: {error}") from error
    recipe = _from_table(Recipe, document, where="")
    return typing.cast(Recipe, recipe)


def read_recipe(path: str | Path) -> Recipe:
    """Read a recipe file; what is wrong with it is said with the file's name in front."""
    text = read_text(path, MOST_RECIPE_BYTES)
    try:
        return recipe_from_toml(text)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{path}: {error}") from error


def differences(expected: Recipe, found: Recipe, *, ignore: frozenset[str]) -> list[str]:
    """List how two recipes differ, a phrase for each field that is not in ``ignore``."""
    phrases = []
    for field in dataclasses.fields(Recipe):
        ours, theirs = getattr(expected, field.name), getattr(found, field.name)
        if isinstance(ours, Recipe) and isinstance(theirs, Recipe):
            inner = differences(ours, theirs, ignore=ignore)
            phrases += [f"{field.name}.{phrase}" for phrase in inner]
        elif field.name not in ignore and ours != theirs:
            phrases.append(f"{field.name} is {_short(theirs)} there and {_short(ours)} here")
    return phrases


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 100 else text[:97] + "..."


def _to_plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {f.name: _to_plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return _NONE if value is None else value


def _from_table(kind: type, table: dict[str, Any], where: str) -> object:
    hints = typing.get_type_hints(kind)
    fields = {field.name for field in dataclasses.fields(kind)}
    for key in table:
        if key not in fields:
            raise ValueError(f"{where}{key}: unknown key; known are {', '.join(sorted(fields))}")
    missing = sorted(fields - set(table) - _YOUNGER)
    if missing:
        raise ValueError(f"{where}{missing[0]}: missing key (all missing: {', '.join(missing)})")
    arguments = {key: _from_plain(hints[key], value, where + key) for key, value in table.items()}
    try:
        return kind(**arguments)
    except ValueError as error:
        raise ValueError(f"{where}{error}") from error


def _likest(kinds: tuple[type, ...], table: dict[str, Any]) -> type:
    """Return the kind of layer that has most of a table's keys; of equal ones the first."""
    return max(kinds, key=lambda kind: sum(f.name in table for f in dataclasses.fields(kind)))


def _from_plain(hint: Any, value: Any, where: str) -> object:
    origin = typing.get_origin(hint)
    if origin is tuple:
        if not isinstance(value, list) or not all(isinstance(entry, dict) for entry in value):
            raise TypeError(f"{where}: expected an array of tables, got {_kind_of(value)}")
        kinds = typing.get_args(typing.get_args(hint)[0])
        return tuple(
            _from_table(_likest(kinds, entry), entry, f"{where}[{number}].")
            for number, entry in enumerate(value)
        )
    if origin in (types.UnionType, typing.Union):  # only X | None occurs
        if value == _NONE:
            return None
        hint = typing.get_args(hint)[0]
        if dataclasses.is_dataclass(hint):
            if not isinstance(value, dict):
                raise TypeError(f'{where}: expected a table or "{_NONE}", got {_kind_of(value)}')
            return _from_table(typing.cast(type, hint), value, f"{where}.")
    elif origin is typing.Literal:
        hint = str  # which strings are allowed is the dataclass's own check
    if hint is float and type(value) is int:
        try:
            return float(value)
        except OverflowError as error:
            raise ValueError(f"{where}: expected a number of float64, got {value!r:.50}") from error
    if type(value) is not hint:  # exactly: true is an int to isinstance
        raise TypeError(f"{where}: expected {_TOML_NAMES[hint]}, got {_kind_of(value)}")
    return typing.cast(object, value)


def _kind_of(value: object) -> str:
    if isinstance(value, list):
        return "an array"
    if isinstance(value, dict):
        return "a table"
    return f"{_TOML_NAMES.get(type(value), type(value).__name__)} ({value!r:.100})"
