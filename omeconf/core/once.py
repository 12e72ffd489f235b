"""What is found out late is found out once: by whoever asks first, for all threads.

The only place of the core that knows of threads. A value of it is never changed, but some of what a
large one holds is looked into when somebody asks; two who ask at once must get the same.
"""

from __future__ import annotations

from threading import RLock

LOOKING = RLock()
"""Held while something is looked into for the first time."""
