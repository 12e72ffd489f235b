from __future__ import annotations

import pytest

from omeconf.core import path
from omeconf.core.path import Path
from omeconf.errors import NotFound
from tests.support import MINIMAL, checked, codes, tree

HOST = """<VirtualHost>
	<Name>{name}</Name><Host><Names><Name>{name}</Name></Names></Host>
	<Applications><Application><Name>live</Name><Type>live</Type></Application></Applications>
</VirtualHost>
"""


def with_include(pattern: str) -> str:
    text = MINIMAL.replace(
        "<VirtualHosts>", f'<VirtualHosts>\n\t\t<VirtualHost include="{pattern}" />'
    )
    return text.replace("<Name>*</Name>", "<Name>default.example.com</Name>")


def hosts(found: object) -> list[str]:
    root = found.root  # type: ignore[attr-defined]
    return [host.key for host in root.every("VirtualHosts/VirtualHost")]


def test_ignored_elements_are_absent() -> None:
    """With ignore="true" the next of the name counts; any other value has no effect."""
    text = MINIMAL.replace(
        "<Type>origin</Type>", '<Type ignore="true">nonsense</Type><Type>origin</Type>', 1
    )
    assert tree(text).value("Type") == "origin"
    assert codes(checked(text.replace('"true"', '"yes"'))) == [
        "ignore-without-effect", "invalid-value", "duplicate-element",
    ]  # fmt: skip
    gone = MINIMAL.replace("<Type>origin</Type>", '<Type ignore="true">origin</Type>')
    assert codes(checked(gone)) == ["missing-element"]


def test_only_the_first_of_a_singleton_counts() -> None:
    """The second is not even looked at, but a warning says so."""
    text = MINIMAL.replace("</LLHLS>", "</LLHLS><LLHLS><Nonsense/></LLHLS>")
    found = checked(text)
    assert codes(found) == ["duplicate-element"]
    assert "the first one counts" in found.violations[0].message


def test_list_includes() -> None:
    """Any number of files may match; each gives an item of the list."""
    files = {"VHost1.xml": HOST.format(name="one"), "VHost2.xml": HOST.format(name="two")}
    found = checked(with_include("VHost*.xml"), files)
    assert hosts(found) == ["one", "two", "default"]
    assert found.violations == ()
    assert hosts(checked(with_include("VHost*.xml"))) == ["default"]


def test_violations_in_included_files_name_them() -> None:
    """The file and line are those of the included file."""
    bad = HOST.format(name="one").replace("live</Type>", "dead</Type>")
    (violation,) = checked(with_include("VHost*.xml"), {"VHost1.xml": bad}).violations
    assert (violation.file, violation.line) == ("VHost1.xml", 3)


def test_object_includes_need_exactly_one_file() -> None:
    """No file, or two, is an error; one takes the place of the element."""
    text = MINIMAL.replace("<Bind>", '<Bind include="bind*.xml">').replace(
        MINIMAL[MINIMAL.index("<Providers>") : MINIMAL.index("</Bind>")], ""
    )
    bind = "<Bind><Providers><RTMP><Port>1940</Port></RTMP></Providers></Bind>"
    assert codes(checked(text)) == ["include-not-one", "not-bound"]
    one = checked(text, {"bind.xml": bind})
    assert one.root is not None
    assert one.root.value("Bind/Providers/RTMP/Port") == "1940"
    assert "include-not-one" in codes(checked(text, {"bind1.xml": bind, "bind2.xml": bind}))


def test_include_cycles_and_wrong_roots() -> None:
    """What would kill the engine, or not be found by it, is an error."""
    loop = '<VirtualHost include="VHost1.xml"/>'
    assert "include-cycle" in codes(checked(with_include("VHost1.xml"), {"VHost1.xml": loop}))
    wrong = codes(checked(with_include("VHost1.xml"), {"VHost1.xml": "<Host/>"}))
    assert wrong == ["wrong-root"]
    assert codes(checked(with_include("no/such/*.xml"))) == ["include-folder"]


def test_unknown_elements_are_explained() -> None:
    """Former names, letter case, near misses and the right home are told."""
    hints = {
        "<DASH/>": "removed after 0.16.5: use LLHLS",
        "<llhls/>": "letter case matters",
        "<LLHSL/>": "did you mean",
        "<Enable/>": "belongs in",
        "<Zzz/>": "may hold",
    }
    for element, hint in hints.items():
        found = checked(MINIMAL.replace("<Publishers>", f"<Publishers>{element}", 1))
        assert hint in found.violations[0].hint, element


def test_attributes() -> None:
    """An unknown attribute is not read; namespaces are harmless."""
    text = MINIMAL.replace('version="8"', 'version="8" xmlns:xsi="urn:x" type="origin"')
    assert codes(checked(text)) == ["unknown-attribute"]
    assert codes(checked(MINIMAL.replace(' version="8"', ""))) == ["missing-attribute"]


def test_paths() -> None:
    """Every element is found again by its path; what is missing is named."""
    root = tree()
    for node in root.descendants():
        if not node.item.is_list or node.item.key is not None or node.item.type is None:
            assert root.find(node.path) is node
            assert Path.parse(str(node.path)) == node.path
    with pytest.raises(NotFound, match=r'cannot find Application\[Name="x"\] in /Server'):
        root.find(path.application("default", "x"))


def test_path_text() -> None:
    """A path with quotes in a name is read back as it was."""
    odd = path.application('a"b\\', "c]/d")
    assert Path.parse(str(odd)) == odd
    with pytest.raises(ValueError, match="character 1"):
        Path.parse("Server")
