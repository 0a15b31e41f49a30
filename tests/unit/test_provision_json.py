"""The parser that stands in for that of the ``ovs`` library: the same objects, however they arrive."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest

from sdnapp.provision.ovs_library import Parser

MESSAGES = [
    {"id": 1, "result": {"name": 'a "quoted" }{][ one', "path": "back\\slash\\"}, "error": None},
    {"method": "update3", "params": [["monid", "Open_vSwitch"], {"ports": ["set", []]}, "\u00e9\u2028"]},
    {},
]


def parsed(pieces: Iterable[str]) -> list[object]:
    """Parse as the library does, which keeps what the parser did not take."""
    found, parser = [], Parser()
    for piece in pieces:
        rest = piece
        while rest:
            rest = rest[parser.feed(rest) :]
            if parser.is_done():
                found.append(parser.finish())
                parser = Parser()
    return found


@pytest.mark.parametrize("ascii_only", [True, False])
def test_objects_arrive_whole_wherever_the_text_is_cut(ascii_only: bool) -> None:
    text = "".join(json.dumps(message, ensure_ascii=ascii_only) for message in MESSAGES)
    for cut in range(len(text)):
        assert parsed([text[:cut], text[cut:]]) == MESSAGES
    assert parsed(text) == MESSAGES


def test_what_is_no_json_is_said_in_words() -> None:
    (words,) = parsed(['{"id": nonsense}'])
    assert isinstance(words, str)
