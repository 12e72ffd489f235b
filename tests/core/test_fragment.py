"""One element as text, and another text in its place."""

from __future__ import annotations

import random

import pytest

from omeconf.core.check import Checked, check
from omeconf.core.diff import changes
from omeconf.core.edit import Edit, Verb, apply
from omeconf.core.fragment import fragment
from omeconf.core.path import Path
from omeconf.errors import BadBody, Conflict, NotFound, OmeconfError, ReadOnly, Refused
from tests.support import EXAMPLES, MINIMAL, checked, schema
from tests.support.api import SECRET, SERVER, app_path

APP = Path.parse(app_path("app"))
TYPE = APP / "Type"


def rewritten(before: Checked, path: Path, text: str) -> bytes:
    """Server.xml with an element rewritten."""
    assert before.root is not None
    return apply(before.snapshot, before.root, Edit(Verb.REWRITE, path, text)).files["Server.xml"]


def test_an_element_as_it_is_written() -> None:
    """All of its bytes, with comments, and where they begin."""
    before = checked(MINIMAL.replace("<Type>live</Type>", "<Type>live</Type> <!-- ü -->", 1))
    assert before.root is not None
    found = fragment(before.root, APP)
    assert found.text.startswith(b"<Application>\n\t\t\t\t\t<Name>app</Name>")
    assert found.text.endswith(b"</Application>")
    assert "<!-- ü -->".encode() in found.text
    assert (found.file, found.line, found.column) == ("Server.xml", 16, 5)
    with pytest.raises(NotFound, match="nowhere"):
        fragment(before.root, Path.parse(app_path("nowhere")))


def test_rewriting_keeps_every_other_byte() -> None:
    """What is around stays, and what is written is written as it is."""
    before = checked(MINIMAL)
    text = "<Application>\n<!-- mine -->\t<Name>app</Name><Type >vod</Type ></Application>"
    data = rewritten(before, APP, f"\n  {text}\n")
    start = MINIMAL.index("<Application>")
    end = MINIMAL.index("</Application>") + len("</Application>")
    assert data.decode() == MINIMAL[:start] + text + MINIMAL[end:]


def test_the_same_text_changes_nothing() -> None:
    """The snapshot itself comes back."""
    before = checked(MINIMAL)
    assert before.root is not None
    text = fragment(before.root, APP).text.decode()
    assert apply(before.snapshot, before.root, Edit(Verb.REWRITE, APP, text)) is before.snapshot


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("<Type>vod</Type>", BadBody, "one <Application> is wanted"),
        ("<Application><Name>app</Name>", Refused, "<Application> of line 16 is not closed"),
        ("<Application/><Application/>", Refused, "junk after document element"),
        ("</Applications><Applications>", Refused, ""),
        ("", Refused, "no element found"),
        ("hello", Refused, ""),
        ("<!DOCTYPE a><Application/>", Refused, "a DOCTYPE is not allowed"),
        ("<Application>\ud800</Application>", Refused, ""),
        (5, BadBody, "the element as XML"),
        ('<Application include="x.xml"/>', Conflict, "add that include by hand"),
        ('<Application><Type include="/etc/passwd"/></Application>', Conflict, "by hand"),
    ],
)
def test_what_is_no_such_element(text: str, error: type[OmeconfError], says: str) -> None:
    """One element of that name, well-formed, that brings no other file: else nothing happens."""
    with pytest.raises(error) as caught:
        rewritten(checked(MINIMAL), APP, text)
    assert says in str(caught.value)


def test_places_are_those_of_the_file() -> None:
    """A mistake in the text has the line and column that it would have in the file."""
    with pytest.raises(Refused) as caught:
        rewritten(checked(MINIMAL), TYPE, "<Type>live\n</Typ></Type>")
    (found,) = caught.value.violations
    assert (found.file, found.line, found.column) == ("Server.xml", 19, 3)
    with pytest.raises(Refused) as caught:
        rewritten(checked(MINIMAL), TYPE, "<Type>&</Type>")
    (found,) = caught.value.violations
    assert found.line == 18
    assert found.column > len("\t\t\t\t\t<Type>")


