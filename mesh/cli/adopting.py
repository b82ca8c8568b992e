"""Brings a policy into force: on `M.policy` for whoever reads, in every partition of `M.changes`.

A verdict must follow from its partition alone, so each partition is told the rules, and from that
record on they hold there. The document is written first: whoever finds a partition that was told
finds the document, too. What was interrupted is done again from where it stopped; the same rules
told twice change nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING

from mesh.cli.failures import CommandError, Exit
from mesh.cli.keeping import StateReader, of_rules
from mesh.cli.ordering import person
from mesh.cli.output import Out
from mesh.cli.policies import Contents, Held, Plan, contents_held, plan, read_file
from mesh.core.keys import Rules
from mesh.core.shared import RulesAdopted, RulesEntry, View
from mesh.errors import WireError, WrongTopic
from mesh.ports import Log, Place
from mesh.runtime.orders import append
from mesh.wire import topics
from mesh.wire.entries import PolicyDocument, decode_policy, encode_entry
from mesh.wire.policies import NAME, Document
from mesh.wire.state import RULES_KEY, encode_proposal

if TYPE_CHECKING:
    from mesh.config import Config


class Policies:
    """Mutable: the policy of one mesh, read and applied; `done` are the partitions told."""

    def __init__(self, log: Log, config: Config, out: Out) -> None:
        self.done = 0
        self._log = log
        self._config = config
        self._out = out
        self._topic = topics.policy(config.mesh)
        self._reader = StateReader(log, config, out)

    def __repr__(self) -> str:
        return f"Policies({self._topic}, {self.done} partitions told)"

    async def plan(self, document: Document) -> Plan:
        """Compare a policy with what holds.

        Raises:
            UsageError: Its contents differ, and its version does not grow.
            WrongTopic: There is no such mesh.
        """
        return plan(document, await self.held())

    async def held(self) -> Held:
        """Return what holds: the document, and the rules of every partition.

        Raises:
            WrongTopic: There is no such mesh.
        """
        document = await self._document()
        partitions = sorted(await self._reader.ends(self._reader.changes))
        return Held(document, {own: await self._rules(own) for own in partitions})

    async def apply(self, made: Plan, text: str, person: str, because: str) -> None:
        """Do what is pending; returns when all of it is durable and holds.

        Raises:
            TransportError: Something was not acknowledged; the rest was not begun.
            CommandError: Somebody else applied another policy meanwhile.
        """
        version = made.rules.version
        if made.document:
            document = PolicyDocument(NAME, version, text, person, because)
            await self._append(Place(self._topic, 0), NAME.encode(), encode_entry(document))
        adopted = RulesAdopted(rules=made.rules, person=person, because=because)
        for step in made.steps:
            if step.pending:
                place = Place(self._reader.changes, step.partition)
                await self._append(place, RULES_KEY, encode_proposal(adopted))
            self.done += 1
        await self._confirm(made.contents)

    async def _append(self, place: Place, key: bytes, value: bytes) -> None:
        await append(self._log, place, key, value, timeout_s=self._config.timeout_s)

    async def _confirm(self, contents: Contents) -> None:
        """Read back what holds: of two that apply at once, the first wins in each partition."""
        held = await self.held()
        others = [own for own, found in held.partitions.items() if found != contents.rules]
        if others or contents_held(held.document) != contents:
            where = f"partition {others[0]}" if others else self._topic
            raise CommandError(
                f"somebody applied another policy meanwhile, and it holds in {where}; look at it "
                "by `mesh policy plan`, and apply yours with a larger version",
                Exit.FAILED,
            )

    async def _document(self) -> PolicyDocument | None:
        """Return the document of the largest version, the later of two."""
        if not await self._log.ends(self._topic):
            raise WrongTopic(
                f"there is no policy topic of {self._config.mesh} at {self._config.bootstrap}: no "
                f"topic {self._topic}; choose a mesh with --mesh, or create its topics with "
                "`mesh topics apply`"
            )
        found: PolicyDocument | None = None
        async with aclosing(self._log.scan(Place(self._topic, 0), 0)) as batches:
            async for batch in batches:
                for incoming in batch:
                    if incoming.key != NAME.encode():
                        continue
                    try:
                        document = decode_policy(incoming.value)
                    except WireError as error:
                        self._out.complain(f"the policy at {incoming.offset} is none: {error}")
                        continue
                    if found is None or document.version >= found.version:
                        found = document
        return found

    async def _rules(self, partition: int) -> Rules:
        """Return the rules in force in a partition: those kept, and those told since."""
        view = View()
        kept: Sequence[RulesEntry] = [
            row.kept
            async for row in self._reader.rows(partition, keep=of_rules)
            if isinstance(row.kept, RulesEntry)
        ]
        for own in kept:
            view.restore(own)
        async for proposed in self._reader.proposals(partition, keep=of_rules):
            if isinstance(proposed.proposal, RulesAdopted) and proposed.offset > view.through:
                view.judge(proposed.proposal, proposed.offset, proposed.append_ms)
        return _sorted(view.rules.rules)


async def adopt(policies: Policies, file: Path) -> str:
    """Bring a file into force at a start, unless a newer policy holds; return what then holds.

    Raises:
        UsageError: The file is wrong, or another policy of its version holds.
    """
    text, document = await asyncio.to_thread(read_file, file)
    held = await policies.held()
    if held.document is not None and held.document.version > document.version:
        return f"version {held.document.version}, which is newer than {file}"
    made = plan(document, held)
    if made.pending:
        await policies.apply(made, text, person(), f"{file.name} is applied at the start")
    order = f": {' before '.join(document.objectives)}" if document.objectives else ""
    return f"version {document.version} of {file}{order}"


def _sorted(rules: Rules) -> Rules:
    """Return rules in the order in which `Document.rules` has them."""
    return rules._replace(rules=tuple(sorted(rules.rules)))
