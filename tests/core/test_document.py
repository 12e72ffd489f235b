from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from omeconf.core.document import Document, Node, Splice, splice
from omeconf.core.parse import Element
from omeconf.errors import BadBody, NotWellFormed
from tests.support import EXAMPLES, SHARED

NEW = (
    Node("New"),
    Node("New", text="5 < 6 & ]]>"),
    Node("New", children=(Node("One", text="1"), Node("Two"))),
)


def element(document: Document, name: str) -> Element:
    return next(e for e in document.root.descendants() if e.name == name)


def set_text(document: Document, name: str, value: str) -> Document:
    return document.splice(document.set_text(element(document, name), value))


def insert(document: Document, parent: str, node: Node, after: str = "") -> Document:
    anchor = element(document, after) if after else None
    return document.splice(document.insert(element(document, parent), node, after=anchor))


def delete(document: Document, name: str) -> Document:
    return document.splice(document.delete(element(document, name)))


def example_files() -> list[Path]:
    own = sorted(EXAMPLES.rglob("*.xml"))
    return own + sorted((SHARED / "examples-ome").glob("*.xml"))


def readable(path: Path) -> Document:
    try:
        return Document(path.read_bytes(), file=path.name)
    except NotWellFormed as error:
        pytest.skip(f"not well-formed: {error}")


every_example = pytest.mark.parametrize(
    "path", example_files(), ids=lambda p: f"{p.parent.name}-{p.name}"
)
every_place = pytest.mark.parametrize(
    "share",
    [pytest.param((1, 9), id="some"), pytest.param((0, 1), id="all", marks=pytest.mark.long)],
)
"""Which places are tried, and of how many one."""


@every_example
@every_place
def test_set_and_set_back(path: Path, share: tuple[int, int]) -> None:
    """Every leaf of every example takes another value, and is as before when set back."""
    document = readable(path)
    for number, leaf in enumerate(document.root.descendants()):
        if leaf.children or number % share[1] != share[0]:
            continue
        changed = document.splice(document.set_text(leaf, "a <new> & other value"))
        again = list(changed.root.descendants())[number]
        assert again.value == "a <new> & other value"
        back = changed.splice(changed.set_text(again, leaf.value))
        assert back.data == document.data, leaf


@every_example
@every_place
def test_insert_and_delete(path: Path, share: tuple[int, int]) -> None:
    """A new element goes into every container at every place; deleted, nothing is left of it."""
    document = readable(path)
    for first, container in enumerate(document.root.descendants()):
        if container.texts:
            continue
        places: list[Element | None] = [None, *container.children]
        for number, place in enumerate(places):
            if (first + number) % share[1] != share[0]:
                continue
            node = NEW[number % len(NEW)]
            changed = document.splice(document.insert(container, node, after=place))
            assert sum(e.name == "New" for e in changed.root.descendants()) == 1
            assert delete(changed, "New").data == document.data, (container, place)


FORMS = {
    "tabs": b"<S>\n\t<A>1</A>\n\t<B/>\n</S>\n",
    "spaces": b"<S>\n    <A>1</A>\n    <B />\n</S>\n",
    "crlf": b"<S>\r\n\t<A>1</A>\r\n\t<B />\r\n</S>\r\n",
    "bom": b"\xef\xbb\xbf<?xml version='1.0'?>\n<S>\n <A>1</A>\n <B></B>\n</S>",
    "no final newline": b"<S>\n\t<A>1</A>\n\t<B   />\n</S>",
    "one line": b"<S><A>1</A> <B/></S>",
    "blank lines": b"<S>\n\n\t<A>1</A>\n\n\n\t<B>\n\t</B>\n\n</S>",
    "comments": b"<S>\n\t<!-- a -->\n\t<A>1</A> <!-- of A -->\n\t<B><!-- in B --></B>\n</S>",
    "latin1": b"<?xml version='1.0' encoding='ISO-8859-1'?>\n<S>\n\t<A>\xe9</A>\n\t<B/>\n</S>",
    "close on the line": b"<S>\n\t<A>1</A>\n\t<B/></S>",
}