def test_a_hidden_secret_is_no_secret() -> None:
    """What a reader was shown cannot become the secret itself; elsewhere *** may stand."""
    path = Path.parse('/Server/VirtualHosts/VirtualHost[Name="default"]')
    before = checked(SERVER)
    assert before.root is not None
    text = fragment(before.root, path).text.decode()
    with pytest.raises(BadBody, match="only stands for a secret"):
        rewritten(before, path, text.replace(SECRET, "***"))
    assert b"***" in rewritten(before, path, text.replace("<Type>live", "<!-- *** --><Type>live"))


def test_line_ends_and_encoding_are_those_of_the_file() -> None:
    """What comes back from an editor that knows one line end and one encoding fits the file."""
    latin = MINIMAL.replace("UTF-8", "iso-8859-1").replace("\n", "\r\n").encode("iso-8859-1")
    data = rewritten(checked(latin), APP, "<Application>\n<Name>größe</Name>\n</Application>")
    assert "<Application>\r\n<Name>größe</Name>\r\n</Application>".encode("iso-8859-1") in data
    wide = MINIMAL.replace("UTF-8", "UTF-16").encode("utf-16")
    with pytest.raises(BadBody, match="save it as UTF-8"):
        rewritten(checked(wide), APP, "<Application/>")


def test_in_an_included_file() -> None:
    """The element is that of the included file; one outside of the folder is not written."""
    more = (
        "<!-- top --><VirtualHost><Name>more</Name><Host><Names><Name>m</Name></Names></Host>"
        "</VirtualHost>\n"
    )
    path = Path.parse('/Server/VirtualHosts/VirtualHost[Name="more"]')
    for file, error in (("more.xml", None), ("/elsewhere/more.xml", ReadOnly)):
        text = MINIMAL.replace("</VirtualHosts>", f'<VirtualHost include="{file}"/></VirtualHosts>')
        before = checked(text, {file: more})
        assert before.root is not None
        assert fragment(before.root, path).file == file
        new = more[more.index("<Virt") :].replace(">m<", ">n<")
        edit = Edit(Verb.REWRITE, path, new)
        if error is not None:
            with pytest.raises(error):
                apply(before.snapshot, before.root, edit)
        else:
            found = apply(before.snapshot, before.root, edit).files[file].decode()
            assert found == more.replace(">m<", ">n<")


def test_a_new_element_as_text() -> None:
    """It is written as it is, on a line of its own; its name must be new, and the path's."""
    before = checked(MINIMAL.replace("\n", "\r\n"))
    assert before.root is not None
    text = "<Application>\n<Name>fair</Name><!-- mine --><Type>live</Type></Application>\n"
    path = Path.parse(app_path("fair"))
    for where in (path, path.parent / "Application"):
        found = apply(before.snapshot, before.root, Edit(Verb.CREATE, where, text))
        written = text.strip().replace("\n", "\r\n")
        assert f"\r\n\t\t\t\t{written}\r\n\t\t\t</Applications>" in (
            found.files["Server.xml"].decode()
        )
    for where, what, error in (
        (APP, text.replace("fair", "app"), Conflict),
        (path.parent / "Application", text.replace("fair", "app"), Conflict),
        (path, text.replace("fair", "bazaar"), BadBody),
        (path, "<VirtualHost/>", BadBody),
        (path, text.replace("</Type>", ""), Refused),
        (path, text.replace("<Type>", '<Type include="x">'), Conflict),
    ):
        with pytest.raises(error):
            apply(before.snapshot, before.root, Edit(Verb.CREATE, where, what))


def test_set_creates_or_replaces() -> None:
    """As augtool has it: with the elements around it, if they are not there."""
    before = checked(MINIMAL)
    assert before.root is not None
    segment = APP / "Publishers" / "LLHLS" / "SegmentDuration"
    chunk = APP / "Publishers" / "LLHLS" / "ChunkDuration"
    audio = APP / "Providers" / "RTMP"
    texts = [
        apply(before.snapshot, before.root, Edit(Verb.SET, where, value)).files["Server.xml"]
        for where, value in ((segment, "5"), (chunk, "0.5"), (audio, {}), (segment, 6))
    ]
    assert texts[0].decode() == MINIMAL.replace(">6<", ">5<")
    assert b"<ChunkDuration>0.5</ChunkDuration>" in texts[1]
    assert b"<Providers>\n\t\t\t\t\t\t<RTMP />" in texts[2]
    assert texts[3].decode() == MINIMAL


