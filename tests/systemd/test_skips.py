"""Where everything must run, nothing is skipped in silence."""

from __future__ import annotations

import pytest

from tests.systemd import MUST_RUN, give_up

SKIPPED: type[BaseException] = pytest.skip.Exception
FAILED: type[BaseException] = pytest.fail.Exception


@pytest.mark.parametrize(("must_run", "outcome"), [("", SKIPPED), ("1", FAILED)])
def test_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, must_run: str, outcome: type[BaseException]
) -> None:
    """What is not there skips a test, and fails it where it must run."""
    monkeypatch.setenv(MUST_RUN, must_run)
    with pytest.raises(outcome, match="there is no container"):
        give_up("there is no container")
