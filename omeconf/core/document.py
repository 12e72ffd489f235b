"""One file's bytes and where every element lies in them; an edit is a splice of the bytes.

Rules:
* No byte outside a splice changes. The file is never serialized from a tree.
* A new element takes the line end, the indentation and the spacing of its own siblings.
* What an insertion wrote, the deletion of the same element takes away again, to the byte.
  That is why an opened self-closing tag keeps a blank before its ``>``: ``<OVT />`` becomes
  ``<OVT >...</OVT>``, and turns back into ``<OVT />`` when its last child goes (``<OVT/>``
  becomes ``<OVT  >``). An element that was written ``<OVT></OVT>`` is filled on one line.
* A leaf that holds only blanks is empty to the engine; a new value takes their place.

Offsets are of bytes. Encodings: UTF-8 (with or without BOM) and ISO-8859-1; UTF-16 and UTF-32
are transcoded for reading and cannot be edited.
"""

from __future__ import annotations

import codecs
import re
from array import array
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from weakref import ref

from omeconf.core.fold import Fold, fold, refold
from omeconf.core.parse import BLANKS, Element, Parser, Text, encoding_of
from omeconf.core.patch import Patch, Piece, difference, window
from omeconf.errors import BadBody

_SAMPLE = 1 << 16
"""Bytes at the beginning of a file by which its habits are known."""
_NOT_XML = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_BLANKS_AND_COMMENTS = re.compile(rb"(?:[ \t]|<!--[^\r\n]*?-->)*")
_ATTRIBUTE = re.compile(rb"""([^\s=<>/"']+)\s*=\s*(?:"([^"]*)"|'([^']*)')""")
_BLANKS_AND_REFERENCES = re.compile(rb"(?:[ \t\r\n]|&#(?:32|0?9|10|13|x20|x0?9|x0?A|x0?D);)*", re.I)
_BLANKS_AND_CLOSE = re.compile(rb"[ \t]*(?:\r?\n|</|\Z)")


@dataclass(frozen=True, slots=True)
class Splice:
    """Replace the bytes start..end (end not included) by text."""

    start: int
    end: int
    text: bytes


@dataclass(frozen=True, slots=True)
class Node:
    """An element that is to be written: either text, or children, or bytes taken from a file."""

    name: str
    text: str = ""
    children: tuple[Node, ...] = ()
    verbatim: bytes | None = None
    """The bytes to write as they are (an element that moves, with its comments)."""