@pytest.mark.long
def test_the_check_behind_it_is_the_one_from_scratch() -> None:
    """Random elements of an example, rewritten: trees, violations and bytes are those of a file
    that was read anew.
    """
    text = (EXAMPLES / "origin/Server.xml").read_text()
    rnd = random.Random(7)
    before = checked(text)
    for _ in range(60):
        assert before.root is not None
        node = rnd.choice([n for n in before.root.descendants() if n.parent is not None])
        own = fragment(before.root, node.path).text.decode()
        new = own.replace("</", f"<!-- {rnd.random()} --></", 1)
        if rnd.random() < 0.4:
            new = new.replace(">live<", ">vod<").replace(">true<", ">false<").replace(">1", ">2")
        snapshot = apply(before.snapshot, before.root, Edit(Verb.REWRITE, node.path, new))
        after = check(snapshot, schema(), before)
        scratch = checked(snapshot.files["Server.xml"])
        assert after.violations == scratch.violations
        assert changes(after.root, scratch.root) == ()
        if after.is_good:
            before = after


MORE = (
    '<?xml version="1.0" encoding="iso-8859-1"?>\r\n<VirtualHost>\r\n\t<Name>more</Name>\r\n'
    "\t<Host><Names><Name>m</Name></Names></Host>\r\n\t<Applications>\r\n\t</Applications>\r\n"
    "</VirtualHost>\r\n"
)
INCLUDING = MINIMAL.replace(
    "</VirtualHosts>",
    '<VirtualHost include="more.xml"/><VirtualHost include="other/*.xml"/></VirtualHosts>',
)


def test_a_new_element_in_an_included_file() -> None:
    """Encoding, line ends and known includes are those of the file that it goes to."""
    before = checked(INCLUDING, {"more.xml": MORE.encode("iso-8859-1")})
    assert before.root is not None
    path = Path.parse(app_path("bé", "more"))
    text = "<Application>\n<Name>bé</Name>\n<Type>live</Type></Application>"
    found = apply(before.snapshot, before.root, Edit(Verb.CREATE, path, text))
    assert text.replace("\n", "\r\n").encode("iso-8859-1") in found.files["more.xml"]
    after = check(found, schema())
    assert after.root is not None
    assert after.root.find(path).key == "bé"
    wanted = text.replace("<Type>", '<Type include="other/*.xml">')
    with pytest.raises(Conflict, match="by hand"):
        apply(before.snapshot, before.root, Edit(Verb.CREATE, path, wanted))
    for what in ("€", "<![CDATA[€]]>"):
        edit = Edit(Verb.CREATE, path, text.replace("live", what))
        with pytest.raises(BadBody, match="which has no '€': write &#8364;"):
            apply(before.snapshot, before.root, edit)


@pytest.mark.parametrize("verb", [Verb.CREATE, Verb.REWRITE])
@pytest.mark.parametrize("before", ["\ufeff", '<?xml version="1.0"?>', "<?pi?>"])
def test_nothing_stands_before_an_element(verb: Verb, before: str) -> None:
    """No declaration, no byte order mark, no instruction."""
    base = checked(MINIMAL)
    assert base.root is not None
    name = "fair" if verb is Verb.CREATE else "app"
    text = f"{before}<Application><Name>{name}</Name><Type>live</Type></Application>"
    if verb is Verb.CREATE and not text.startswith("<"):
        pytest.skip("that is no XML")
    with pytest.raises(BadBody, match="leave out what stands before it"):
        apply(base.snapshot, base.root, Edit(verb, Path.parse(app_path(name)), text))


def test_a_name_that_is_ignored() -> None:
    """It is not the name that the path says."""
    base = checked(MINIMAL)
    assert base.root is not None
    text = '<Application><Name ignore="true">x</Name><Name>y</Name><Type>live</Type></Application>'
    with pytest.raises(BadBody, match='the name is "y"'):
        apply(base.snapshot, base.root, Edit(Verb.CREATE, Path.parse(app_path("x")), text))


def test_what_is_nested_too_deep_where_it_goes() -> None:
    """By itself it is well-formed; in its place it is not."""
    base = checked(MINIMAL)
    assert base.root is not None
    deep = "<X>" * 98 + "</X>" * 98
    text = f"<Application><Name>app</Name><Type>live</Type>{deep}</Application>"
    with pytest.raises(Refused, match="nested deeper"):
        apply(base.snapshot, base.root, Edit(Verb.REWRITE, APP, text))
