"""Write omeconf.1 from the commands themselves: `make man`.

One page, so that `man omeconf` can be searched. Commands, arguments and options come from click,
exit statuses from omeconf/cli/base.py; only what nobody else says stands here.
"""

from __future__ import annotations

import inspect
import re
import sys
import textwrap
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import click

from omeconf import __version__
from omeconf.cli import SECTIONS, base, main

PAGE = Path(__file__).with_name("omeconf.1")
COMMON = 8
"""An option of so many commands is told once."""
ENVIRONMENT = {
    "OMECONF_SOCKET": "The daemon's socket, where no --socket is given.",
    "VISUAL": "The editor of `edit`.",
    "EDITOR": "The same, where VISUAL is not set; without both the first one found.",
    "RUNTIME_DIRECTORY": "The folder of the socket, /run/omeconf unless set; systemd sets it.",
    "STATE_DIRECTORY": "Where the daemon keeps its history, /var/lib/omeconf unless set.",
    "NOTIFY_SOCKET": "Where `serve` tells systemd how it is.",
    "NO_COLOR": "If not empty, nothing is coloured.",
    "FORCE_COLOR": "If not empty, output is coloured that goes to no terminal, too.",
}
FILES = {
    "/etc/ovenmediaengine/Server.xml": "Often, the configuration of the engine. Any other will do.",
    "/etc/omeconf/omeconf.toml": "Settings of the daemon; each has a default.",
    "/run/omeconf/omeconf.sock": "Where the daemon listens for these commands.",
    "/var/lib/omeconf": "The history: every revision, with its files.",
}
EXAMPLES = {
    "omeconf check --strict /etc/ovenmediaengine": "Find every mistake; fail on warnings, too.",
    "omeconf status": "How do things stand?",
    "omeconf log -n 5": "What was changed of late, and by whom?",
    "omeconf diff head disk": "What is not right yet in the file that somebody is editing?",
    "omeconf app set default/live publishers.llhls.segmentDuration=4": "Change one value of one "
    "application; only that application restarts.",
    "omeconf edit default/live": "Edit one application as XML; it is checked before it is saved.",
    "omeconf set Bind/Providers/RTMP/Port=1936 --dry-run": "What would change, and what restart?",
    "omeconf rollback 41 --confirm 60": "Take up an old state, and have it taken back after a "
    "minute unless `omeconf confirm` is called.",
    "omeconf schema publishers.llhls.segmentDuration": "What is this for, and what restarts when "
    "it changes?",
    "omeconf events --follow --json": "What happens, as it happens, a line of JSON each.",
}
SEE_ALSO = (
    "systemd.service(5), journalctl(1), xmllint(1); https://json-schema.org for `schema --json`"
)
SUMMARY = "configuration manager for OvenMediaEngine"


def page(date: str) -> str:
    """The whole page, in the man macros."""
    lines = [
        f'.TH OMECONF 1 "{date}" "omeconf {__version__}" "omeconf"',
        ".SH NAME",
        rf"omeconf \- {SUMMARY}",
        ".SH SYNOPSIS",
        r"\fBomeconf\fP \fICOMMAND\fP [\fIOPTIONS\fP] [\fIARGUMENTS\fP]",
        ".SH DESCRIPTION",
        *_prose(main.help or ""),
        ".PP",
        *_text("Results go to standard output; plans, questions and errors to standard error."),
    ]
    common = _common()
    for title, commands in SECTIONS.items():
        lines.append(f'.SH "COMMANDS: {_escaped(title.upper())}"')
        for command in commands:
            lines += _command(command, f"omeconf {command.name}", common)
    lines += [".SH COMMON OPTIONS", *_text("Where a command has them, they mean:")]
    lines += _definitions(common, "B")
    lines += [*_exit_statuses(), ".SH ENVIRONMENT", *_definitions(ENVIRONMENT, "B")]
    lines += [".SH FILES", *_definitions(FILES, "I"), ".SH EXAMPLES"]
    for line, meaning in EXAMPLES.items():
        lines += [
            *([] if lines[-1].startswith(".SH") else [".PP"]),
            *_text(meaning),
            ".PP",
            ".EX",
            rf"    $ {_escaped(line)}",
            ".EE",
        ]
    lines += [".SH SEE ALSO", *_text(SEE_ALSO)]
    return "\n".join(lines) + "\n"


