"""Completion as shells ask for it: real shells, with the script that the command prints."""

from __future__ import annotations

import os
import pty
import select
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import MINIMAL
from tests.support.daemon import DEADLINE_S, Daemon, omeconf, wait_for

SECOND = """<VirtualHost><Name>two words</Name><Host><Names><Name>b</Name></Names></Host>
<Applications><Application><Name>a $x</Name><Type>live</Type></Application></Applications>
</VirtualHost></VirtualHosts>"""
SERVER = MINIMAL.replace("</VirtualHosts>", SECOND)

BASH = """
source <(omeconf completion bash)
COMP_LINE={line}; COMP_POINT=${{#COMP_LINE}}; COMP_WORDBREAKS=$' \\t\\n"\\'><=;|&(:'
compopt() {{ echo "compopt $2"; }}
_omeconf_completion omeconf
((${{#COMPREPLY[@]}} == 0)) || printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Daemon(tmp_path_factory.mktemp("daemon"), SERVER) as made:
        made.write(SERVER.replace(">6<", ">5<"))
        run = wait_for(
            lambda: [r for r in (made.cli("log", "--json"),) if '"number": 2' in r.stdout]
        )
        assert run
        yield made


class Shell:
    """What runs a shell with `omeconf` on its PATH, talking to a daemon or to none."""

    def __init__(self, folder: Path, socket: Path) -> None:
        self.folder = folder
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = {**os.environ, "PATH": path, "OMECONF_SOCKET": str(socket),
                            "HOME": str(folder), "TERM": "dumb"}  # fmt: skip

    def run(self, *command: str) -> list[str]:
        """The lines that a command prints; what goes to stderr must be nothing."""
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=self.folder,
                              env=self.environment, timeout=DEADLINE_S)  # fmt: skip
        assert done.stderr == ""
        return done.stdout.splitlines()

    def bash(self, line: str) -> list[str]:
        """What bash is offered behind a line."""
        return self.run("bash", "--norc", "-c", BASH.format(line=shlex.quote(line)))

    def typed(self, command: list[str], setup: str, line: str, ready: Path, dumped: Path) -> str:
        """The command line after a person has typed a line, with tabs in it, at a terminal."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.folder)
            os.execvpe(command[0], command, self.environment)
        try:
            os.write(terminal, f"{setup}; touch {ready}\n".encode())
            _drain(terminal, ready)
            os.write(terminal, line.encode() + b"\x18d")
            _drain(terminal, dumped)
        finally:
            os.kill(pid, 9)
            os.close(terminal)
            os.waitpid(pid, 0)
        return dumped.read_text()


def _drain(terminal: int, until: Path) -> None:
    """Read what the shell writes, as a terminal does, until there is a file."""
    deadline = time.monotonic() + DEADLINE_S
    seen = b""
    while not until.exists():
        assert time.monotonic() < deadline, seen.decode(errors="replace")
        if select.select([terminal], [], [], 0.02)[0]:
            seen += os.read(terminal, 4096)


@pytest.fixture
def shell(daemon: Daemon, tmp_path: Path) -> Shell:
    return Shell(tmp_path, daemon.socket)


@pytest.fixture
def alone(tmp_path: Path) -> Shell:
    """No daemon is there."""
    return Shell(tmp_path, tmp_path / "none.sock")


# -- bash ------------------------------------------------------------------------------------------


def test_commands_and_options(alone: Shell) -> None:
    """Every command by its beginning; the options of a command; the words of an option."""
    assert alone.bash("omeconf sc") == ["schema"]
    assert {"status", "schema", "serve"} <= set(alone.bash("omeconf s"))
    assert {"--yes", "--dry-run", "--json"} <= set(alone.bash("omeconf rollback --"))
    assert alone.bash("omeconf token --role ad") == ["admin"]
    assert alone.bash("omeconf check --engine 0.2") == ["0.21", "0.20"]


