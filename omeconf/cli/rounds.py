"""One text on its way from an editor to the daemon: checked, shown, asked about, committed."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import click

from omeconf import report
from omeconf.cli.asking import choose
from omeconf.cli.base import INTERRUPTED, NOT_NOW, REFUSED, tell
from omeconf.cli.drafts import Draft
from omeconf.cli.history import summary_of
from omeconf.cli.originals import Original, Target
from omeconf.cli.output import complain, note, show_diff, violation_of, waiting
from omeconf.cli.writing import RELOADING, nothing_to_do, show_would, show_written
from omeconf.client import Wish
from omeconf.core.diff import unified_text
from omeconf.core.merge import marked, marks, merge
from omeconf.errors import Answered, Conflict

DONE = 0
"""Where to go on editing: nowhere. Else it is a line."""
MOST_REVISIONS = 20
"""So many of somebody else's are told."""


@dataclass(slots=True)
class Options:
    """How somebody wants it done."""

    message: str
    """Why; kept with the revision."""
    confirm_s: float | None
    base: int | None
    """Only if that revision is the newest still."""
    yes: bool
    """Do not ask while all is well."""
    is_dry: bool
    as_json: bool

    def wish(self, original: Original, *, is_dry: bool) -> Wish:
        """As the daemon is told."""
        return Wish(self.message, self.base, original.etag, self.confirm_s, is_dry)


def edit_and_commit(what: Target, options: Options) -> None:
    """Have something edited, and commit it; as often as it takes.

    Exits where it is not to be, or cannot be committed; raises Answered and Unreachable. Then
    the text is kept, if there is any that is not what it was.
    """
    original = what.fetch()
    _must_be_possible(what, original, options)
    with Draft(what.name, original.shown) as draft:
        session = Session(what, original, draft, options)
        line = 1
        try:
            while line != DONE:
                draft.open(line)
                line = session.settle()
        except (click.Abort, KeyboardInterrupt):
            note("")
            sys.exit(INTERRUPTED)


def _must_be_possible(what: Target, original: Original, options: Options) -> None:
    """Raise Answered if nothing could be committed now, before somebody takes the trouble."""
    try:
        what.put(original.text, options.wish(original, is_dry=True))
    except Answered as error:
        if error.status != 412 or options.base is not None:
            raise


