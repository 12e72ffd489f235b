"""One edit under strace: in which order files are synced, and that the answer comes last."""

from __future__ import annotations

import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from benchmarks.subject import Subject

_CALLS = (
    "fsync,fdatasync,rename,renameat,renameat2,link,linkat,"
    "read,recvfrom,recvmsg,write,writev,pwrite64,pwritev,sendto,sendmsg"
)
_LINE = re.compile(r"^(\d+) +([\d:.]+) (?:(\w+)\((.*)|<\.\.\. (\w+) resumed>(.*))$")
_PATH = re.compile(r"<(/[^>]*)>")
_NAME = re.compile(r'"([^"]*)"')
_ATTACH_S = 10.0


@dataclass(frozen=True, slots=True)
class Order:
    """What one edit did."""

    steps: tuple[str, ...]
    """In the order they ended; the answer where it began."""
    missing: tuple[str, ...]
    """What was not seen before the answer; empty if the promise holds."""


def trace(subject: Subject, log: Path) -> Order | str:
    """Do one edit under strace; a text if that cannot be, with the reason."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    command = ["strace", "-f", "-tt", "-y", "-s", "64", "-e", f"trace={_CALLS}", "-o", str(log)]
    tracer = subprocess.Popen(
        [*command, "-p", str(subject.server.pid)], stderr=subprocess.PIPE, text=True
    )
    assert tracer.stderr is not None
    said = tracer.stderr.readline()
    if "attached" not in said:
        tracer.wait(_ATTACH_S)
        return f"strace cannot attach: {said.strip()}"
    try:
        time.sleep(1)  # what came before shall not be in it
        subject.edit(0)
        time.sleep(0.2)
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(_ATTACH_S)
        tracer.stderr.close()
    return read(log.read_text(errors="replace"), subject.server.file, subject.server.state)


def read(text: str, file: Path, state: Path) -> Order:
    """What a trace says of what was done between the one PATCH in it and the answer to that."""
    watch = _Watch(file, state / "history.sqlite-wal")
    for moment, call, arguments in _calls(text):
        if '"PATCH /v1' in arguments:
            watch = _Watch(file, watch.history)
            watch.steps.append(f"{moment}  {call:10} the request")
            watch.is_asked = True
        elif '"HTTP/1.1 200' in arguments and watch.is_asked:
            watch.steps.append(f"{moment}  {call:10} the answer 200")
            watch.is_answered = True
            break
        else:
            watch.see(moment, call, arguments)
    return Order(tuple(watch.steps), tuple(watch.missing()))


class _Watch:
    """What was written and synced since the request came."""

    def __init__(self, file: Path, history: Path) -> None:
        self.file = file
        self.history = history
        self.steps: list[str] = []
        self.unsynced: set[Path] = set()
        """Written, and not synced since."""
        self.synced: set[str] = set()
        """Names whose bytes were synced, also under the name they have had since."""
        self.named: set[str] = set()
        """Names that were given to what was synced."""
        self.is_asked = self.is_live = self.is_folder_synced = self.is_answered = False
        self.is_name_synced = self.is_too_early = self.is_history_synced = False

    def see(self, moment: str, call: str, arguments: str) -> None:
        """Take one call into account."""
        if call.startswith(("rename", "link")):
            names = [Path(name).name for name in _NAME.findall(arguments)]
            self.steps.append(f"{moment}  {call:10} {' -> '.join(names)}")
            if len(names) == 2 and names[0] in self.synced:
                self.synced.add(names[1])
                self.named.add(names[1])
                self.is_live = self.is_live or names[1] == self.file.name
            return
        found = _PATH.search(arguments)
        path = Path(found[1]) if found else Path()
        is_ours = path == self.history or self.file.parent in (path, path.parent)
        if not is_ours:
            return
        if "write" in call:
            if path != self.history or not self.is_live:  # then it is noted there, for later
                self.unsynced.add(path)
                self.is_too_early |= path == self.history and not self.is_name_synced
        elif "sync" in call:
            self.unsynced.discard(path)
            self.steps.append(f"{moment}  {call:10} {self._named(path)}")
            if path == self.history:
                self.is_history_synced |= not self.is_live
            elif path == self.file.parent:
                self.is_folder_synced = self.is_live
                self.is_name_synced = bool(self.named)
            else:
                self.synced.add(path.name)

    def missing(self) -> Iterator[str]:
        """What was not seen before the answer."""
        seen = {
            "the new bytes and their name synced before they are recorded": self.is_name_synced
            and not self.is_too_early,
            f"{self.history.name} synced, and then the new bytes in the place of "
            f"{self.file.name}": self.is_history_synced and self.is_live,
            "the folder synced after that": self.is_folder_synced,
            "an answer 200": self.is_answered,
        }
        yield from (what for what, was in seen.items() if not was)
        yield from (f"{path.name} synced after its last write" for path in self.unsynced)

    def _named(self, path: Path) -> str:
        return "the folder of the configuration" if path == self.file.parent else path.name


def _calls(text: str) -> list[tuple[str, str, str]]:
    """Moment, name and arguments of the calls: those that send as they begin, others as they end.

    What failed is left out.
    """
    found: list[tuple[str, str, str]] = []
    begun: dict[tuple[str, str], str] = {}
    for line in text.splitlines():
        match = _LINE.match(line)
        if match is None:
            continue
        thread, moment, call, rest, resumed, end = match.groups()
        if resumed:
            call, rest = resumed, begun.pop((thread, resumed), "") + end
            if _is_sending(call):
                continue
        elif rest.endswith("<unfinished ...>"):
            begun[thread, call] = rest
            if not _is_sending(call):
                continue
        if " = -1 " not in rest:
            found.append((moment, call, rest))
    return found


def _is_sending(call: str) -> bool:
    """Whether a call counts from where it begins: an answer must not be under way too early."""
    return call.startswith("send") or "write" in call
