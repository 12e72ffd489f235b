"""What is found out late is found out once: by whoever asks first, for all threads.

The only place of the core that knows of threads. A value of it is never changed, but some of what a
large one holds is looked into when somebody asks; two who ask at once must get the same.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from threading import RLock
from typing import TypeVar, overload
from weakref import WeakValueDictionary

T = TypeVar("T")

LOOKING = RLock()
"""Held while something is looked into for the first time."""


class MadeOnce(Sequence[T]):
    """Items that are made when they are asked for; each is one object while somebody holds it."""

    def __init__(self) -> None:
        self._made: WeakValueDictionary[int, T] = WeakValueDictionary()

    @abstractmethod
    def _make(self, number: int) -> T:
        """One of them, from 0."""

    @overload
    def __getitem__(self, index: int) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...
    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        if isinstance(index, slice):
            return [self[each] for each in range(*index.indices(len(self)))]
        number = range(len(self))[index]
        with LOOKING:
            found = self._made.get(number)
            if found is None:
                found = self._made[number] = self._make(number)
        return found
