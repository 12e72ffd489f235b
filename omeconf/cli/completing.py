"""Types of arguments that the shell can complete: revisions, applications, elements, values.

An argument takes one with ``type=REVISION``. They take every text (a revision: every number); what
is right is for the daemon to say. With the daemon away, what it would know is not offered.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import click
from click.shell_completion import CompletionItem

from omeconf.cli import members, offers

if TYPE_CHECKING:
    Offers = Iterator[CompletionItem[str]]
    _Text = click.ParamType[str]
else:  # older releases of click have no types of such types
    _Text = click.ParamType

RELEASES = tuple(f"0.{minor}" for minor in range(21, 11, -1))


class Completed(_Text):
    """A text; offers gives what the shell may put in its place."""

    name = "text"

    def __init__(self, offers: Callable[[click.Context, str], Offers]) -> None:
        self.offers = offers

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[str]]:
        """What begins so."""
        del param
        return list(self.offers(ctx, incomplete))


class Revision(click.IntRange):
    """The number of a revision; the newest are offered, with what they were made for."""

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem[Any]]:
        """What begins so."""
        del param
        return list(offers.revisions(ctx, incomplete))


REVISION = Revision(min=1)
"""The number of a revision."""
STATE_OR_FILE = Completed(offers.states)
"""disk, head, running, healthy, the number of a revision, or a file."""
JOB = Completed(offers.jobs)
"""A reload."""
NODE = Completed(offers.nodes)
"""A member of the group, by its name."""
VHOST = Completed(offers.hosts)
"""A virtual host, by its name."""
APP = Completed(offers.applications)
"""An application: ``default/live``."""
NEW_APP = Completed(offers.new_application)
"""An application to come: its virtual host, and any name."""
ELEMENT = Completed(offers.elements)
"""An element of the XSD: a path or its end, in XML or JSON names."""
PATH = Completed(members.of_the_configuration(""))
"""An element of the configuration as it is now: ``Bind/Providers/RTMP``."""
APP_OR_PATH = Completed(members.of_an_editor)
"""What can be edited by itself: ``default/live``, ``Bind/Providers``."""
PATH_VALUE = Completed(members.of_the_configuration("="))
"""A value anywhere: ``Bind/Providers/RTMP/Port=1936``."""
KEY = Completed(members.of_an_application(""))
"""A member of the application before it: ``publishers.llhls``."""
KEY_VALUE = Completed(members.of_an_application("="))
"""A value in the application before it: ``publishers.llhls.segmentDuration=4``."""
RELEASE = Completed(
    lambda _, begun: (CompletionItem(each) for each in RELEASES if each.startswith(begun)),
)
"""A release of the engine."""
