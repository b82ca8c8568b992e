"""Whether a history of concurrent clients is linearizable, exactly, and if not, why.

Linearizable (Herlihy and Wing, "Linearizability: a correctness condition for concurrent objects",
1990) means: each operation can be placed at one instant between its invocation and its answer, so
that in the order of these instants the object behaves as its sequential model. An operation with
an unknown outcome may be placed anywhere from its invocation on, or be left out.

Sources of the method:

- One key is checked at a time, since a history is linearizable if and only if it is so for each
  object (Herlihy and Wing, theorem 1: locality). Horn and Kroening ("Faster linearizability
  checking via P-compositionality", 2015) show how much that saves.
- The search tries orders of the operations (Wing and Gong, "Testing and verifying concurrent
  objects", 1993) and remembers every pair of operations placed and state reached.
- An operation is placed only when an answer demands it (just-in-time linearization: Lowe,
  "Testing for linearizability", 2017). All pairs that explain the history so far are carried
  from event to event; when an answer leaves none, the history before it is the longest prefix
  that is linearizable, and that answer is the one that cannot be placed. (What is under way then
  may be placed in the prefix or not, but only with the answer that it got later.)

Deciding this takes exponential time in the worst case (Gibbons and Korach, "Testing shared
memories", 1997), so three reductions keep the pairs few. None of them changes a verdict:

1. An operation that never changes the state (a read, a refusal) is placed as soon as its answer
   is right: whatever explained the rest without it still does.
2. Unknown operations with the same call are the same from the last one's invocation on, since
   none has an end; so they are used in the order of their invocations.
3. Of two pairs with the same state and the same changes placed, one that has fewer looks still
   to place and fewer unknown operations used can do all that the other can. The other is dropped.
   An unknown operation that can do nothing any more (`Model.spent`) counts as not used.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Generic, NamedTuple, TypeAlias

from tests.histories.models import Model, State
from tests.histories.operations import Call, Operation, Outcome

# A history that needs more than this many is one to look at, not to wait for: about a minute.
MAX_EXPLORED = 2_000_000
# How much of the order that was found is shown: enough to see where it went wrong.
SHOWN = 8

Trail: TypeAlias = "tuple[Trail, Operation] | None"


class UndecidedError(Exception):
    """The search was given up at its limit: there is no verdict."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What is known of one key.

    Attributes:
        key: The key.
        order: An order that explains the history; if there is none, the longest linearizable
            prefix. Unknown operations are in it only where they are needed.
        blocked: The operation whose answer ends that prefix, for it could not be placed.
        states: What the state could be, after that prefix, when that answer came.
        concurrent: The other operations that were under way at that answer.
        explored: How many pairs of placed operations and state were reached.
    """

    key: str
    order: tuple[Operation, ...]
    blocked: Operation | None = None
    states: tuple[str, ...] = ()
    concurrent: tuple[Operation, ...] = ()
    explored: int

    @property
    def linearizable(self) -> bool:
        """Whether the history has an order that explains it."""
        return self.blocked is None

    def __str__(self) -> str:
        if self.blocked is None:
            return f"{self.key}: linearizable, {len(self.order)} operations placed"
        shown = self.order[-SHOWN:]
        beside = [str(operation) for operation in self.concurrent[:SHOWN]] or ["nothing else"]
        if len(self.concurrent) > SHOWN:
            beside.append(f"and {len(self.concurrent) - SHOWN} more")
        return "\n".join(
            [
                f"{self.key}: not linearizable. No order has a place for",
                f"  {self.blocked}",
                f"when that answer came, the state could only be: {' or '.join(self.states)}",
                "under way at the same time:",
                *(f"  {line}" for line in beside),
                f"before that answer all is well: {len(self.order)} operations can be placed,",
                f"the last {len(shown)} of them for example in this order:",
                *(f"  {operation}" for operation in shown),
            ]
        )


def check(
    operations: Iterable[Operation], model: Model[State], *, max_explored: int = MAX_EXPLORED
) -> dict[str, Verdict]:
    """Judge every key of a history by itself.

    Args:
        operations: The history, in any order. Instants that are equal count as concurrent.
        model: How one key behaves when its clients take turns.
        max_explored: Limit of the search, for each key.

    Returns:
        The verdict of each key, in the order of the keys. Keys without an operation that may
        have happened are linearizable.

    Raises:
        UndecidedError: The limit was reached.
        HistoryError: The model knows nothing of an operation.
    """
    parts: dict[str, list[Operation]] = defaultdict(list)
    for operation in operations:
        parts[operation.key].append(operation)
    return {key: _Search(model, key, parts[key], max_explored).verdict() for key in sorted(parts)}


class _Event(NamedTuple):
    instant: int
    is_answer: bool  # an invocation at the same instant comes first: the two are concurrent
    number: int


class _Pair(NamedTuple, Generic[State]):
    """What was placed and where that led.

    Sets of operations are bits. `placed`: changes not yet answered that are placed already.
    `burden`: looks still to be placed and unknown operations used; the less, the better.
    """

    state: State
    placed: int
    burden: int
    trail: Trail


class _Front(Generic[State]):
    """Pairs of which none can do all that another can."""

    def __init__(self) -> None:
        self._burdens: dict[tuple[State, int], dict[int, Trail]] = {}

    def __iter__(self) -> Iterator[_Pair[State]]:
        for (state, placed), burdens in self._burdens.items():
            for burden, trail in burdens.items():
                yield _Pair(state, placed, burden, trail)

    def __bool__(self) -> bool:
        return bool(self._burdens)

    def add(self, pair: _Pair[State]) -> bool:
        """Take a pair in, and those out that it makes superfluous; say whether it was needed."""
        burdens = self._burdens.setdefault((pair.state, pair.placed), {})
        burden = pair.burden
        if any(not other & ~burden for other in burdens):
            return False
        for worse in [other for other in burdens if not burden & ~other]:
            del burdens[worse]
        burdens[burden] = pair.trail
        return True


@dataclass
class _Slots:
    """Bits for operations under way. One that is given back is used again: numbers stay small."""

    free: list[int] = field(default_factory=list)
    used: int = 0

    def take(self) -> int:
        if self.free:
            return self.free.pop()
        self.used += 1
        return 1 << (self.used - 1)


class _Search(Generic[State]):
    """Carries the pairs that explain one key's history from event to event."""

    def __init__(
        self, model: Model[State], key: str, operations: list[Operation], max_explored: int
    ) -> None:
        self._model = model
        self._key = key
        self._operations = operations
        self._limit = max_explored
        self._explored = 0
        self._slots = _Slots()
        self._bits: dict[int, int] = {}
        # What is under way, by its bit: operations with an answer that change or only look, ...
        self._changes: dict[int, Operation] = {}
        self._looks: dict[int, Operation] = {}
        # ... and unknown ones, for ever, those with the same call together.
        self._unknown: dict[Call, dict[int, Operation]] = {}
        self._spent: dict[State, int] = {}

    def verdict(self) -> Verdict:
        front: _Front[State] = _Front()
        front.add(_Pair(self._model.initial(), 0, 0, None))
        for event in self._events():
            if not event.is_answer:
                front = self._invoked(front, event.number)
                continue
            after, reached = self._answered(front, self._bits[event.number])
            if not after:
                return self._blocked(front, reached, event.number)
            front = after
        order = _order(next(iter(front)))
        return Verdict(key=self._key, order=order, explored=self._explored)

    def _events(self) -> list[_Event]:
        events = []
        for number, operation in enumerate(self._operations):
            if operation.outcome is Outcome.OK:
                assert operation.answered is not None
                events.append(_Event(operation.answered, True, number))
            elif operation.outcome is Outcome.FAILED or not self._model.changes(operation):
                continue
            events.append(_Event(operation.invoked, False, number))
        return sorted(events)

    def _invoked(self, front: _Front[State], number: int) -> _Front[State]:
        operation = self._operations[number]
        bit = self._bits[number] = self._slots.take()
        if operation.outcome is Outcome.UNKNOWN:
            self._unknown.setdefault(operation.call, {})[bit] = operation
            self._spent.clear()
            return front
        if self._model.changes(operation):
            self._changes[bit] = operation
            return front
        self._looks[bit] = operation
        looked: _Front[State] = _Front()
        for pair in front:
            looked.add(self._look(pair._replace(burden=pair.burden | bit)))
        return looked

    def _answered(self, front: _Front[State], bit: int) -> tuple[_Front[State], _Front[State]]:
        """Place the operation that was answered, in every pair and in every way.

        Returns:
            The pairs in which it is placed, and all that were reached on the way.
        """
        is_change = bit in self._changes
        reached: _Front[State] = _Front()
        after: _Front[State] = _Front()
        waiting = deque(front)
        for pair in front:
            reached.add(pair)
        while waiting:
            pair = waiting.popleft()
            if pair.placed & bit if is_change else not pair.burden & bit:
                after.add(pair._replace(placed=pair.placed & ~bit))
            else:
                waiting.extend(next_ for next_ in self._nexts(pair) if reached.add(next_))
        if after:
            (self._changes if is_change else self._looks).pop(bit)
            self._slots.free.append(bit)
        return after, reached

    def _nexts(self, pair: _Pair[State]) -> Iterator[_Pair[State]]:
        """Place one change more."""
        for bit, operation in self._changes.items():
            if not pair.placed & bit:
                for state in self._model.step(pair.state, operation):
                    yield self._reach(pair, state, operation, placed=bit)
        for alike in self._unknown.values():
            bit = next((bit for bit in alike if not pair.burden & bit), 0)
            if bit:
                for state in self._model.step(pair.state, alike[bit]):
                    if state != pair.state:
                        yield self._reach(pair, state, alike[bit], burden=bit)

    def _reach(
        self,
        pair: _Pair[State],
        state: State,
        operation: Operation,
        *,
        placed: int = 0,
        burden: int = 0,
    ) -> _Pair[State]:
        self._explored += 1
        if self._explored > self._limit:
            raise UndecidedError(f"{self._key}: no verdict after {self._limit} pairs")
        burden = (pair.burden | burden) & ~self._spent_in(state)
        return self._look(_Pair(state, pair.placed | placed, burden, (pair.trail, operation)))

    def _look(self, pair: _Pair[State]) -> _Pair[State]:
        """Place every look whose answer is right in this state."""
        state, placed, burden, trail = pair
        for bit, operation in self._looks.items():
            if burden & bit and self._model.step(state, operation):
                burden &= ~bit
                trail = (trail, operation)
        return _Pair(state, placed, burden, trail)

    def _spent_in(self, state: State) -> int:
        if state not in self._spent:
            self._spent[state] = sum(
                bit
                for alike in self._unknown.values()
                for bit, operation in alike.items()
                if self._model.spent(state, operation)
            )
        return self._spent[state]

    def _blocked(self, before: _Front[State], reached: _Front[State], number: int) -> Verdict:
        blocked = self._operations[number]
        unknown = (each for alike in self._unknown.values() for each in alike.values())
        under_way = [*self._changes.values(), *self._looks.values(), *unknown]
        return Verdict(
            key=self._key,
            order=_order(next(iter(before))),
            blocked=blocked,
            states=tuple(dict.fromkeys(str(pair.state) for pair in reached)),
            concurrent=tuple(each for each in under_way if each is not blocked),
            explored=self._explored,
        )


def _order(pair: _Pair[State]) -> tuple[Operation, ...]:
    placed = []
    trail = pair.trail
    while trail is not None:
        trail, operation = trail
        placed.append(operation)
    return tuple(reversed(placed))
