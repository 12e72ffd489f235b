"""Completion in bash, zsh and fish: click's own, with paths, `=` and quotes as they have them.

An item of type ``part`` goes on (``publishers.``, ``segmentDuration=``): no blank is put behind it.
What goes wrong while a shell waits gives nothing to complete, and no word on the terminal.
"""

from __future__ import annotations

import os
from typing import Any

from click.shell_completion import (
    BashComplete,
    CompletionItem,
    FishComplete,
    ShellComplete,
    ZshComplete,
    add_completion_class,
    split_arg_string,
)

PROGRAM = "omeconf"
PART = "part"
_MARK = "\x01"
_SPECIAL = frozenset(" \t\"'`$&|;<>()[]{}*?!~#\\")

_BASH = """\
%(complete_func)s() {
    local kind value line
    line=${COMP_LINE:0:COMP_POINT}
    [ -n "$line" ] || line="${COMP_WORDS[*]:0:COMP_CWORD+1}"
    COMPREPLY=()
    while IFS=$'\\t' read -r kind value; do
        case $kind in
        dir) compopt -o dirnames ;;
        file) compopt -o default ;;
        part) compopt -o nospace; COMPREPLY+=("$value") ;;
        plain) COMPREPLY+=("$value") ;;
        esac
    done < <(COMP_LINE="$line" COMP_BREAKS="$COMP_WORDBREAKS" \\
        %(complete_var)s=bash_complete "$1" 2>/dev/null)
}
complete -o nosort -F %(complete_func)s %(prog_name)s
"""

_ZSH = """\
#compdef %(prog_name)s

%(complete_func)s() {
    local kind key help
    local -a plain told parts response
    (( ! $+commands[%(prog_name)s] )) && return 1
    response=("${(@f)$(COMP_WORDS="${words[*]}" COMP_CWORD=$((CURRENT-1)) \\
        %(complete_var)s=zsh_complete %(prog_name)s 2>/dev/null)}")
    for kind key help in ${response}; do
        case $kind in
        dir) _path_files -/ ;;
        file) _path_files -f ;;
        part) parts+=("$key") ;;
        plain) if [[ $help == _ ]]; then plain+=("$key"); else told+=("$key:$help"); fi ;;
        esac
    done
    (( $#told )) && _describe -V unsorted told -U
    (( $#plain )) && compadd -U -V unsorted -a plain
    (( $#parts )) && compadd -U -S '' -V unsorted -a parts
}

if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    %(complete_func)s "$@"
else
    compdef %(complete_func)s %(prog_name)s
fi
"""


class _Quiet(ShellComplete):
    """What goes wrong is told to nobody."""

    def complete(self) -> str:
        try:
            return super().complete()
        except Exception:  # whatever it is, the shell's prompt is no place for it
            return ""


@add_completion_class
class Bash(_Quiet, BashComplete):
    """bash cuts words at each of COMP_WORDBREAKS, and wants what it inserts quoted."""

    source_template = _BASH

    def source(self) -> str:
        """The script; whatever bash runs here is not what will read it."""
        return ShellComplete.source(self)

    def get_completion_args(self) -> tuple[list[str], str]:
        """Words and the begun word of the line, as the shell would hand them over."""
        words = split_arg_string(os.environ["COMP_LINE"] + _MARK)
        return words[1:-1], words[-1].removesuffix(_MARK)

    def complete(self) -> str:
        """Only what takes the place of the part of the word that bash looks at."""
        self._kept, self._is_quoted = cut(os.environ["COMP_LINE"], os.environ["COMP_BREAKS"])
        return super().complete()

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Kind and value, with a tab between them."""
        value = str(item.value)
        if item.type in ("file", "dir"):
            return f"{item.type}\t"
        shown = value[self._kept :]
        return f"{item.type}\t{shown if self._is_quoted else escaped(shown)}"


@add_completion_class
class Zsh(_Quiet, ZshComplete):
    """zsh needs to be told not to put a blank behind."""

    source_template = _ZSH

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """Three lines; what is told beside a value may not break them."""
        if item.help:
            item.help = item.help.replace("\n", " ")
        return super().format_completion(item)


@add_completion_class
class Fish(_Quiet, FishComplete):
    """fish puts no blank behind ``=``, ``/`` and ``.`` by itself; values may have commas."""

    source_template = FishComplete.source_template.replace(
        'string split ","', 'string split -m 1 ","'
    )

    def format_completion(self, item: CompletionItem[Any]) -> str:
        """A line."""
        if item.type == PART:
            item.type = "plain"
        return super().format_completion(item)


SHELLS: dict[str, type[ShellComplete]] = {"bash": Bash, "zsh": Zsh, "fish": Fish}


def cut(line: str, breaks: str) -> tuple[int, bool]:
    """How much of the begun word bash leaves alone, and whether that word is in quotes.

    bash looks only at what is behind the last unquoted character of COMP_WORDBREAKS, or behind a
    quote that is still open.
    """
    quote, word, start, at = "", 0, 0, 0
    while at < len(line):
        character = line[at]
        if character == "\\" and quote != "'":
            at += 1
        elif quote:
            quote = "" if character == quote else quote
        elif character in "\"'":
            quote, start = character, at + 1
        elif character.isspace():
            word = start = at + 1
        elif character in breaks:
            start = at + 1
        at += 1
    return len("".join(split_arg_string(line[word:start]))), bool(quote)


def escaped(text: str) -> str:
    """As bash wants it outside of quotes."""
    return "".join(f"\\{each}" if each in _SPECIAL else each for each in text)
