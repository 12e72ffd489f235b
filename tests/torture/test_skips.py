"""Where everything must run, nothing is skipped in silence."""

from __future__ import annotations

import pytest

from tests.torture import need_commands

SKIPPED: type[BaseException] = pytest.skip.Exception
FAILED: type[BaseException] = pytest.fail.Exception


@pytest.mark.parametrize(("must_run", "outcome"), [("", SKIPPED), ("1", FAILED)])
def test_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, must_run: str, outcome: type[BaseException]
) -> None:
    """A command that is not there skips a test, and fails it where it must run."""
    monkeypatch.setenv("OMECONF_TORTURE_MUST_RUN", must_run)
    with pytest.raises(outcome, match="there is no no-such-command"):
        need_commands("no-such-command")
