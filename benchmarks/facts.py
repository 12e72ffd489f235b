"""The machine and the versions that the figures belong to."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

from benchmarks.servers import find_program

_VERSIONS = {
    "caddy": ["version"],
    "wrk": ["-v"],
    "xmllint": ["--version"],
    "xmlstarlet": ["--version"],
    "augtool": ["--version"],
    "strace": ["-V"],
    "etcd": ["--version"],
}


def facts(program: Path, work: Path) -> dict[str, str]:
    """Everything that one has to know to compare."""
    found = {
        "CPU": f"{_cpu()}, {len(os.sched_getaffinity(0))} cores for us",
        "kernel": platform.release(),
        "file system": _file_system(work),
        "Python": platform.python_version(),
        "load before": f"{os.getloadavg()[0]:.2f}",
        "omeconf": f"{_first_line([str(program), '--version'])}, {_commit(program)}",
    }
    for name, arguments in _VERSIONS.items():
        where = find_program(name)
        found[name] = _first_line([str(where), *arguments]) if where else "not installed"
    return found


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def _file_system(path: Path) -> str:
    """Type and options of the file system that a path is on."""
    best = ("", "unknown")
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if path.absolute().is_relative_to(point) and len(point) >= len(best[0]):
            best = (point, f"{kind} ({options})")
    return best[1]


def _commit(program: Path) -> str:
    """The commit of the tree that the program lies in."""
    here = ["git", "-C", str(program.parent)]
    commit = _first_line([*here, "rev-parse", "--short", "HEAD"])
    changed = _first_line([*here, "status", "--porcelain", "--untracked-files=no"])
    return f"commit {commit}{' and changes' if changed else ''}" if commit else "no commit"


def _first_line(command: list[str]) -> str:
    """What a command says first, on either stream; "" if it cannot be run."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if done.returncode and command[0] == "git":
        return ""
    return next(iter((done.stdout + done.stderr).strip().splitlines()), "")