class Document:
    """The bytes of one XML file and its tree. Immutable: an edit makes a new Document."""

    def __init__(
        self,
        data: bytes,
        *,
        file: str = "Server.xml",
        like: Document | None = None,
        splices: Sequence[Splice] | None = None,
        is_folded: bool = True,
        parsed: Element | None = None,
    ) -> None:
        """Parse data. Raises NotWellFormed with the place, and what to do about it.

        like: an older state of the file, which lends what is the same; splices made one of the
        other. Applications are folded, unless is_folded says otherwise. parsed is its root, if it
        has been parsed already.
        """
        self.data = data
        self.file = file
        self.encoding, self.is_editable = encoding_of(data)
        self._text = data if self.is_editable else data.decode(self.encoding, "replace").encode()
        self.fold: Fold | None = None
        """The file without its applications; None if they are not folded."""
        self._made_by: tuple[ref[Document], Sequence[Splice]] | None = None
        if splices is not None and like is not None:
            self._made_by = ref(like), splices
        if parsed is not None:
            self.root = parsed
        elif is_folded and self.is_editable and self.encoding == "utf-8":
            self.fold = self._folded(like, splices)
        if self.fold is None and parsed is None:
            parser = Parser(file, self.place)
            encoding = self.encoding if self.is_editable else "utf-8"
            self.root = parser.parse(self._text, encoding)

    def _folded(self, like: Document | None, splices: Sequence[Splice] | None) -> Fold | None:
        if like is None or like.fold is None:
            return fold(self.data)
        if splices is None:
            start, end, new = window(like.data, self.data)
            splices = (Splice(start, end, self.data[start:new]),)
        spans = [(each.start, each.end, each.text) for each in splices]
        return refold(like.fold, spans, self.data) or fold(self.data, like.fold)

    @cached_property
    def root(self) -> Element:
        """The root element."""
        assert self.fold is not None, "a file that is not folded has been parsed"
        return self.fold.tree()

    # -- reading ---------------------------------------------------------------------------

    def place(self, offset: int) -> tuple[int, int]:
        """Line and column (both from 1, in characters) of a byte offset."""
        offset = max(offset, 0)
        line = bisect_right(self._line_starts, offset)
        start = self._line_starts[line - 1]
        if line == 1 and self._text.startswith(codecs.BOM_UTF8):
            start = min(offset, len(codecs.BOM_UTF8))
        return line, len(self._decode(self._text[start:offset])) + 1

    def place_in_frame(self, offset: int) -> tuple[int, int]:
        """Line and column of an offset in the frame."""
        return self.place(offset if self.fold is None else self.fold.in_file(offset))

    def offset_in_frame(self, line: int, column: int) -> int | None:
        """The offset in the frame of a place; None if that is the same, or has none."""
        if self.fold is None or not self.fold.runs:
            return None
        start = self._line_starts[line - 1]
        if line == 1 and self._text.startswith(codecs.BOM_UTF8):
            start = len(codecs.BOM_UTF8)
        text = self._text[start : start + 4 * column].decode(errors="ignore")
        return self.fold.in_frame(start + len(text[: column - 1].encode()))

    def place_of_value(self, element: Element) -> tuple[int, int]:
        """Where the value of an element stands; its name if it has none."""
        text = element.first_text
        if text is None:
            return self.place(element.start + 1)
        start = text.start + (len("<![CDATA[") if text.is_cdata else 0)
        blanks = _BLANKS_AND_REFERENCES.match(self._text, start, text.end)
        end = blanks.end() if blanks else start
        return self.place(end if end < text.end else start)

    def place_of_text(self, text: Text) -> tuple[int, int]:
        """Where text between elements stands."""
        return self.place(text.start if text.is_cdata else _end_of_blanks(self._text, text.start))

    def place_of_attribute(self, element: Element, name: str) -> tuple[int, int]:
        """Where an attribute stands; the name of the element if it has no such attribute."""
        found = self._attribute(element, name)
        return self.place(element.start + (found.start() if found else 1))

    def _attribute(self, element: Element, name: str) -> re.Match[bytes] | None:
        """The attribute in the start tag; offsets are from the element's start."""
        tag = self._text[element.start : element.open_end]
        wanted = name.encode("utf-8" if not self.is_editable else self.encoding)
        return next((m for m in _ATTRIBUTE.finditer(tag) if m[1] == wanted), None)

    def attribute_values(self, name: str) -> Iterator[str]:
        """The values of an attribute, in the order of the file; those of ``include`` and
        ``ignore`` at least are never inside what is folded.
        """
        text, root = self._text, None
        if self.fold is not None:
            text, root = self.fold.frame.text, self.fold.frame.root
        if name.encode() not in text:
            return
        for element in (root or self.root).descendants():
            value = element.attributes.get(name)
            if value is not None:
                yield value

    def is_framed_like(self, other: Document) -> bool:
        """Whether two files differ in nothing but folded applications, which have no others
        beside them.
        """
        if self.fold is None or other.fold is None:
            return self.data == other.data
        return self.fold.frame is other.fold.frame and not self.fold.frame.is_mixed

    def patch_from(self, older: Document) -> Patch:
        """What became of an older state of the file."""
        made_by, splices = self._made_by or (None, ())
        if made_by is None or made_by() is not older:
            return difference(older.data, self.data)
        in_order = sorted(splices, key=lambda each: (each.start, each.end))
        return tuple(Piece(s.start, older.data[s.start : s.end], s.text) for s in in_order)

    def source(self, element: Element) -> bytes:
        """The bytes of an element as they stand in the file."""
        return self._text[element.start : element.end]

    @cached_property
    def _line_starts(self) -> Sequence[int]:
        starts = array("Q", (0,))
        starts.extend(match.end() for match in re.finditer(b"\n", self._text))
        return starts

    def _decode(self, data: bytes) -> str:
        return data.decode(self.encoding if self.is_editable else "utf-8", "replace")

    # -- editing ---------------------------------------------------------------------------

    def splice(self, splices: Sequence[Splice]) -> Document:
        """A new Document with the splices carried out; they must not overlap."""
        if not splices:
            return self
        data = splice(self.data, splices)
        return Document(data, file=self.file, like=self, splices=splices)

    def set_text(self, element: Element, value: str) -> tuple[Splice, ...]:
        """Give a leaf another value; comments beside the value stay. Equal: no splice."""
        if value == element.value:
            return ()
        self.must_be_editable()
        text = element.first_text
        if text is not None and not value and len(element.texts) > 1:
            return tuple(Splice(each.start, each.end, b"") for each in element.texts)
        if text is not None and text.is_cdata:
            return (Splice(text.start, text.end, self._cdata(value)),)
        if text is not None:
            if not value and self._opened_mark(element) is not None:
                return self._close_up(element) or (Splice(text.start, text.end, b""),)
            return (Splice(text.start, text.end, self._escape(value)),)
        if element.is_self_closing:
            return (self._open_up(element, self._escape(value)),)
        blank = _end_of_blanks(self._text, element.open_end)
        return (Splice(element.open_end, blank, self._escape(value)),)

    def set_attribute(self, element: Element, name: str, value: str) -> tuple[Splice, ...]:
        """Give an attribute that is there another value, in the quotes it has."""
        self.must_be_editable()
        found = self._attribute(element, name)
        if found is None:
            raise BadBody(f"<{element.name}> has no attribute {name}")
        start, end = found.span(2 if found[2] is not None else 3)
        text = self._escape(value).replace(b'"', b"&quot;").replace(b"'", b"&apos;")
        return (Splice(element.start + start, element.start + end, text),)

    def rename(self, element: Element, name: str) -> tuple[Splice, ...]:
        """Give an element another name; all inside it stays."""
        self.must_be_editable()
        old, new = element.name.encode(self.encoding), name.encode(self.encoding)
        starts = [element.start + 1]
        if not element.is_self_closing:
            starts.append(element.close_start + 2)
        return tuple(Splice(start, start + len(old), new) for start in starts)

    def comment_out(self, element: Element, reason: str) -> tuple[Splice, ...]:
        """Put an element into a comment that begins with a reason, on the lines it has.

        Two hyphens may not stand in a comment: inside it ``--`` becomes ``- -``.
        """
        self.must_be_editable()
        inside = _legal_in_comment(self.source(element))
        lead = _legal_in_comment(reason.encode(self.encoding, "replace"))
        text = b"<!-- " + lead + b": " + inside + b" -->"
        return (Splice(element.start, element.end, text),)

    def insert(
        self, parent: Element, node: Node, *, after: Element | None = None
    ) -> tuple[Splice, ...]:
        """Write a new child behind the child `after`, or as the first child."""
        return self.edit_children(parent, insertions=[(after, node)])

    def moving(self, element: Element, *, deeper: int = 0) -> Node:
        """An element with the comments that belong to it, to be written elsewhere.

        deeper: how many levels further in; its lines are indented so, unless a value spans
        several lines.
        """
        start, end = self.belongings(element)
        source = self._text[start:end]
        lead = self._blank_lead(start)[1]
        is_plain = not any("\n" in text.value for e in element.descendants() for text in e.texts)
        if lead is not None and is_plain:
            more = self._unit(element) * deeper
            source = re.sub(rb"\n(?=" + re.escape(lead) + rb"[^\r\n])", b"\n" + more, source)
        return Node(element.name, verbatim=source)

    def delete(self, element: Element) -> tuple[Splice, ...]:
        """Take an element away, and its line with it if nothing else stands there."""
        if element.parent is None:
            raise BadBody("the root element cannot be deleted")
        return self.edit_children(element.parent, deletions=[element])

    def replace(self, element: Element, node: Node) -> tuple[Splice, ...]:
        """Write another element in the place of one."""
        self.must_be_editable()
        newline, indent = self._line_lead(element) or (self.newline, b"")
        text = self._render(node, newline, indent, self._unit(element))
        return (Splice(element.start, element.end, text),)

    def edit_children(
        self,
        parent: Element,
        *,
        deletions: Sequence[Element] = (),
        insertions: Sequence[tuple[Element | None, Node]] = (),
        moved: Sequence[Element] = (),
    ) -> tuple[Splice, ...]:
        """Delete and insert children of one parent at once.

        An insertion names the child behind which it goes (None: the first place); several
        behind the same child stand in the order given. Those moved are deleted with the
        comments that belong to them (`belongings`): the insertion brings them back.
        """
        self.must_be_editable()
        if not deletions and not insertions and not moved:
            return ()
        if not parent.children:
            return self._fill(parent, [node for _, node in insertions])
        if not insertions and not moved and len(deletions) == len(parent.children):
            closed = self._close_up(parent)
            if closed:
                return closed
        removed = [self._deletion(parent, child) for child in deletions]
        removed += [self._removal_with_comments(parent, child) for child in moved]
        added = [self._insertion(parent, anchor, node) for anchor, node in insertions]
        return tuple(removed + added)

    @property
    def newline(self) -> bytes:
        """The line end of the file: that of its first line."""
        first = self._text.find(b"\n")
        return b"\r\n" if first > 0 and self._text[first - 1] == 13 else b"\n"

    def must_be_editable(self) -> None:
        """Raise BadBody if offsets in it are not those of its bytes."""
        if not self.is_editable:
            raise BadBody(
                f"{self.file} is encoded as {self.encoding}, which cannot be edited: "
                "save it as UTF-8"
            )

    # -- deletion --------------------------------------------------------------------------

    def _deletion(self, parent: Element, element: Element) -> Splice:
        lead = self._line_lead(element)
        if lead:
            alone = _BLANKS_AND_CLOSE.match(self._text, element.end)
            start = element.start - len(lead[0]) - len(lead[1]) if alone else element.start
            return Splice(start, element.end, b"")
        position = parent.children.index(element)
        start = element.start
        if position:
            previous = parent.children[position - 1].end
            if not self._text[previous : element.start].strip(BLANKS):
                start = previous
        return Splice(start, element.end, b"")

    def belongings(self, element: Element) -> tuple[int, int]:
        """Start and end of an element together with the comments that speak of it.

        Those are the comment lines directly above it, and the comment behind it on its line.
        """
        start, end = element.start, element.end
        newline, indent = self._blank_lead(start)
        if indent is None:
            return start, end
        if self._text.startswith((b"\n", b"\r\n"), self._behind_comments(end)):
            end = self._behind_comments(end)
        while indent is not None:
            before = start - len(indent) - len(newline)
            if not self._text.endswith(b"-->", 0, before):
                break
            comment = self._text.rfind(b"<!--", 0, before)
            newline, indent = self._blank_lead(comment)
            if indent is not None:
                start = comment
        return start, end

    def _removal_with_comments(self, parent: Element, element: Element) -> Splice:
        start, end = self.belongings(element)
        if (start, end) == (element.start, element.end):
            return self._deletion(parent, element)
        newline, indent = self._blank_lead(start)
        return Splice(start - len(newline) - len(indent or b""), end, b"")

    def _close_up(self, parent: Element) -> tuple[Splice, ...]:
        """Make a self-closing tag again of one that an earlier insertion opened."""
        mark = self._opened_mark(parent)
        if mark is None or parent.is_self_closing:
            return ()
        inside = self._text[parent.open_end : parent.close_start]
        parts: Sequence[Element | Text] = parent.children or parent.texts
        for child in reversed(parts):
            start, end = child.start - parent.open_end, child.end - parent.open_end
            inside = inside[:start] + inside[end:]
        if inside.strip(BLANKS):
            return ()
        start = parent.open_end - 1 - len(mark)
        return (Splice(start, parent.end, _unmarked(mark) + b"/>"),)

    def _opened_mark(self, element: Element) -> bytes | None:
        tag = self._text[element.start : element.open_end - 1]
        return tag[len(tag.rstrip(BLANKS)) :] or None

    # -- insertion -------------------------------------------------------------------------

    def _insertion(self, parent: Element, anchor: Element | None, node: Node) -> Splice:
        sibling = anchor or parent.children[0]
        lead = self._line_lead(sibling)
        unit = self._unit(sibling)
        if lead is None and anchor is not None:
            lead = self._lead_of_shared_line(parent, anchor)
        if lead is None:
            gap = b"" if anchor is None else self._gap(parent, anchor)
            at = sibling.start if anchor is None else anchor.end
            return Splice(at, at, gap + self._render(node, self.newline, b"", unit))
        newline, indent = lead
        text = self._render(node, newline, indent, unit)
        start = parent.open_end if anchor is None else anchor.end
        line_end = self._end_of_line(start)
        if line_end is not None:
            return Splice(line_end, line_end, newline + indent + text)
        if anchor is None:
            at = sibling.start - len(indent) - len(newline)
            return Splice(at, at, newline + indent + text)
        at = self._behind_comments(start)
        return Splice(at, at, text)

    def _behind_comments(self, offset: int) -> int:
        """Behind the comments that follow on the line: they speak of what is before them."""
        match = _BLANKS_AND_COMMENTS.match(self._text, offset)
        end = match.end() if match else offset
        return end if b"<!--" in self._text[offset:end] else offset

    def _end_of_line(self, offset: int) -> int | None:
        """Where the line ends, if only blanks and comments follow; None if more does.

        A comment behind an element speaks of that element, so a new one goes behind both.
        """
        match = _BLANKS_AND_COMMENTS.match(self._text, offset)
        end = match.end() if match else offset
        if self._text.startswith((b"\n", b"\r\n"), end):
            return end
        return end if self._text.startswith(b"</", end) else None

    def _gap(self, parent: Element, anchor: Element) -> bytes:
        position = parent.children.index(anchor)
        start = parent.children[position - 1].end if position else parent.open_end
        gap = self._text[start : anchor.start]
        return b"" if gap.strip(BLANKS) else gap

    def _fill(self, parent: Element, nodes: list[Node]) -> tuple[Splice, ...]:
        """Write the first children into a container that has none."""
        lead = self._line_lead(parent)
        unit = self._unit(parent)
        newline, indent = lead or (self.newline, b"")
        inside = self._text[parent.open_end : parent.close_start]
        break_at = inside.rfind(b"\n", len(inside.rstrip(BLANKS)))
        if break_at >= 0:
            indent = inside[break_at + 1 :]
            newline = b"\r\n" if inside[:break_at].endswith(b"\r") else b"\n"
        elif lead is None or not parent.is_self_closing:
            text = b"".join(self._render(node, newline, indent, unit) for node in nodes)
            if parent.is_self_closing:
                return (self._open_up(parent, text),)
            return (Splice(parent.close_start, parent.close_start, text),)
        deeper = self._comment_indent(parent) or indent + unit
        text = b"".join(
            newline + deeper + self._render(node, newline, deeper, unit) for node in nodes
        )
        if parent.is_self_closing:
            return (self._open_up(parent, text + newline + indent),)
        at = parent.close_start - len(indent) - len(newline)
        return (Splice(at, at, text),)

    def _open_up(self, element: Element, inside: bytes) -> Splice:
        """Open a self-closing tag; its own blank before the ``/`` stays, as the mark of it."""
        slash = element.end - 2
        tag = self._text[element.start : slash]
        mark = tag[len(tag.rstrip(BLANKS)) :]
        name = element.name.encode(self.encoding)
        return Splice(
            slash - len(mark), element.end, _marked(mark) + b">" + inside + b"</" + name + b">"
        )

    def _comment_indent(self, parent: Element) -> bytes | None:
        inside = self._text[parent.open_end : parent.close_start]
        comment = inside.find(b"<!--")
        return self._blank_lead(parent.open_end + comment)[1] if comment >= 0 else None

    # -- layout ----------------------------------------------------------------------------

    def _line_lead(self, element: Element) -> tuple[bytes, bytes] | None:
        """Line end and indentation before an element that begins its line, else None."""
        if element.parent is None:
            return self.newline, b""
        newline, indent = self._blank_lead(element.start)
        return None if indent is None else (newline, indent)

    def _lead_of_shared_line(self, parent: Element, last: Element) -> tuple[bytes, bytes] | None:
        """Line end and indentation of a line that several children share, if `last` ends it."""
        line_end = self._end_of_line(last.end)
        start = self._text.rfind(b"\n", 0, last.start) + 1
        if line_end is None or start <= parent.open_end or self._text[line_end] == ord("<"):
            return None
        newline = b"\r\n" if self._text[:start].endswith(b"\r\n") else b"\n"
        line = self._text[start : last.start]
        return newline, line[: len(line) - len(line.lstrip(b" \t"))]

    def _blank_lead(self, offset: int) -> tuple[bytes, bytes | None]:
        start = offset
        while start and self._text[start - 1] in b" \t":
            start -= 1
        if start and self._text[start - 1] == 10:
            crlf = start > 1 and self._text[start - 2] == 13
            return (b"\r\n" if crlf else b"\n"), self._text[start:offset]
        return b"", None

    def _unit(self, element: Element) -> bytes:
        """One level of indentation, as used around an element: its own beyond its parent's."""
        node: Element | None = element
        while node is not None and node.parent is not None:
            own, outer = self._line_lead(node), self._line_lead(node.parent)
            if own and outer and own[1].startswith(outer[1]) and len(own[1]) > len(outer[1]):
                return own[1][len(outer[1]) :]
            node = node.parent
        return self._usual_unit

    @cached_property
    def _usual_unit(self) -> bytes:
        for element in self.root.descendants():
            lead = self._line_lead(element)
            if lead and lead[1]:
                return lead[1]
        return b"\t"

    @cached_property
    def _self_closing_end(self) -> bytes:
        usual = self._text[:_SAMPLE]
        spaced = usual.count(b" />")
        return b"/>" if usual.count(b"/>") - spaced > spaced else b" />"

    def _render(self, node: Node, newline: bytes, indent: bytes, unit: bytes) -> bytes:
        if node.verbatim is not None:
            return node.verbatim
        name = node.name.encode(self.encoding)
        if node.children:
            deeper = indent + unit
            inside = b"".join(
                newline + deeper + self._render(child, newline, deeper, unit)
                for child in node.children
            )
            return b"<" + name + b">" + inside + newline + indent + b"</" + name + b">"
        if node.text:
            return b"<" + name + b">" + self._escape(node.text) + b"</" + name + b">"
        return b"<" + name + self._self_closing_end

    def _escape(self, value: str) -> bytes:
        value = _checked(value).replace("&", "&amp;").replace("<", "&lt;")
        value = value.replace("]]>", "]]&gt;").replace("\r", "&#13;")
        if value and not value.strip(" \t\n"):
            value = f"&#{ord(value[0])};{value[1:]}"
        return value.replace("\n", self.newline.decode()).encode(self.encoding, "xmlcharrefreplace")

    def _cdata(self, value: str) -> bytes:
        if "]]>" in value or "\r" in value:
            return self._escape(value)
        body = _checked(value)
        try:
            encoded = body.replace("\n", self.newline.decode()).encode(self.encoding)
        except UnicodeEncodeError:
            return self._escape(value)
        return b"<![CDATA[" + encoded + b"]]>"


