"""What is to be scored, in the order and the portions in which workers take it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from search.scoring.tasks import Item, Race


class Supply:
    """What is to be scored, given out in batches; first what was lost and is scored again.

    Where `batch` is more than 1, tasks are read ahead and those whose first choices are equal come
    together, for that is what they can share. `is_over` once the iterator has ended.
    """

    def __init__(self, items: Iterable[Item | None], batch: int = 1, takers: int = 1) -> None:
        """`takers`: among how many what waits is divided, if it is not enough for all."""
        self._new = iter(items)
        self._waiting: list[Item] = []
        self._lost: list[Item] = []
        self._batch, self._takers = batch, takers
        self.is_over = False

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to give out at present."""
        self._read()
        return not self._waiting and not self._lost

    def take(self) -> list[Item]:
        """The next batch, not empty; of items that were lost one alone."""
        if self._lost:
            return [self._lost.pop()]
        self._read()
        size = min(self._batch, -(-len(self._waiting) // self._takers))
        taken, self._waiting = self._waiting[:size], self._waiting[size:]
        return taken

    def give_back(self, items: Sequence[Item]) -> None:
        """Have items scored again, the first one first."""
        self._lost.extend(reversed(items))

    @property
    def next_lost(self) -> int | None:
        """The index that `take` gives next, if it was lost before."""
        return self._lost[-1][0] if self._lost else None

    def _read(self) -> None:
        wanted = self._batch * self._takers if self._batch > 1 else 1
        while not self.is_over and len(self._waiting) < wanted:
            try:
                item = next(self._new)
            except StopIteration:
                self.is_over = True
                break
            if item is None:
                break
            self._waiting.append(item)
        if self._batch > 1:
            self._waiting.sort(key=_choices)


def _choices(item: Item) -> str:
    """Texts with the same beginning sort together, and so do equal leading choices."""
    task = item[1]
    return str(task.architecture if isinstance(task, Race) else task)
