"""A file that is read entry by entry says the same as when it is read as a whole, however it is written."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdnapp.config import Invalid, ResultCache, document, fast_parse

LINES = st.sampled_from(
    [
        *(
            "ports:",
            "hosts:",
            "hosts: # both",
            "a: 1",
            "b: {x: 1, y: [2, 3]}",
            "c:",
            "d: |",
            "e: >-",
            "a:b: 1",
        ),
        *("f: {x: 1,", "  y: 2}", "y: 2}", 'g: "one', 'two"', 'two: 2"', "h: one", "  two", "'i': 1", "? j"),
        *("- 1", "- k: 1", "# note", "", "  ", "---", "...", "%YAML 1.1", "l: &x 1", "m: *x", "n: !!str 1"),
        *("<<: {a: 1}", "o: 1 # note", "p: [", "]", "q: 1\rr: 2", "s: 1\u2028t: 2", "u: # v\rw: 1", "{a: 1}"),
        *("\tx: 1", "y.z: ~", "1: 2", "a: null", "A: |2", "B: 'it''s'", "C: [" * 33 + "]" * 33),
    ]
)
INDENTS = st.sampled_from(["", "", "", "  ", "  ", "  ", " ", "    ", "      "])
TEXTS = st.lists(st.builds(str.__add__, INDENTS, LINES), max_size=12).map("\n".join)


def as_a_whole(text: str) -> object:
    """The values of the document in their order; None where something is wrong."""
    try:
        found = document.read(text, "f")
    except Invalid:
        return None
    return None if found.problems else json.dumps(found.values)


def by_entry(text: str, results: ResultCache) -> object:
    """The same; None also where it has to be read as a whole."""
    found = fast_parse.read(text, value, results)
    return None if found is None else json.dumps(found)


def value(_path: tuple[str, ...], _key: str, value: Any) -> Any:
    return value


@settings(deadline=None, max_examples=600)
@given(st.lists(TEXTS, min_size=1, max_size=3), st.booleans())
@example(["ports:\n  a: 1\n  b: 2", "hosts:\n  a: 1\nports:\n  a: 1\n  b: 3"], True)
@example(["a:\na:"], False)
@example(["# note\n  a:\n...\n  b:"], False)
@example(["a: {x: 1}\nb: 2", "{a: 1}\nb: 2"], True)
def test_a_file_says_the_same_read_entry_by_entry(texts: list[str], ended: bool) -> None:
    results = ResultCache()
    for text in texts:
        results = ResultCache(results.made)

        assert by_entry(text + "\n" * ended, results) in {None, as_a_whole(text + "\n" * ended)}


def test_a_file_that_is_plain_is_read_entry_by_entry() -> None:
    for text in (
        "a: 1\n",
        "# note\na: {x: 1}\n\nb: # note\n\n  c:\n    x: 1\n  d: |\n    x\n\ne:",
        "a:\n  b: [1,\n    2]",
    ):
        assert by_entry(text, ResultCache()) == as_a_whole(text) is not None


def test_what_is_written_as_before_is_not_read_again() -> None:
    first = ResultCache()
    before = fast_parse.read("hosts:\n  a: {}\nports:\n  a: {x: 1}\n  b: {x: 2}\n", value, first)
    after = fast_parse.read(
        "# more\nports:\n  c: 1\n  b: {x: 2}\nhosts:\n  a: {}\n", value, ResultCache(first.made)
    )

    assert before is not None
    assert after == {"ports": {"c": "1", "b": {"x": "2"}}, "hosts": {"a": {}}}
    assert after["ports"]["b"] is before["ports"]["b"]
    assert after["hosts"] is before["hosts"]
