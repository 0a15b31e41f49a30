"""A file that is read entry by entry says the same as when it is read as a whole, however it is written."""

from __future__ import annotations

import json
from collections.abc import Callable

from hypothesis import example, given, settings
from hypothesis import strategies as st

from sdnapp.config import Invalid, Results, document, entries
from sdnapp.config.document import Document
from sdnapp.config.problem import Finding

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
FINDING = Finding(("ports", "a", "x"), "wrong", "mend it")


def said(read: Callable[[], Document]) -> object:
    """Values in their order, what is wrong, and where something is that would be wrong."""
    try:
        found = read()
    except Invalid as invalid:
        return invalid.problems
    return json.dumps(found.values), found.problems, found.problem(FINDING)


@settings(deadline=None, max_examples=600)
@given(st.lists(TEXTS, min_size=1, max_size=3), st.booleans())
@example(["ports:\n  a: 1\n  b: 2", "hosts:\n  a: 1\nports:\n  a: 1\n  b: 3"], True)
@example(["a:\na:"], False)
@example(["# note\n  a:\n...\n  b:"], False)
@example(["a: {x: 1}\nb: 2", "{a: 1}\nb: 2"], True)
def test_a_file_says_the_same_read_entry_by_entry(texts: list[str], ended: bool) -> None:
    results = Results()
    for text in texts:
        data = (text + "\n" * ended).encode()
        results = Results(results.made)

        whole = said(lambda data=data: document.read(data, "f"))  # type: ignore[misc]
        assert said(lambda data=data, results=results: entries.read(data, "f", results)) == whole  # type: ignore[misc]


def test_what_is_written_as_before_is_not_read_again() -> None:
    first = Results()
    before = entries.read(b"ports:\n  a: {x: 1}\n  b: {x: 2}\n", "f", first).values
    after = entries.read(b"# more\nports:\n  c: 1\n  b: {x: 2}\n", "f", Results(first.made)).values

    assert after == {"ports": {"c": "1", "b": {"x": "2"}}}
    assert after["ports"]["b"] is before["ports"]["b"]
