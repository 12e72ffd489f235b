"""Trees from the bytes, and from another tree."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from omeconf.core.parse import Element, Parser, with_other_text
from omeconf.errors import NotWellFormed

PIECES = (
    "<a>", "</a>", "<b x='1'>", "</b>", "<c/>", "<!-- - -->", "<![CDATA[ 1 ]]>", "&amp;", "\n", " ",
    "1", "value", "ä", ">", "]]>",
)  # fmt: skip


def parsed(data: bytes) -> Element | None:
    try:
        return Parser("", lambda _: (1, 1)).parse(data, "utf-8")
    except NotWellFormed:
        return None


def shape(element: Element) -> Any:
    """Everything about an element and those below it."""
    own = (element.name, element.attributes, element.start, element.open_end)
    children = [shape(child) for child in element.children]
    assert all(child.parent is element for child in element.children)
    return (*own, element.close_start, element.end, list(element.texts), children)


some_xml = st.lists(st.sampled_from(PIECES), max_size=12).map("".join)


@given(some_xml, some_xml, st.data())
def test_with_other_text(before: str, inside: str, data: st.DataObject) -> None:
    """A tree made of another is the one of the bytes; whatever it cannot tell, it says so."""
    old = f"<r><v>{inside}</v>{before}<v>12 text</v></r>".encode()
    root = parsed(old)
    if root is None:
        return
    start = data.draw(st.integers(1, len(old) - 1))
    end = data.draw(st.integers(start, min(start + 4, len(old))))
    text = data.draw(st.sampled_from(["", " ", "3", "some more", "<c/>", "&", "]]>", "\r", "ö"]))
    new = old[:start] + text.encode() + old[end:]
    made = with_other_text(root, start, end, len(new) - len(old), new)
    if made is not None:
        wanted = parsed(new)
        assert wanted is not None
        assert shape(made) == shape(wanted)


def test_a_value_is_not_parsed_again() -> None:
    """The case that it is for."""
    old, new = b"<r><v>12</v><w>5</w></r>", b"<r><v>1234</v><w>5</w></r>"
    root = parsed(old)
    assert root is not None
    made = with_other_text(root, 6, 8, 2, new)
    assert made is not None
    assert made.children[0].value == "1234"
    assert with_other_text(root, 3, 8, 2, b"<r><x>1234</x><w>5</w></r>") is None
