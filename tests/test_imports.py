from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.support import PROJECT

LAYERS = (
    "errors",
    "core",
    "logs",
    "report",
    "settings",
    "store",
    "offline",
    "daemon",
    "api",
    "transport",
    "tls",
    "listeners",
    "supervised",
    "units",
    "server",
    "reloading",
    "cli",
)
"""An arrow may point to the left only; `client` stands beside, on errors and core values."""
ASIDE = {"client": {"errors", "core"}, "": {"errors", "core"}}
VERSION = "omeconf.__version__"
IMPURE = {"os", "time", "threading", "asyncio", "logging", "socket", "subprocess", "pathlib"}
DOORS = {
    "lxml": {"core/schema.py"},
    "watchdog": {"daemon/bursts.py", "daemon/watcher.py"},
    "uvicorn": {"server.py", "transport.py"},
    "jsonpatch": {"core/mapping.py"},
    "prometheus_client": {"api/metrics.py"},
    "httpx2": {"api/runtime.py", "store/etcd_http.py"},
    "uvloop": {"server.py"},
    "rich": {"cli/output.py"},
    "logging_journald": {"logs.py"},
    "sqlite3": {"store/history.py"},
}
CONSOLE_DOORS = {
    "@codemirror": {"completion.ts", "diff.tsx", "editor.tsx", "theme.ts"},
    "@lezer": {"completion.ts", "theme.ts"},
    "@preact": {"live.ts", "parts.tsx", "router.ts", "session.ts"},
    "node-diff3": {"merging.ts"},
}
"""The same for the console: libraries by the first part of their names."""
CALLS = {"fetch(": {"api.ts"}, "sessionStorage": {"session.ts"}, "localStorage": set(),
         "innerHTML": set(), "document.cookie": set()}  # fmt: skip
"""What is done in one module of the console, or in none."""
PACKAGE = PROJECT / "omeconf"


def imports(path: Path) -> list[str]:
    """Full names of all modules that a file imports, also inside functions."""
    found: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found += [f"{node.module}.{alias.name}" for alias in node.names]
    return found


def files() -> dict[str, Path]:
    return {str(path.relative_to(PACKAGE)): path for path in sorted(PACKAGE.rglob("*.py"))}


def layer(module: str) -> str:
    name = module.split(".")[1] if "." in module else ""
    name = {"__main__": "cli"}.get(name, name)
    return name if name in LAYERS or name in ASIDE else ""


def test_arrows_point_one_way() -> None:
    """errors <- core <- store <- daemon <- api <- server <- cli."""
    wrong: list[str] = []
    for name, path in files().items():
        own = layer("omeconf." + name.removesuffix(".py").replace("/", "."))
        for imported in imports(path):
            if not imported.startswith("omeconf."):
                continue
            other = layer(imported)
            if own in ASIDE:
                is_allowed = other in {*ASIDE[own], own} or imported == VERSION
            elif other in ASIDE:
                is_allowed = own in ("reloading", "cli") or imported == VERSION
            else:
                is_allowed = LAYERS.index(other) <= LAYERS.index(own) or (
                    own == "errors" and imported == "omeconf.core.violation.Violation"
                )
            if not is_allowed:
                wrong.append(f"{name} -> {imported}")
    assert wrong == []


def test_core_is_pure() -> None:
    """Bytes in, values out: the core knows no clock, no disk, no thread but for one lock."""
    wrong = [
        f"{name} -> {imported}"
        for name, path in files().items()
        if name.startswith("core/")
        for imported in imports(path)
        if imported.split(".")[0] in IMPURE and imported != "pathlib.PurePosixPath"
    ]
    assert wrong == ["core/once.py -> threading.RLock"]


def test_one_library_one_door() -> None:
    """Each library is used in one place, so that it can be replaced there."""
    found: dict[str, set[str]] = {library: set() for library in DOORS}
    terminal = {"report.py"}
    for name, path in files().items():
        for imported in imports(path):
            library = imported.split(".")[0]
            if library in found:
                found[library].add(name)
            if library == "starlette":
                assert name.startswith("api/"), name
            if library == "click":
                assert name.startswith("cli/") or name in terminal, name
    assert found == DOORS


def sources() -> dict[str, str]:
    """The console's modules by name."""
    folder = PROJECT / "console/src"
    return {path.name: path.read_text() for path in sorted(folder.glob("*.ts*"))}


def test_doors_of_the_console() -> None:
    """One module speaks to the daemon, one knows the token; each library is used where it is."""
    found: dict[str, set[str]] = {library: set() for library in CONSOLE_DOORS}
    calls: dict[str, set[str]] = {call: set() for call in CALLS}
    for name, text in sources().items():
        for imported in re.findall(r'from "([^".][^"]*)"', text):
            library = imported.split("/")[0]
            if library != "preact":
                found[library].add(name)
        for call, where in calls.items():
            if call in text:
                where.add(name)
    assert found == CONSOLE_DOORS
    assert calls == CALLS


def test_modules_of_the_console() -> None:
    """They say what they are, too, and are small."""
    assert len(sources()) > 20
    for name, text in sources().items():
        lines = text.splitlines()
        assert lines[0].startswith("// "), name
        assert len(lines) < 300, name


def test_modules_say_what_they_are() -> None:
    """The first line of every module says in one line what it does; none grows into a hall."""
    for name, path in files().items():
        first = (ast.get_docstring(ast.parse(path.read_text())) or "").splitlines()
        assert first, name
        assert first[0].endswith("."), name
        assert len(path.read_text().splitlines()) < 700, name
