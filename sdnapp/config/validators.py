"""Building blocks of scalar types: validators and their JSON Schema."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from pydantic import PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from sdnapp.config.problem import join_or, nearest, shown

NUMBER = re.compile(r"0|[1-9][0-9]{0,9}|0x[0-9a-fA-F]{1,8}")


def invalid(message: str, remedy: str) -> PydanticCustomError:
    """Validation error with message and remedy."""
    return PydanticCustomError("wrong", "{message}", {"message": message, "remedy": remedy})


def parsed(what: str, remedy: str, parse: Callable[[str], Any]) -> PlainValidator:
    """Validator of text; ``parse`` returns None or raises ValueError if it is not ``what``."""

    def validate(value: Any) -> Any:
        try:
            result = parse(value) if isinstance(value, str) else None
        except PydanticCustomError:
            raise
        except ValueError:
            result = None
        if result is None:
            raise invalid(f"{shown(value)} is not {what}", remedy)
        return result

    return PlainValidator(validate)


def whole_number(what: str, low: int, high: int) -> PlainValidator:
    """Validator of whole numbers within bounds, in decimal or hexadecimal."""

    def parse(text: str) -> int | None:
        number = int(text, 0) if NUMBER.fullmatch(text) else -1
        return number if low <= number <= high else None

    return parsed(what, f"Write a whole number from {low} to {high}.", parse)


def choice(what: str, *words: str, former: Mapping[str, str] | None = None) -> PlainValidator:
    """Validator of words, with suggestions; ``former``: replacements of earlier words."""

    def parse(text: str) -> str:
        if text in words:
            return text
        close = (former or {}).get(text) or nearest(text.lower(), words)
        remedy = f"Did you mean {close!r}?" if close else f"Write {join_or(words)}."
        raise invalid(f"{shown(text)} is not {what}", remedy)

    return parsed(what, f"Write {join_or(words)}.", parse)


def integer_schema(low: int, high: int) -> WithJsonSchema:
    """JSON Schema of whole numbers within bounds."""
    return WithJsonSchema({"type": "integer", "minimum": low, "maximum": high})


def string_schema(what: str, pattern: re.Pattern[str] | None = None) -> dict[str, Any]:
    """JSON Schema of text, with ``what`` as comment."""
    schema: dict[str, Any] = {"type": "string", "$comment": what}
    return schema if pattern is None else {**schema, "pattern": f"^({pattern.pattern})$"}


def as_list(value: Any) -> Any:
    """Wrap a single value in a list."""
    return value if isinstance(value, list) else [value]


def one_or_list_schema(what: str) -> WithJsonSchema:
    """JSON Schema of text or a list of texts."""
    item = string_schema(what)
    return WithJsonSchema({"anyOf": [item, {"type": "array", "items": item}]})