@pytest.mark.parametrize("data", FORMS.values(), ids=FORMS)
@pytest.mark.parametrize("node", NEW, ids=["empty", "text", "children"])
def test_forms(data: bytes, node: Node) -> None:
    """Whatever the layout, insert then delete, and set then set back, give the same bytes."""
    document = Document(data)
    for parent, after in (("S", ""), ("S", "A"), ("S", "B"), ("B", "")):
        changed = insert(document, parent, node, after)
        assert delete(changed, "New").data == data
    for name in "AB":
        leaf = element(document, name)
        if b"\n" in document.source(leaf):
            continue  # blanks alone are no value, and do not come back
        value = leaf.value
        assert set_text(set_text(document, name, "<&>"), name, value).data == data


def test_new_element_is_like_its_siblings() -> None:
    """It stands behind the comment of the element before it, indented as that is."""
    document = Document(b"<S>\r\n  <A>1</A> <!-- of A -->\r\n  <!-- of B -->\r\n  <B/>\r\n</S>")
    changed = insert(document, "S", Node("New", children=(Node("One", "1"),)), after="A")
    assert changed.data == (
        b"<S>\r\n  <A>1</A> <!-- of A -->\r\n  <New>\r\n    <One>1</One>\r\n  </New>\r\n"
        b"  <!-- of B -->\r\n  <B/>\r\n</S>"
    )


def test_self_closing_tag_opens_and_closes() -> None:
    """A self-closing element is opened for a child, and written as before without it."""
    document = Document(b"<S>\n\t<OVT />\n</S>")
    changed = insert(document, "OVT", Node("Max", "5"))
    assert changed.data == b"<S>\n\t<OVT >\n\t\t<Max>5</Max>\n\t</OVT>\n</S>"
    assert delete(changed, "Max").data == document.data


def test_delete_keeps_comments() -> None:
    """Only the element goes; a comment behind it on its line stays."""
    document = Document(b"<S>\n\t<A>1</A> <!-- keep me -->\n\t<B/>\n</S>")
    assert delete(document, "A").data == b"<S>\n\t <!-- keep me -->\n\t<B/>\n</S>"
    assert delete(document, "B").data == b"<S>\n\t<A>1</A> <!-- keep me -->\n</S>"


def test_value_is_what_the_engine_reads() -> None:
    """The first text or CDATA counts; blanks alone do not; nothing is trimmed."""
    values = {
        b"<S>19<!-- -->35</S>": "19",
        b"<S> <![CDATA[a]]></S>": "a",
        b"<S>x<![CDATA[y]]></S>": "x",
        b"<S> app </S>": " app ",
        b"<S> \n </S>": "",
        b"<S>a&amp;b&#33;</S>": "a&b!",
        b"<S><F/>abc</S>": "abc",
    }
    assert {data: Document(data).root.value for data in values} == values


def test_set_text_beside_comments_and_in_cdata() -> None:
    """Only the text that is the value changes."""
    assert set_text(Document(b"<S>19<!-- x -->35</S>"), "S", "7").data == b"<S>7<!-- x -->35</S>"
    changed = set_text(Document(b"<S><![CDATA[a]]></S>"), "S", "b]]>c")
    assert changed.root.texts[0].value.startswith("b]]")
    assert set_text(Document(b"<S>a</S>"), "S", "a").data == b"<S>a</S>"


def test_values_in_pieces() -> None:
    """Set to nothing, none of the pieces must become the value; what CDATA cannot hold is text."""
    pieces = Document(b"<S>a<!-- x -->b</S>")
    assert pieces.splice(pieces.set_text(pieces.root, "")).root.value == ""
    for value in ("x]]>y", "a\rb", "x]]>y\rz"):
        cdata = Document(b"<S><![CDATA[a]]></S>")
        assert cdata.splice(cdata.set_text(cdata.root, value)).root.value == value


def test_delete_and_insert_at_the_front() -> None:
    """The first child goes and another comes, with a comment of several lines before both."""
    document = Document(b"<S><!-- a\n b -->\n\t<A/>\n</S>")
    first = document.root.children[0]
    changed = document.edit_children(
        document.root, deletions=[first], insertions=[(None, Node("B"))]
    )
    assert document.splice(changed).data == b"<S><!-- a\n b -->\n\t<B/>\n</S>"


def test_comment_stays_with_its_element() -> None:
    """An insertion on a line that goes on stands behind the comment of the element before."""
    document = Document(b"<S>\n\t<A/> <!-- of A --><C/>\n</S>")
    changed = insert(document, "S", Node("New"), after="A")
    assert changed.data == b"<S>\n\t<A/> <!-- of A --><New/><C/>\n</S>"
    assert delete(changed, "New").data == document.data