@pytest.mark.long
def test_revisions(shell: Shell) -> None:
    """The newest first, and only those that begin so."""
    for line in ("omeconf show ", "omeconf rollback ", "omeconf log --before "):
        assert shell.bash(line) == ["2", "1"]
    assert shell.bash("omeconf rollback 1 --base 2") == ["2"]


@pytest.mark.long
def test_states_or_files(shell: Shell) -> None:
    """diff takes a state, a revision, or else a file."""
    assert shell.bash("omeconf diff h") == ["head", "healthy"]
    assert shell.bash("omeconf diff ") == ["disk", "head", "running", "healthy", "2", "1"]
    assert shell.bash("omeconf diff head Serv") == ["compopt default"]
    assert shell.bash("omeconf check Serv") == ["compopt default"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("LLH", ["LLHLS", "LLHLS/", "LLHLSReady"]),
        ("Application/Publishers/LL", ["Application/Publishers/LLHLS",
                                       "Application/Publishers/LLHLS/"]),
        ("application/publishers/ll", ["application/publishers/LLHLS",
                                       "application/publishers/LLHLS/"]),
        ("publishers.llhls.segmentD", ["publishers.llhls.segmentDuration"]),
        ("/", ["/Server", "/Server/"]),
        ("/Server/Ty", ["/Server/Type"]),
        ("no/such/thing", []),
    ],
)  # fmt: skip
def test_elements(alone: Shell, begun: str, offered: list[str]) -> None:
    """Names and paths, in XML or JSON, of the release asked for; what can go on, both ways."""
    lines = [each for each in alone.bash(f"omeconf schema {begun}") if each != "compopt nospace"]
    assert lines == offered or lines == ["", *offered] or (lines == [] and not offered)
    assert "0.16.5" not in lines


@pytest.mark.long
def test_elements_of_a_release(alone: Shell) -> None:
    """Those of the release that the line names."""
    assert "LLDASH" not in alone.bash("omeconf schema LLD")
    assert "LLDASH" in alone.bash("omeconf schema --engine 0.16.5 LLD")


def test_applications(shell: Shell) -> None:
    """As host/app; blanks and dollars come escaped, or plain between quotes."""
    assert shell.bash("omeconf app remove ") == [
        "default/app",
        "default/other",
        r"two\ words/a\ \$x",
    ]
    assert shell.bash("omeconf app remove two") == [r"two\ words/a\ \$x"]
    assert shell.bash(r"omeconf app remove two\ w") == [r"two\ words/a\ \$x"]
    assert shell.bash("omeconf app remove 'two w") == ["two words/a $x"]
    assert shell.bash("omeconf app list ") == ["default", r"two\ words"]


@pytest.mark.long
@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("publishers.ll", ["publishers.llhls."]),
        ("publishers.llhls.segmentD", ["publishers.llhls.segmentDuration="]),
        ("publishers.llhls.segmentDuration=", ["10.0"]),
        ("publishers.llhls.originMode=", ["false", "true"]),
        ("publishers.llhls.originMode=t", ["true"]),
        ("'publishers.llhls.originMode=t", ["publishers.llhls.originMode=true"]),
        ("type=", ["live", "vod"]),
        ("publishers.nothing.here", []),
        ("publishers.llhls.nothing=", []),
    ],
)
def test_keys_and_values(alone: Shell, begun: str, offered: list[str]) -> None:
    """Keys of an application go on to `=`; behind it come the words, where bash cuts."""
    found = alone.bash(f"omeconf app set default/app {begun}")
    assert [each for each in found if each != "compopt nospace"] == offered
    assert ("compopt nospace" in found) == any(each[-1] in ".=" for each in offered)


