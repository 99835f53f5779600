"""Flat dataclasses from JSON, checked field by field: no pickle is ever read."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, cast

from fastgan.reading import parse_json


def read_fields(cls: type, text: str | bytes, what: str) -> dict[str, Any]:
    """Return the fields of a flat dataclass from a JSON object, checked by name and type.

    Parameters
    ----------
    cls : type
        A dataclass whose annotations are str, int, bool, float, tuples of int or float, or these or
        None. A field with a default may be missing from the text.
    text : str or bytes
    what : str
        What errors call the object.

    Raises
    ------
    ValueError
        If the text is not JSON, a field is missing, unknown or of another type, or a number is not
        finite; the message names the field.
    """
    return checked_fields(cls, read_object(text, what), what)


def read_object(text: str | bytes, what: str) -> dict[str, Any]:
    """Return a JSON object; ValueError, which calls it ``what``, if the text is none."""
    values = parse_json(text, what)
    if not isinstance(values, dict):
        raise ValueError(f"{what}: expected a JSON object, got {type(values).__name__}")
    return values


def checked_fields(cls: type, values: Any, what: str) -> dict[str, Any]:
    """Return the fields of a flat dataclass from what JSON held; as :func:`read_fields`."""
    if not isinstance(values, dict):
        raise ValueError(f"{what}: expected a JSON object, got {type(values).__name__}")
    fields = {field.name: str(field.type) for field in dataclasses.fields(cls)}
    optional = {
        field.name for field in dataclasses.fields(cls) if field.default is not dataclasses.MISSING
    }
    for problem, names in (
        ("is missing", fields.keys() - values.keys() - optional),
        ("is unknown", values.keys() - fields.keys()),
    ):
        if names:
            raise ValueError(f"{what}: field {sorted(names)[0]!r} {problem}")
    return {
        name: _converted(values[name], kind, f"{what}: {name}")
        for name, kind in fields.items()
        if name in values
    }


def _converted(value: Any, kind: str, name: str) -> Any:
    """Return a JSON value as the annotated type, or raise a ValueError that names the field."""
    if kind.startswith("tuple["):
        if not isinstance(value, list):
            raise ValueError(f"{name}: expected a list of numbers, got {value!r:.100}")
        inner = "int" if kind.startswith("tuple[int") else "float"
        return tuple(_converted(number, inner, name) for number in value)
    if value is None and "None" in kind:
        return None
    kind = kind.removesuffix(" | None")
    by_kind: dict[str, type | tuple[type, ...]] = {
        "str": str,
        "int": int,
        "bool": bool,
        "float": (int, float),
    }
    accepted = by_kind[kind]
    boolean = isinstance(value, bool) and kind != "bool"
    if not isinstance(value, accepted) or boolean:
        raise ValueError(f"{name}: expected {kind}, got {value!r:.100}")
    if kind != "float":
        return value
    try:
        number = float(cast("float", value))
    except OverflowError:  # a whole number beyond float64
        number = math.inf
    if not math.isfinite(number):
        raise ValueError(f"{name}: expected a finite number, got {value!r:.100}")
    return number
