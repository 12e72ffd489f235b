"""J: the version of the configuration."""

from __future__ import annotations

from tests.facts import PROLOG, Case, app, host, server

INSIDE = f"<VirtualHosts>{host(f'<Applications>{app()}</Applications>')}</VirtualHosts>"
ROWS = (
    ("error", "seven", "7"), ("error", "eleven", "11"), ("error", "zero", "0"),
    ("error", "minus", "-8"), ("error", "empty", ""), ("error", "word", "abc"),
    ("error", "letter-before", "v8"), ("error", "eighty", "80"),
    ("error", "overflow", "4294967304"),
    ("warning", "fraction", "8.5"), ("warning", "junk", "8abc"), ("warning", "list", "9,10"),
    ("good", "blank-before", " 8"), ("good", "leading-zero", "08"),
)  # fmt: skip

CASES = (
    *(Case("J57", f"version-{name}", server(start=f'<Server version="{value}">'), verdict,
           "" if verdict == "good" else f'version="{value}"') for verdict, name, value in ROWS),
    Case("J57", "version-missing", server(start="<Server>"), "error", "<Server"),
    Case("J57", "version-of-xml-is-not-it", f"{PROLOG}<Server><Type>origin</Type><IP>*</IP><Bind/>"
         "</Server>", "error", "<Server"),
    Case("J57", "version-and-unknown-element", server("<Foo/>", start='<Server version="7">'),
         "error", "<Foo"),
    *(Case("J58", f"version-{n}", server(INSIDE, start=f'<Server version="{n}">'))
      for n in (8, 9, 10)),
    *(Case("J58", f"same-rules-in-{n}", server("<MaxConnection/>",
           start=f'<Server version="{n}">'), "error", "<MaxConnection") for n in (8, 9, 10)),
)  # fmt: skip