@pytest.mark.long
@pytest.mark.parametrize(
    ("begun", "offered"),
    [
        ("Bind/Providers/RT", ["Bind/Providers/RTMP/", "Bind/Providers/RTSP/",
                               "Bind/Providers/RTSPC/"]),
        ("Bind/Providers/RTMP/P", ["Bind/Providers/RTMP/Port="]),
        ("/Server/Ty", ["/Server/Type="]),
        ("Type=", ["origin", "edge"]),
        ("VirtualHosts/", [r"VirtualHosts/VirtualHost\[default\]/",
                           r"VirtualHosts/VirtualHost\[two\ words\]/"]),
        ("'VirtualHosts/VirtualHost[Name=\"two words\"]/Na", [
            'VirtualHosts/VirtualHost[Name="two words"]/Name=']),
        (r"VirtualHosts/VirtualHost\[two\ words\]/Na", [
            r"VirtualHosts/VirtualHost\[two\ words\]/Name="]),
        (r"VirtualHosts/VirtualHost[two\ words]/Name=", [r"two\ words"]),
        (r"VirtualHosts/VirtualHost\[two\ words\]/Applications/App", [
            r"VirtualHosts/VirtualHost\[two\ words\]/Applications/Application\[a\ \$x\]/"]),
    ],
)  # fmt: skip
def test_paths_and_values(shell: Shell, begun: str, offered: list[str]) -> None:
    """Elements of the configuration as it is, with brackets, quotes and blanks that bash keeps."""
    found = shell.bash(f"omeconf set {begun}")
    assert [each for each in found if each != "compopt nospace"] == offered


@pytest.mark.long
@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("app set default/app publishers.llhls.segmentDuration=", ["5", "10.0"]),
        ("app set default/app Publishers/LL", ["Publishers/LLHLS/"]),
        ("app set default/app Publishers/LLHLS/SegmentDuration=", ["5", "10.0"]),
        ("app set default/app --unset publishers.ll", ["publishers.llhls", "publishers.llhls."]),
        ("app get default/app publishers.llhls.segmentD", ["publishers.llhls.segmentDuration"]),
        ("edit default/o", ["default/other"]),
        ("edit Bind/Prov", ["Bind/Providers", "Bind/Providers/"]),
        ("app add def", ["default/"]),
        ("app add default/new --from default/o", ["default/other"]),
        ("set Bind/Providers/RTMP/Port=", ["1935", "1935/tcp"]),
        ("set --unset Bind/Prov", ["Bind/Providers", "Bind/Providers/"]),
    ],
)
def test_as_it_is_now(shell: Shell, line: str, offered: list[str]) -> None:
    """Before the default comes what is written now, wherever the line has said which one."""
    found = shell.bash(f"omeconf {line}")
    assert [each for each in found if each != "compopt nospace"] == offered


@pytest.mark.long
def test_places(shell: Shell) -> None:
    """The same without values; an object is whole by itself, or goes on."""
    found = shell.bash("omeconf get Bind/Prov")
    assert found == ["compopt nospace", "Bind/Providers", "Bind/Providers/"]


BINDING = r"""bind -x '"\C-xd": printf %s "$READLINE_LINE" > dump && mv dump dumped'"""


@pytest.mark.long
@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("omeconf sche\tApplication/Publishers/LLHLS/DV\t",
         "omeconf schema Application/Publishers/LLHLS/DVR"),
        ("omeconf app set default/app publishers.llhls.or\tt\t",
         "omeconf app set default/app publishers.llhls.originMode=true "),
        ("omeconf app remove two\t", r"omeconf app remove two\ words/a\ \$x "),
        ("omeconf app remove 'two\t", "omeconf app remove 'two words/a $x' "),
        ("omeconf set VirtualHosts/VirtualHost[tw\tNam\t",
         r"omeconf set VirtualHosts/VirtualHost\[two\ words\]/Name="),
    ],
    ids=["element", "key and value", "escaped", "in quotes", "in brackets"],
)  # fmt: skip
def test_typed_in_bash(shell: Shell, line: str, result: str) -> None:
    """With tabs pressed at a real terminal, the line becomes one that can be sent off."""
    setup = f'eval "$(omeconf completion bash)"; {BINDING}'
    found = shell.typed(["bash", "--norc", "--noprofile", "-i"], setup, line,
                        shell.folder / "ready", shell.folder / "dumped")  # fmt: skip
    assert found == result


