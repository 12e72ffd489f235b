"""What a unit gives us besides our user's rights stays with us: no hook gets it.

capabilities(7): the ambient set is what an unprivileged process hands on when it runs a program.
"""

from __future__ import annotations

import ctypes

_PR_CAP_AMBIENT, _CLEAR_ALL = 47, 4
_libc = ctypes.CDLL(None)


def keep_to_ourselves() -> None:
    """Hand on no capability to what is started from now on, by this and later threads."""
    _libc.prctl(_PR_CAP_AMBIENT, _CLEAR_ALL, 0, 0, 0)