def test_places() -> None:
    """Lines and columns count from 1, in characters; a tab is one; a BOM is none."""
    document = Document("\ufeff<S>\n\t<!-- é --><A>é</A>\r\n</S>".encode())
    assert document.place(document.root.start) == (1, 1)
    assert document.place(element(document, "A").start) == (2, 12)
    assert document.place_of_value(element(document, "A")) == (2, 15)


BROKEN = {
    "mismatched": (b"<S>\n<A>\n</S>", 3, 1, "<A> of line 2 is not closed"),
    "unclosed": (b"<S>\n<A>", 2, 4, "is not closed"),
    "ampersand": (b"<S>\n<A>a & b</A></S>", 2, 7, "invalid token"),
    "two roots": (b"<S/>\n<T/>", 2, 1, "junk after document element"),
    "comment": (b"<S>\n<!-- a -- b -->\n</S>", 2, 10, "a comment may not contain --"),
    "doctype": (b"<?xml version='1.0'?>\n<!DOCTYPE S>\n<S/>", 2, 1, "DOCTYPE"),
    "empty": (b"", 1, 1, "no element found"),
}


@pytest.mark.parametrize(("data", "line", "column", "words"), BROKEN.values(), ids=BROKEN)
def test_not_well_formed(data: bytes, line: int, column: int, words: str) -> None:
    """A broken file is refused with its place, and with what a person needs to know."""
    with pytest.raises(NotWellFormed, match=words) as caught:
        Document(data)
    assert caught.value.line == line
    assert abs(caught.value.column - column) <= 3


def test_depth_is_limited() -> None:
    """A file that would exhaust the stack is refused."""
    with pytest.raises(NotWellFormed, match="nested deeper than 100"):
        Document(b"<a>" * 5000 + b"</a>" * 5000)


def test_utf16_can_be_read_but_not_edited() -> None:
    """The engine reads it, so we do; an edit says what to do first."""
    document = Document("<S><A>é</A></S>".encode("utf-16"))
    assert element(document, "A").value == "é"
    with pytest.raises(BadBody, match="save it as UTF-8"):
        document.set_text(element(document, "A"), "b")


def test_control_characters_are_refused() -> None:
    """What XML cannot hold is not written."""
    with pytest.raises(BadBody, match=r"U\+0007"):
        set_text(Document(b"<S>a</S>"), "S", "bell \x07")


def test_splices_must_not_overlap() -> None:
    """Two edits of the same bytes are a defect, never a silent mixture."""
    assert splice(b"abc", [Splice(1, 1, b"-"), Splice(0, 1, b"A")]) == b"A-bc"
    with pytest.raises(ValueError, match="overlap"):
        splice(b"abc", [Splice(0, 2, b""), Splice(1, 3, b"")])


BLANK = st.text(" \t", max_size=3)
LINE = st.sampled_from(["\n", "\r\n", "\n\n", "\n\t", ""])
COMMENT = st.sampled_from(["", "<!-- c -->", "<!-- <A>1</A> -->", "\n<!-- two\nlines -->\n"])
LEAF = st.sampled_from(
    ["<A>1</A>", "<A/>", "<A />", "<A  />", "<A\n/>", "<A></A>", "<A>\n</A>", "<A>x<!--y--></A>"]
)


@st.composite
def containers(draw: st.DrawFn) -> bytes:
    """One container with leaves, comments and blanks in any arrangement."""
    parts = draw(st.lists(st.tuples(LINE, BLANK, COMMENT, BLANK, LEAF, COMMENT), max_size=4))
    inside = "".join("".join(part) for part in parts) + draw(LINE) + draw(BLANK)
    tag = draw(st.sampled_from(["<S>", "<S a='/>'>"]))
    return f"<R>{draw(LINE)}{draw(BLANK)}{tag}{inside}</S>{draw(LINE)}</R>".encode()


@given(containers(), st.sampled_from(NEW))
def test_any_layout(data: bytes, node: Node) -> None:
    """Insert then delete is nothing, in every container at every place, whatever surrounds it."""
    document = Document(data)
    for container in document.root.descendants():
        if container.texts:
            continue
        for place in (None, *container.children):
            changed = document.splice(document.insert(container, node, after=place))
            assert delete(changed, "New").data == data, (container, place, changed.data)
