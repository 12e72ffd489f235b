"""Every way in which a file gets other content: editors, tools, containers; each is a function.

Each is given the file and the whole new text. Editors are the real ones, driven as a person would.
"""

from __future__ import annotations

import mmap
import os
import pty
import select
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

PIECES, PAUSE_S = 5, 0.01
"""A slow writer writes so many pieces, with pauses between them."""
EDITOR_S = 30.0
"""So long an editor may take."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way of saving."""

    name: str
    save: Callable[[Path, str], None]
    command: str = ""
    """The program that it needs."""


def in_place(file: Path, text: str) -> None:
    """Truncates and writes, as a shell's > does."""
    file.write_text(text)


def in_pieces(file: Path, text: str) -> None:
    """Truncates, and writes piece by piece."""
    size = len(text) // PIECES + 1
    with file.open("w") as out:
        for at in range(0, len(text), size):
            out.write(text[at : at + size])
            out.flush()
            time.sleep(PAUSE_S)


def rename_over(file: Path, text: str) -> None:
    """Writes another file in the folder, syncs it, and renames it."""
    other = file.with_name(f"{file.name}.new")
    with other.open("w") as out:
        out.write(text)
        out.flush()
        os.fsync(out.fileno())
    other.rename(file)


def from_elsewhere(file: Path, text: str) -> None:
    """Renames a file from another folder."""
    with _beside(file, text) as other:
        other.rename(file)


def unlink_and_create(file: Path, text: str) -> None:
    """Removes it, and writes another, as git checkout and install(1) do."""
    file.unlink()
    file.write_text(text)


def moved_out(file: Path, text: str) -> None:
    """Moves it out of the folder, then writes another."""
    aside = Path(tempfile.mkdtemp(dir=file.parent.parent))
    file.rename(aside / file.name)
    file.write_text(text)
    shutil.rmtree(aside)


def mapped(file: Path, text: str) -> None:
    """Writes into the file through a mapping."""
    data = text.encode()
    with file.open("r+b") as out:
        out.truncate(len(data))
        with mmap.mmap(out.fileno(), len(data)) as view:
            view[:] = data


def same_time(file: Path, text: str) -> None:
    """Truncates, writes, and puts the time of writing back."""
    before = file.stat()
    file.write_text(text)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def sed(file: Path, text: str) -> None:
    """`sed -i`: writes another file and renames it."""
    with _beside(file, text) as other:
        subprocess.run(["sed", "-i", "-n", f"1r {other}", str(file)], check=True)


def cp(file: Path, text: str) -> None:
    """`cp` over it."""
    with _beside(file, text) as other:
        subprocess.run(["cp", str(other), str(file)], check=True)


def install(file: Path, text: str) -> None:
    """`install`: removes it, and makes another."""
    with _beside(file, text) as other:
        subprocess.run(["install", "-m", "644", str(other), str(file)], check=True)


def vim(backupcopy: str, command: str = "vim") -> Callable[[Path, str], None]:
    """Vim: backupcopy no moves the old file away, yes copies it; the default picks one."""

    def save(file: Path, text: str) -> None:
        with _beside(file, text) as other:
            subprocess.run(
                [command, "-es", "-u", "NONE", "-i", "NONE", "-N",
                 "-c", "set backupskip= " + (f"backupcopy={backupcopy}" if backupcopy else ""),
                 "-c", f"%!cat {other}", "-c", "w!", "-c", "qa!", str(file)],
                check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, timeout=EDITOR_S,
            )  # fmt: skip

    return save


def emacs(file: Path, text: str) -> None:
    """Emacs: moves the old file to one with a ~ (the first time), and writes a new one."""
    with _beside(file, text) as other:
        change = (
            "(let ((coding-system-for-write 'no-conversion)) (erase-buffer) "
            f'(insert-file-contents-literally "{other}") (save-buffer))'
        )
        subprocess.run(
            ["emacs", "--batch", "-Q", str(file), "--eval", change],
            check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=EDITOR_S,
        )  # fmt: skip
    file.with_name(f"{file.name}~").unlink(missing_ok=True)  # so that it makes one each time


def nano(file: Path, text: str) -> None:
    """Nano, on a terminal: everything is cut, the new text read in, written out."""
    with _beside(file, text) as other:
        pid, terminal = pty.fork()
        if pid == 0:
            os.environ["TERM"] = "xterm"
            os.execvp("nano", ["nano", "--ignorercfiles", "--nonewlines", str(file)])
        try:
            for shown, keys in (
                (b"Read File", b"\x1bt\x12"),  # M-T cuts to the end, ^R reads in
                (b"File to insert", os.fsencode(other) + b"\r"),
                (b"Read File", b"\x0f"),  # ^O writes out
                (b"File Name to Write", b"\r"),
                (b"Wrote", b"\x18"),  # ^X leaves
            ):
                _read_until(terminal, shown)
                os.write(terminal, keys)
            _read_until(terminal, None)
        finally:
            os.close(terminal)  # hangs up, if it is still there
            os.waitpid(pid, 0)


def _read_until(terminal: int, shown: bytes | None) -> None:
    """Read what is shown on a terminal until some text is; None: until the program has ended."""
    deadline, seen = time.monotonic() + EDITOR_S, b""
    while shown is None or shown not in seen:
        if not select.select([terminal], [], [], max(deadline - time.monotonic(), 0))[0]:
            raise OSError(f"nano does not show {shown!r}, but {seen!r}")
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # it has ended
            if shown is None:
                return
            raise


@contextmanager
def _beside(file: Path, text: str) -> Iterator[Path]:
    """The text in a file of another folder on the same disk."""
    folder = Path(tempfile.mkdtemp(dir=file.parent.parent))
    other = folder / "new.xml"
    other.write_text(text)
    try:
        yield other
    finally:
        shutil.rmtree(folder)


WAYS = (
    Way("truncated and written", in_place),
    Way("truncated and written in 5 pieces, 10 ms apart", in_pieces),
    Way("renamed over, from the same folder", rename_over),
    Way("renamed over, from another folder", from_elsewhere),
    Way("removed and created", unlink_and_create),
    Way("moved out of the folder, then created", moved_out),
    Way("written through a mapping", mapped),
    Way("same size, time of writing put back", same_time),
    Way("sed -i", sed, "sed"),
    Way("cp over it", cp, "cp"),
    Way("install over it", install, "install"),
    Way("vim", vim(""), "vim"),
    Way("vim, backupcopy=no", vim("no"), "vim"),
    Way("vim, backupcopy=yes", vim("yes"), "vim"),
    Way("vim.tiny", vim("", "vim.tiny"), "vim.tiny"),
    Way("nano", nano, "nano"),
    Way("emacs", emacs, "emacs"),
)
