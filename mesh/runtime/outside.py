"""What an instance writes besides facts and messages: presence, replies, findings, dead letters."""

from __future__ import annotations

from collections.abc import Callable

from mesh.core import effects as e
from mesh.core.halts import HaltOrder
from mesh.core.ids import audit_partition_of
from mesh.core.registry import Card, Presence
from mesh.core.values import Holder
from mesh.ports import Incoming, Log, Place, Report
from mesh.wire import topics
from mesh.wire.entries import OpenWorkflow, dead_letter, encode_entry
from mesh.wire.headers import open_key
from mesh.wire.requests import encode_reply, reply_headers


class Outside:
    """Mutable: the other topics of a mesh, as one instance writes them."""

    def __init__(self, log: Log, mesh: str, me: Holder) -> None:
        self._log = log
        self._mesh = mesh
        self._me = me

    def card(self, card: Card) -> None:
        """Publish an agent's card."""
        self._put(topics.registry(self._mesh), card.agent, encode_entry(card))

    def presence(self, presence: Presence) -> None:
        """Tell that this instance is there."""
        self._put(topics.presence(self._mesh), presence.instance, encode_entry(presence))

    def goodbye(self) -> None:
        """Tell that it is gone."""
        self._put(topics.presence(self._mesh), self._me.instance, None)

    def order(self, order: HaltOrder) -> None:
        """Publish an order."""
        self._put(topics.control(self._mesh), order.target, encode_entry(order))

    def incident(self, incident: e.Incident) -> None:
        """Publish a finding."""
        key = incident.workflow or self._me.instance
        self._put(topics.incidents(self._mesh), key, encode_entry(incident))

    def reply(self, reply: e.Reply) -> None:
        """Answer a submitter."""
        key = reply.correlation_id.encode() or None
        value, headers = encode_reply(reply), reply_headers(reply)
        self._log.append(Place(reply.topic, -1), key, value, headers)

    def note(self, effect: e.PutOpen | e.DropOpen, then: Callable[[], None]) -> None:
        """Note an open workflow, or its end; `then` when that is acknowledged."""
        source, workflow = effect.source, effect.workflow
        value = None
        if isinstance(effect, e.PutOpen):
            value = encode_entry(OpenWorkflow(source, workflow, effect.header))
        place = Place(topics.open_workflows(self._mesh), audit_partition_of(workflow))

        def reported(_: Report) -> None:
            then()

        self._log.append(place, open_key(source, workflow), value, (), reported)

    def dead_letter(self, incoming: Incoming, reason: str) -> None:
        """Put a record aside that could not be used, with its bytes and the reason."""
        letter = dead_letter(incoming, reason, self._me.instance)
        topic = topics.dead_letters(self._mesh)
        self._log.append(Place(topic, -1), letter.key, encode_entry(letter))

    def _put(self, topic: str, key: str, value: bytes | None) -> None:
        self._log.append(Place(topic, -1), key.encode(), value)