# -- commands --------------------------------------------------------------------------------------


def _leaves(command: click.Command) -> Iterator[click.Command]:
    if isinstance(command, click.Group):
        for each in command.commands.values():
            yield from _leaves(each)
    else:
        yield command


def _options(command: click.Command) -> dict[str, str]:
    """What stands before and behind each option."""
    context = click.Context(command)
    options = (each for each in command.params if isinstance(each, click.Option))
    records = (each.get_help_record(context) for each in options)
    return {head: re.sub(r" +\[", " [", text) for head, text in filter(None, records)}


def _common() -> dict[str, str]:
    found = Counter(record for each in _leaves(main) for record in _options(each).items())
    shared = {head: text for (head, text), count in found.items() if count >= COMMON}
    return {**shared, "-h, --help": "Show help, of a command or of all, and exit."}


def _command(command: click.Command, name: str, common: dict[str, str]) -> list[str]:
    if isinstance(command, click.Group):
        return [line for each in command.commands.values()
                for line in _command(each, f"{name} {each.name}", common)]  # fmt: skip
    pieces = command.collect_usage_pieces(click.Context(command))
    usage = " ".join(rf"\fI{_escaped(piece)}\fP" for piece in pieces)
    options = {head: text for head, text in _options(command).items() if head not in common}
    lines = [f'.SS "{_escaped(name)}"', rf"\fB{_escaped(name)}\fP {usage}", ".PP"]
    return [*lines, *_prose(command.help or ""), *_definitions(options, "B")]


# -- sections --------------------------------------------------------------------------------------


def _exit_statuses() -> list[str]:
    table = (base.__doc__ or "").partition("Exit statuses")[2].partition("\n\n")[2]
    found = dict(line.split(maxsplit=1) for line in table.strip().splitlines())
    return [".SH EXIT STATUS", *_text("Of every command:"), *_definitions(found, "B")]


def _definitions(entries: dict[str, str], font: str) -> list[str]:
    lines: list[str] = []
    for head, text in entries.items():
        lines += [".TP", rf"\f{font}{_escaped(head)}\fP", *_text(text)]
    return lines


# -- text ------------------------------------------------------------------------------------------


def _prose(text: str) -> list[str]:
    """A docstring: paragraphs; those with a backspace at their head stay as they are."""
    lines: list[str] = []
    for paragraph in inspect.cleandoc(text).split("\n\n"):
        lines += [".PP"] if lines else []
        if paragraph.startswith("\b"):
            kept = map(_escaped, paragraph.removeprefix("\b\n").splitlines())
            lines += [".EX", *kept, ".EE"]
        else:
            lines += _text(paragraph)
    return lines


def _text(text: str) -> list[str]:
    """Running text, a line for each sentence or less; what is in backticks is bold."""
    sentences = re.split(r"(?<=[.:;?]) +", " ".join(text.split()))
    wrapped = (line for each in sentences for line in _wrapped(each))
    return [_escaped(line) for line in _unbroken(wrapped)]


def _wrapped(text: str) -> list[str]:
    return textwrap.wrap(text, 72, break_long_words=False, break_on_hyphens=False)


def _unbroken(lines: Iterator[str]) -> Iterator[str]:
    """Lines of which none ends between backticks."""
    held = ""
    for line in lines:
        held = f"{held} {line}".strip()
        if held.count("`") % 2 == 0:
            yield held
            held = ""
    if held:
        yield held


def _escaped(text: str) -> str:
    text = text.replace("\\", r"\e").replace("-", r"\-").replace('"', r"\(dq")
    text = re.sub(r"`([^`]*)`", r"\\fB\1\\fP", text).replace("'", r"\(aq").replace("~", r"\(ti")
    return rf"\&{text}" if text.startswith(".") else text


def dated(text: str) -> str:
    """The date that a page has; "" if there is none."""
    match = re.match(r'\.TH \S+ \S+ "([^"]*)"', text)
    return match[1] if match else ""


if __name__ == "__main__":
    old = PAGE.read_text() if PAGE.exists() else ""
    if page(dated(old)) != old:
        PAGE.write_text(page(sys.argv[1] if sys.argv[1:] else time.strftime("%Y-%m-%d")))
