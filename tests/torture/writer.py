"""Somebody who edits a file by hand, in turn with every program people use; a process of its own.

Each line on its input is one save, each line of its output tells of one: JSON with the number,
the way, what was changed, the value that was there before, and what the editor complained of.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

VALUE = re.compile(r"(?<=<SegmentCount>)\d+(?=</SegmentCount> <!-- theirs -->)")
PIECES, PAUSE_S = 6, 0.008


def edited(text: str, marker: str, value: str) -> str:
    """The text with a marker before its end, or another value."""
    return VALUE.sub(value, text) if value else text.replace("</Server>", f"{marker}</Server>")


def _vim(file: Path, backupcopy: str, marker: str, value: str) -> None:
    new = f"+\\(</SegmentCount> <!-- theirs\\)+<SegmentCount>{value}\\1+"
    change = rf"%s+<SegmentCount>\d\+{new[1:]}" if value else f"%s+</Server>+{marker}</Server>+"
    told = file.parent.parent / "vim.messages"
    ended = subprocess.run(
        ["vim", "-es", "-u", "NONE", "-i", "NONE", "-c", f"set backupcopy={backupcopy}",
         "-c", f"redir! > {told}", "-c", change, "-c", "w!", "-c", "redir END", "-c", "qa!",
         str(file)],
        check=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    messages = " ".join(told.read_text().split())
    if ended.returncode or not messages.endswith("written"):
        raise OSError(messages)  # it was changed meanwhile: vim asks, or gives up


def vim_renames(file: Path, marker: str, value: str) -> None:
    """Vim that moves the old file away and writes a new one."""
    if shutil.which("vim"):
        _vim(file, "no", marker, value)
        return
    text = edited(file.read_text(), marker, value)
    backup = file.with_name(f"{file.name}~")
    file.rename(backup)
    file.write_text(text)
    backup.unlink()


def vim_copies(file: Path, marker: str, value: str) -> None:
    """Vim that copies the old file and writes over it."""
    if shutil.which("vim"):
        _vim(file, "yes", marker, value)
        return
    text = edited(file.read_text(), marker, value)
    backup = file.with_name(f"{file.name}~")
    shutil.copy2(file, backup)
    file.write_text(text)
    backup.unlink()


def nano(file: Path, marker: str, value: str) -> None:
    """Truncates and writes."""
    file.write_text(edited(file.read_text(), marker, value))


def sed(file: Path, marker: str, value: str) -> None:
    """`sed -i`, which writes another file and renames it."""
    place = r"[0-9]*\(</SegmentCount> <!-- theirs\)"
    old, new = ("</Server>", f"{marker}</Server>")
    if value:
        old, new = f"<SegmentCount>{place}", rf"<SegmentCount>{value}\1"
    subprocess.run(["sed", "-i", f"s|{old}|{new}|", str(file)], check=True)


def cp(file: Path, marker: str, value: str) -> None:
    """An edited copy, copied over it."""
    other = file.parent.parent / "other.xml"
    other.write_text(edited(file.read_text(), marker, value))
    subprocess.run(["cp", str(other), str(file)], check=True)


def slow(file: Path, marker: str, value: str) -> None:
    """Truncates, and writes piece by piece."""
    text = edited(file.read_text(), marker, value)
    size = len(text) // PIECES + 1
    with file.open("w") as out:
        for at in range(0, len(text), size):
            out.write(text[at : at + size])
            out.flush()
            time.sleep(PAUSE_S)


def replacer(file: Path, marker: str, value: str) -> None:
    """Writes another file, syncs it, and renames it."""
    new = file.with_name("Server.xml.new")
    with new.open("w") as out:
        out.write(edited(file.read_text(), marker, value))
        out.flush()
        os.fsync(out.fileno())
    new.rename(file)


WAYS: tuple[Callable[[Path, str, str], None], ...] = (
    vim_renames, vim_copies, nano, sed, cp, slow, replacer,
)  # fmt: skip


def main(file: Path) -> None:
    """Save once for each line of input."""
    for number, _ in enumerate(sys.stdin, 1):
        way = WAYS[number % len(WAYS)]
        is_value = number // len(WAYS) % 2
        marker, value = ("", str(100_000 + number)) if is_value else (f"<!--m{number}-->", "")
        found = VALUE.search(file.read_text())
        error = ""
        try:
            way(file, marker, value)
        except OSError as caught:  # the person is told, and would save again
            error = str(caught)
        print(
            json.dumps(
                {
                    "number": number,
                    "way": way.__name__,
                    "marker": marker,
                    "value": value,
                    "found": found[0] if found else None,
                    "error": error,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