class Part(Document):
    """A piece of a file that is an element, for edits inside it: offsets are of the piece."""

    def __init__(self, piece: Document, whole: Document, start: int) -> None:
        """piece has the bytes and the tree; start is where it begins in the whole file."""
        super().__init__(piece.data, file=whole.file, is_folded=False, parsed=piece.root)
        self.whole = whole
        self.start = start

    @property
    def newline(self) -> bytes:
        """The line end of the file."""
        return self.whole.newline

    @cached_property
    def _usual_unit(self) -> bytes:
        return self.whole._usual_unit

    @cached_property
    def _self_closing_end(self) -> bytes:
        return self.whole._self_closing_end

    def _line_lead(self, element: Element) -> tuple[bytes, bytes] | None:
        if element.parent is not None:
            return super()._line_lead(element)
        newline, indent = self.whole._blank_lead(self.start)
        return None if indent is None else (newline, indent)


def splice(data: bytes, splices: Sequence[Splice]) -> bytes:
    """Carry out splices on bytes. They must not overlap; equal places keep their order."""
    parts: list[bytes | memoryview] = []
    view = memoryview(data)  # of large files nothing is copied twice
    position = 0
    for part in sorted(splices, key=lambda each: (each.start, each.end)):
        if part.start < position:
            raise ValueError(f"splices overlap at offset {part.start}")
        parts += (view[position : part.start], part.text)
        position = part.end
    parts.append(view[position:])
    return b"".join(parts)


def _marked(blanks: bytes) -> bytes:
    """How an opened tag shows the blanks its ``/>`` had: one blank is kept as one."""
    return {b" ": b" ", b"": b"  "}.get(blanks, blanks + b" ")


def _unmarked(mark: bytes) -> bytes:
    return {b" ": b" ", b"  ": b""}.get(mark, mark[:-1])


def _legal_in_comment(text: bytes) -> bytes:
    return re.sub(b"-(?=-)", b"- ", text)


def _checked(value: str) -> str:
    bad = _NOT_XML.search(value)
    if bad:
        raise BadBody(f"the character U+{ord(bad[0]):04X} cannot stand in an XML file")
    return value


def _end_of_blanks(data: bytes, offset: int) -> int:
    while offset < len(data) and data[offset] in BLANKS:
        offset += 1
    return offset