# -- zsh and fish ----------------------------------------------------------------------------------

WIDGET = (
    "autoload -Uz compinit && compinit -u -D; "
    'eval "$(omeconf completion zsh)"; '
    'dump() { print -rn -- "$BUFFER" > dump && mv dump dumped }; zle -N dump; '
    "bindkey '^Xd' dump"
)


@pytest.mark.long
@pytest.mark.skipif(shutil.which("zsh") is None, reason="zsh is not installed")
@pytest.mark.parametrize(
    ("line", "result"),
    [
        ("omeconf sche\tApplication/Publishers/LLHLS/Par\t",
         "omeconf schema Application/Publishers/LLHLS/PartHoldBack "),
        ("omeconf app set default/app publishers.llhls.or\tt\t",
         "omeconf app set default/app publishers.llhls.originMode=true "),
        ("omeconf app remove two\t", r"omeconf app remove two\ words/a\ \$x "),
        ("omeconf rollback 2\t", "omeconf rollback 2 "),
    ],
    ids=["element", "key and value", "escaped", "revision"],
)  # fmt: skip
def test_typed_in_zsh(shell: Shell, line: str, result: str) -> None:
    """The same in zsh."""
    found = shell.typed(["zsh", "-f", "-i"], WIDGET, line,
                        shell.folder / "ready", shell.folder / "dumped")  # fmt: skip
    assert found.rstrip() == result.rstrip()


@pytest.mark.long
@pytest.mark.skipif(shutil.which("fish") is None, reason="fish is not installed")
def test_fish(shell: Shell) -> None:
    """fish shows what it is offered, with what each is for."""

    def offered(line: str) -> list[str]:
        script = f"omeconf completion fish | source; complete -C {shlex.quote(line)}"
        return shell.run("fish", "--no-config", "-c", script)

    assert [each.split("\t")[0] for each in offered("omeconf sche")] == ["schema"]
    assert "publishers.llhls.segmentDuration=" in [
        each.split("\t")[0]
        for each in offered("omeconf app set default/app publishers.llhls.segmentD")
    ]
    (second, first) = sorted(offered("omeconf rollback "), reverse=True)
    assert second.startswith("2\t")
    assert "SegmentDuration" in second
    assert first.startswith("1\t")
    assert "two words/a $x" in [each.split("\t")[0] for each in offered("omeconf app remove two")]


# -- when nothing helps ----------------------------------------------------------------------------


def test_without_a_daemon(alone: Shell) -> None:
    """What only the daemon knows is not offered; the rest is, and nothing is said."""
    assert alone.bash("omeconf rollback ") == []
    assert alone.bash("omeconf app remove ") == []
    assert alone.bash("omeconf diff ") == ["disk", "head", "running", "healthy"]
    assert "Bind/Providers/RTMP/Port=" in alone.bash("omeconf set Bind/Providers/RTMP/P")


@pytest.mark.long
def test_a_daemon_that_hangs(tmp_path: Path) -> None:
    """Nothing is offered, and the shell has its prompt again, before the test's deadline."""
    silent = tmp_path / "silent.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(silent))
        listener.listen()
        assert Shell(tmp_path, silent).bash("omeconf rollback ") == []


@pytest.mark.long
@pytest.mark.parametrize("line", [
    "omeconf", "omeconf nonsense ", "omeconf schema 'a\\", 'omeconf diff "', "omeconf \x01 $(x",
    "omeconf schema --engine 9.9 ", "omeconf set [", "omeconf app set default/app =",
])  # fmt: skip
def test_what_cannot_be_completed(alone: Shell, line: str) -> None:
    """Whatever was typed, nothing goes wrong aloud."""
    alone.bash(line)


def test_script() -> None:
    """One script a shell; for another shell, exit status 2."""
    for name in ("bash", "zsh", "fish"):
        run = omeconf("completion", name)
        assert run.returncode == 0
        assert f"_OMECONF_COMPLETE={name}_complete" in run.stdout
    assert omeconf("completion", "tcsh").returncode == 2
