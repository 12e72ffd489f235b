"""G: the attribute include."""

from __future__ import annotations

from tests.facts import HEAD, Case, app, bound, host, in_host, server

RTMP = "<Providers><RTMP><Port>1935</Port></RTMP></Providers>"
BIND = f"<Bind>{RTMP}</Bind>"
TWO = {"a.xml": host(name="a", names="a"), "b.xml": host(name="b", names="b")}
APP = app()
INCLUDE = 'include="'


def one(attributes: str, inside: str = "") -> str:
    """A Server.xml whose virtual host is included."""
    item = f"<VirtualHost {attributes}>{inside}</VirtualHost>"
    return server(f"<VirtualHosts>{item}</VirtualHosts>")


def at_bind(attributes: str, inside: str = "") -> str:
    """A Server.xml whose Bind is included."""
    return server().replace("<Bind></Bind>", f"<Bind {attributes}>{inside}</Bind>")


def whole(text: str) -> str:
    """A Server.xml that is included by another."""
    return f'<Server version="8">{text}</Server>'


CASES = (
    Case("G39", "include-of-an-object", at_bind('include="bind.xml"'), files={"bind.xml": BIND}),
    Case("G39", "include-of-an-item", one('include="a.xml"'), files=TWO),
    Case("G39", "include-of-a-text", server(head='<Type>origin</Type><IP include="ip.xml"/>'),
         files={"ip.xml": "<IP>127.0.0.1</IP>"}),
    Case("G39", "include-of-the-root", '<Server version="8" include="real.xml"/>',
         files={"real.xml": whole(f"{HEAD}<Bind/>")}),
    Case("G39", "object-deep-inside", bound('<Providers><RTMP include="r.xml"/></Providers>'),
         files={"r.xml": "<RTMP><Port>1936</Port></RTMP>"}),
    Case("G39", "leaf-keeps-its-text", server('<Name include="name.xml">mine</Name>'), "warning",
         'include="name', {"name.xml": "<Name>theirs</Name>"}),
    Case("G39", "leaf-without-text", server(head='<Type include="t.xml"/><IP>*</IP>'), "error",
         "<Type include", {"t.xml": "<Type>origin</Type>"}),
    Case("G39", "bad-value-in-an-item-of-texts", server(
        bind='<Publishers><WebRTC><IceCandidates><IceCandidate include="c.xml"/></IceCandidates>'
        "</WebRTC></Publishers>"), "error", "*:1/sctp",
        {"c.xml": "<IceCandidate>*:1/sctp</IceCandidate>"}),
    Case("G40", "macro-in-the-pattern", one('include="${env:WHICH}.xml"'), files=TWO,
         env={"WHICH": "a"}),
    Case("G40", "macro-of-no-file", at_bind('include="${env:WHICH}.xml"'), "error", INCLUDE,
         {"bind.xml": BIND}, {"WHICH": "other"}),
    Case("G40", "default-in-the-pattern", one('include="${env:WHICH:b}.xml"'), files=TWO),
    Case("G40", "upper-case-env-is-literal", at_bind('include="${ENV:WHICH:bind}.xml"'), "error",
         INCLUDE, {"bind.xml": BIND}),
    Case("G40", "blank-before-the-pattern", at_bind('include=" bind.xml"'), "error", INCLUDE,
         {"bind.xml": BIND}),
    Case("G40", "blank-behind-the-pattern", at_bind('include="bind.xml "'), "error", INCLUDE,
         {"bind.xml": BIND}),
    Case("G40", "sub-folder", at_bind('include="parts/bind.xml"'), files={"parts/bind.xml": BIND}),
    Case("G40", "dot-in-the-folder", at_bind('include="./parts/../parts/bind.xml"'),
         files={"parts/bind.xml": BIND}),
    Case("G41", "any-run", one('include="*.xml.part"'), files={
        "a.xml.part": TWO["a.xml"], "b.xml.part": TWO["b.xml"]}),
    Case("G41", "one-character", one('include="host-?.xml"'), files={"host-1.xml": TWO["a.xml"]}),
    Case("G41", "no-character", at_bind('include="bind?.xml"'), files={"bind.xml": BIND}),
    Case("G41", "two-characters", at_bind('include="bind?.xml"'), "error", INCLUDE,
         {"bind12.xml": BIND}),
    Case("G41", "wildcard-in-the-folder", one('include="h*/a.xml"'), "error", INCLUDE,
         {"hosts/a.xml": TWO["a.xml"]}),
    Case("G41", "parentheses-group", at_bind('include="(bind).xml"'), files={"bind.xml": BIND}),
    Case("G41", "parentheses-are-not-literal", at_bind('include="(bind).xml"'), "error", INCLUDE,
         {"(bind).xml": BIND}),
    Case("G41", "open-parenthesis", one('include="a(.xml"'), "error", INCLUDE, TWO),
    Case("G41", "closing-parenthesis", one('include="a).xml"'), "error", INCLUDE, TWO),
    Case("G41", "closing-bracket", at_bind('include="b].xml"'), files={"b].xml": BIND}),
    Case("G41", "caret-and-dollar-are-literal", at_bind('include="^b$.xml"'),
         files={"^b$.xml": BIND}),
    Case("G41", "whole-name", at_bind('include="bind"'), "error", INCLUDE, {"bind.xml": BIND}),
    Case("G41", "point-is-literal", at_bind('include="bind.xml"'), "error", INCLUDE,
         {"bind-xml": BIND}),
    Case("G41", "plus-is-literal", at_bind('include="b+.xml"'), files={"b+.xml": BIND}),
    Case("G41", "braces-are-literal", at_bind('include="b{1}.xml"'), files={"b{1}.xml": BIND}),
    Case("G41", "bracket-is-literal", at_bind('include="[b.xml"'), files={"[b.xml": BIND}),
    Case("G41", "letter-case", at_bind('include="Bind.xml"'), "error", INCLUDE, {"bind.xml": BIND}),
    Case("G41", "hidden-file", at_bind('include="*.part"'), files={".bind.part": BIND}),
    Case("G41", "folder-is-no-file", at_bind('include="bind*"'),
         files={"bind.xml": BIND, "bind.d/x": ""}),
    Case("G42", "no-folder-for-a-list", one('include="nowhere/*.xml"'), "error", INCLUDE),
    Case("G42", "no-folder-for-an-object", at_bind('include="nowhere/b.xml"'), "error", INCLUDE),
    Case("G42", "no-absolute-folder", one('include="/no/such/folder/*.xml"'), "error",
         INCLUDE),
    Case("G42", "folder-is-there", one('include="hosts/*.xml"'),
         files={f"hosts/{name}": text for name, text in TWO.items()}),
    Case("G43", "no-file", one('include="none-*.xml"')),
    Case("G43", "two-files", one('include="?.xml"'), files=TWO),
    Case("G43", "elements-beside-it", one('include="a.xml"', "<Name>x</Name>"), "warning",
         "<VirtualHost ", TWO),
    Case("G43", "unknown-elements-beside-it", one('include="a.xml"', "<Foo/>"), "warning",
         "<VirtualHost ", TWO),
    Case("G43", "text-beside-it", server('<IP include="ip.xml">::</IP>'), "warning", "<IP include",
         {"ip.xml": "<IP>127.0.0.1</IP>"}),
    Case("G43", "same-file-twice", in_host(
        '<CrossDomains><Url include="u.xml"/><Url include="u.xml"/></CrossDomains>'),
        files={"u.xml": "<Url>https://a.example</Url>"}),
    Case("G43", "file-of-a-name-twice", one('include="a.xml"/><VirtualHost include="a.xml"'),
         "error", "a</Name><Host", TWO),
    Case("G43", "one-of-the-files-is-bad", one('include="?.xml"'), "error", "<Foo",
         {**TWO, "b.xml": host("<Foo/>", "b", "b")}),
    Case("G44", "no-file-for-an-object", at_bind('include="bind.xml"'), "error", INCLUDE),
    Case("G44", "two-files-for-an-object", at_bind('include="b?.xml"'), "error", INCLUDE,
         {"b1.xml": BIND, "b2.xml": BIND}),
    Case("G44", "empty-include-of-an-object", at_bind('include=""'), "error", INCLUDE),
    Case("G44", "own-children-are-replaced",
         at_bind('include="bind.xml"', "<Providers><RTMP><Port>x</Port></RTMP></Providers>"),
         "warning", "<Bind", {"bind.xml": BIND}),
    Case("G44", "own-children-are-unknown", at_bind('include="bind.xml"', "<Foo/>"), "error",
         "<Foo", {"bind.xml": BIND}),
    Case("G44", "own-text", at_bind('include="bind.xml"', "text"), "error", "text<",
         {"bind.xml": BIND}),
    Case("G45", "other-root-of-a-file", one('include="a.xml"'), "error", "<Host>",
         {"a.xml": "<Host><Names><Name>*</Name></Names></Host>"}),
    Case("G45", "list-instead-of-its-item", one('include="a.xml"'), "error", "<VirtualHosts",
         {"a.xml": f"<VirtualHosts>{host()}</VirtualHosts>"}),
    Case("G45", "root-of-an-object", at_bind('include="b.xml"'), "error", "<Providers",
         {"b.xml": RTMP}),
    Case("G45", "two-roots-of-a-file", one('include="a.xml"'), "error", "<VirtualHost><Name>two",
         {"a.xml": host() + host(name="two")}),
    Case("G45", "declaration-and-comments-around", one('include="a.xml"'),
         files={"a.xml": f'<?xml version="1.0"?>\n<!-- a -->\n{host()}\n<!-- b -->\n'}),
    Case("G46", "sub-folder-is-not-current", one('include="hosts/a.xml"'), files={
        "hosts/a.xml": host('<Applications include="apps.xml"/>'),
        "apps.xml": f"<Applications>{APP}</Applications>"}),
    Case("G46", "beside-it-in-the-sub-folder", one('include="hosts/a.xml"'), "error",
         'include="apps', {
             "hosts/a.xml": host('<Applications include="apps.xml"/>'),
             "hosts/apps.xml": f"<Applications>{APP}</Applications>"}),
    Case("G46", "absolute-makes-it-current", one('include="${env:FOLDER}/hosts/a.xml"'), files={
        "hosts/a.xml": host('<Applications include="apps.xml"/>'),
        "hosts/apps.xml": f"<Applications>{APP}</Applications>"}),
    Case("G46", "absolute-leaves-the-old", one('include="${env:FOLDER}/hosts/a.xml"'), "error",
         'include="apps', {
             "hosts/a.xml": host('<Applications include="apps.xml"/>'),
             "apps.xml": f"<Applications>{APP}</Applications>"}),
    Case("G47", "three-deep", one('include="a.xml"'), files={
        "a.xml": host('<Applications include="b.xml"/>'),
        "b.xml": '<Applications><Application include="c.xml"/></Applications>', "c.xml": APP}),
    Case("G47", "root-includes-on", one('include="a.xml"'), files={
        "a.xml": '<VirtualHost include="b.xml"/>', "b.xml": host()}),
    Case("G47", "same-file-in-two-places", one('include="?.xml"'), files={
        name: host('<Applications include="apps.part"/>', name[0], name[0]) for name in TWO
    } | {"apps.part": f"<Applications>{APP}</Applications>"}),
    Case("G47", "root-includes-two", one('include="x.xml"'), "error", INCLUDE,
         {"x.xml": '<VirtualHost include="?.xml.2"/>', "a.xml.2": host(), "b.xml.2": host()}),
    Case("G47", "root-includes-none", one('include="x.xml"'), "error", 'include="y',
         {"x.xml": '<VirtualHost include="y.xml"/>'}),
    Case("G47", "itself", one('include="a.xml"'), "error", INCLUDE,
         {"a.xml": '<VirtualHost include="a.xml"/>'}),
    Case("G47", "each-other", one('include="a.xml"'), "error", INCLUDE,
         {"a.xml": '<VirtualHost include="b.xml"/>', "b.xml": '<VirtualHost include="a.xml"/>'}),
    Case("G47", "server-itself", '<Server version="8" include="Server.xml"/>', "error",
         INCLUDE),
    Case("G48", "unknown-in-an-item", one('include="a.xml"'), "error", "<Foo",
         {"a.xml": host("<Foo/>")}),
    Case("G48", "unknown-deeper-in-an-item", one('include="a.xml"'), "error", "<Foo",
         {"a.xml": host("<Applications><Foo/></Applications>")}),
    Case("G48", "unknown-in-an-object", at_bind('include="b.xml"'), "warning", "<Foo",
         {"b.xml": f"<Bind>{RTMP}<Foo/></Bind>"}),
    Case("G48", "text-in-an-object", at_bind('include="b.xml"'), "warning", "left<",
         {"b.xml": f"<Bind>{RTMP}left</Bind>"}),
    Case("G48", "unknown-deeper-in-an-object", at_bind('include="b.xml"'), "error", "<Foo",
         {"b.xml": "<Bind><Providers><Foo/></Providers></Bind>"}),
    Case("G48", "bad-value-in-an-object", at_bind('include="b.xml"'), "error", "bad</Port",
         {"b.xml": BIND.replace("1935", "bad")}),
    Case("G48", "broken-file", one('include="a.xml"'), "error", "Nam>",
         {"a.xml": "<VirtualHost><Name>x</Nam></VirtualHost>"}),
    Case("G49", "pattern-takes-server-xml", one('include="*.xml"'), "error", "<Server",
         code="wrong-root"),
    Case("G49", "pattern-spares-server-xml", one('include="host*.xml"'),
         files={"host-a.xml": TWO["a.xml"]}),
)  # fmt: skip