@dataclass(slots=True)
class Session:
    """One text on its way from the editor to the daemon."""

    what: Target
    original: Original
    """What the text began as, or what somebody else made of that and is merged into it."""
    draft: Draft
    options: Options
    text: bytes = b""

    def settle(self) -> int:
        """Check what the editor left and commit it. The line to go on editing at, or DONE.

        Exits where it is not to be, or cannot be committed; raises Answered and Unreachable.
        """
        self.text = self.original.tidy(self.draft.text)
        while True:
            self.draft.write(self.text)
            if self.text == self.original.shown:
                return self.is_nothing()
            left = marks(self.text, self.original.text)
            if left:
                return self.must_decide(left)
            try:
                return self.commit()
            except Answered as error:
                line = self.answer(error)
                if line is not None:
                    return line

    # -- well ------------------------------------------------------------------------------

    def commit(self) -> int:
        """Show what it would do, ask, and do it."""
        options, text = self.options, self.original.sent(self.text)
        would = self.what.put(text, options.wish(self.original, is_dry=True)).json
        if options.is_dry or not options.as_json:
            show_would(would, as_json=options.as_json)
        if options.is_dry:
            return DONE
        if not options.yes and self.wants_to_go_on():
            return 1
        with waiting(RELOADING):
            reply = self.what.put(text, options.wish(self.original, is_dry=False))
        self.draft.known = self.text
        show_written(reply, as_json=options.as_json, confirm_s=options.confirm_s)
        return DONE

    def is_nothing(self) -> int:
        """Nothing is to be committed, and nothing would be lost."""
        self.draft.known = self.text
        nothing_to_do("nothing changed", as_json=self.options.as_json)
        return DONE

    def wants_to_go_on(self) -> bool:
        """Ask whether it is to be committed; True if it is to be edited again instead.

        Exits if it is not wanted; raises UsageError if nobody can be asked.
        """
        if not sys.stdin.isatty():
            raise click.UsageError("nobody can be asked here: give --yes, or look with --dry-run")
        while True:
            choices = {"y": "commit", "e": "edit again", "m": "message", "n": "leave it"}
            found = choose("Commit this?", choices)
            if found == "m":
                old = self.options.message
                self.options.message = click.prompt("Message", default=old, err=True)
            elif found == "n":
                note("nothing is committed")
                sys.exit(REFUSED)
            else:
                return found == "e"

    # -- not well --------------------------------------------------------------------------

    def answer(self, error: Answered) -> int | None:
        """What follows from a refusal: a line to go on editing at; None: try again."""
        if error.status == 412 and self.options.base is None:
            return self.take_in(self.fetch())
        if error.status == 404:
            self.is_gone(error)
        if error.status in (400, 422):
            now = self.fetch()
            if now.text != self.original.text:
                return self.take_in(now)
            self.original = now  # it may begin at another line
            return self.ask(self.show(error), REFUSED)
        if error.status in (409, 503):
            tell(error)
            return self.ask(1, NOT_NOW, {"t": "try again"})
        raise error

    def ask(self, line: int, status: int, more: Mapping[str, str] | None = None) -> int | None:
        """What to do about what was told. A line to go on editing at; None: try again.

        Exits with a status if nothing is to be done, or nobody can be asked.
        """
        if not sys.stdin.isatty():
            complain("nobody can be asked here, so nothing is committed")
            sys.exit(status)
        first = {**(more or {}), "e": "edit again", "d": "diff"}
        while True:
            found = choose("What now?", {**first, "q": f"quit and keep {self.draft.path}"})
            if found == "d":
                show_diff(self.diff(self.original.shown, self.text), err=True)
            elif found == "q":
                sys.exit(status)
            else:
                return None if found == "t" else line

    def show(self, error: Answered) -> int:
        """Tell what is wrong, in place; the line of the first of it."""
        violations = map(violation_of, error.problem.get("violations", ()))
        found = tuple(self.original.findings(violations, self.text, self.name))
        if not found:
            tell(error)
            return 1
        shown = report.Report((self.name,), found)
        click.echo(report.as_text(shown), nl=False, err=True)
        lines = [each.violation.line for each in found if each.violation.file == self.name]
        return min(lines, default=1)

    def must_decide(self, left: list[int]) -> int:
        """Marks are left in the text: it is not sent anywhere."""
        lines = ", ".join(map(str, left))
        complain(f"marks of a conflict are left, in line {lines}: keep what is right, and no mark")
        return self.ask(left[0], NOT_NOW) or 1

    # -- somebody else ---------------------------------------------------------------------

    def fetch(self) -> Original:
        """What is there now; exits if that is nothing."""
        try:
            return self.what.fetch()
        except Answered as error:
            if error.status != 404:
                raise
            self.is_gone(error)

    def is_gone(self, error: Answered) -> NoReturn:
        """Somebody has deleted or renamed what is edited."""
        tell(error)
        complain("it was deleted or renamed meanwhile: `omeconf log` tells by whom")
        sys.exit(NOT_NOW)

    def take_in(self, theirs: Original) -> int | None:
        """Merge what somebody else did; None: go on, or the line of the first conflict."""
        before, self.original = self.original, theirs
        if theirs.text == before.text:
            return None
        newest = self.tell_of(before, theirs)
        three = before.shown, self.text, theirs.shown
        try:
            self.text = merge(*three)
        except Conflict:
            names = ("yours", "before", f"theirs, revision {newest}")
            self.text = marked(*three, names)
            self.draft.write(self.text)
            left = marks(self.text, theirs.text)
            complain(f"you both changed the same lines: see line {left[0]}, and decide")
            return self.ask(left[0], NOT_NOW)
        note("your changes are in other lines, and are put on top of that")
        return None

    def tell_of(self, before: Original, theirs: Original) -> int:
        """Show what somebody else did; the number of the newest revision."""
        found = self.what.daemon.revisions(MOST_REVISIONS, changes=True)
        note("it was changed meanwhile:")
        for each in reversed([each for each in found if each["number"] > before.revision]):
            who = each["author"] or each["origin"]
            note(f"  revision {each['number']}, {who}, {each['time'][:19]}Z: {_summary(each)}")
        show_diff(self.diff(before.shown, theirs.shown), err=True)
        return int(found[0]["number"])

    def diff(self, old: bytes, new: bytes) -> str:
        """How two states of the text differ."""
        return unified_text(self.name, old, new)

    @property
    def name(self) -> str:
        """What the text is called where its lines are told."""
        return self.draft.path.name if self.original.is_element else self.original.file


def _summary(revision: dict[str, Any]) -> str:
    return " ".join(filter(None, (revision["message"], summary_of(revision))))
