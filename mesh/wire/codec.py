"""One codec for each kind of record, found by name to write and by fingerprint to read.

Reading guards against everything that a stranger may have put on a topic: size, marker,
fingerprint, group, lengths, counts, ranges, symbols, UTF-8, what is missing and what is left over.
Nothing but `WireError` gets out, and it says in one line what is wrong at which field.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import Any

from mesh.core.settings import MAX_EVENT_BYTES
from mesh.errors import MeshError, WireError
from mesh.wire.decoder import compile_decoder
from mesh.wire.encoder import compile_encoder
from mesh.wire.schemas import MARKER, PREFIX, Schema, current, released
from mesh.wire.source import Compiled, Target

MAX_REASON = 300
"""Characters of what is wrong: it may show what was sent."""
_BROKEN = (IndexError, KeyError, ValueError, MeshError)
"""What compiled code raises at bytes that do not fit."""
_MISUSED = (AttributeError, IndexError, KeyError, TypeError, ValueError, MeshError)
"""What compiled code raises at an object that does not fit."""


class Codec:
    """Encodes one kind of record and decodes it, compiled when first used."""

    def __init__(self, schema: Schema, reader: Schema, target: Target) -> None:
        self.schema = schema
        self._reader = reader
        self.target = target

    def __repr__(self) -> str:
        return f"Codec({self.schema.name} {self.schema.prefix.hex()})"

    @cached_property
    def _encoder(self) -> Compiled:
        return compile_encoder(self.schema.definition, self.target)

    @cached_property
    def _decoder(self) -> Compiled:
        return compile_decoder(self.schema.definition, self._reader.definition, self.target)

    def encode(self, value: object, *outer: object) -> tuple[bytes, bytes]:
        """Return the encoding in two parts: all that is chained, and the contents of the body.

        Raises:
            WireError: A field has the wrong type or range, or the record is too large.
        """
        encoder = self._encoder
        try:
            head, tail = encoder.call(value, *outer)
        except _MISUSED as error:
            raise self._refusal(encoder, error) from error
        head = self.schema.prefix + head
        if len(head) + len(tail) > MAX_EVENT_BYTES:
            size = len(head) + len(tail)
            raise WireError(f"{self.schema.name}: {size} bytes, {MAX_EVENT_BYTES} are allowed")
        return head, tail

    def decode(self, data: bytes) -> tuple[Any, tuple[Any, ...], int]:
        """Return the object, the fields outside it, and where the contents of the body begin.

        Raises:
            WireError: The bytes are no record of this kind.
        """
        decoder = self._decoder
        try:
            decoded: tuple[Any, tuple[Any, ...], int] = decoder.call(data, PREFIX)
        except _BROKEN as error:
            raise self._refusal(decoder, error) from error
        return decoded

    def _refusal(self, compiled: Compiled, error: Exception) -> WireError:
        where = ".".join(filter(None, (self.schema.name, compiled.where(error))))
        return WireError(f"{where}: {_reason(error)}")


class Codecs:
    """The codecs of one group (`fact`, `message` or `value`): by class to write, else to read."""

    def __init__(self, group: str, targets: Mapping[str, Target]) -> None:
        self._group = group
        written = current()
        self._writers = {
            target.cls: Codec(written[name], written[name], target)
            for name, target in targets.items()
        }
        self._readers = {codec.schema.prefix: codec for codec in self._writers.values()}
        for old in released():
            if old.name in targets:
                self._readers[old.prefix] = Codec(old, written[old.name], targets[old.name])

    def __iter__(self) -> Iterator[Codec]:
        return iter(self._writers.values())

    def writer(self, cls: type) -> Codec:
        """Return the codec that writes objects of this class.

        Raises:
            WireError: There is none.
        """
        codec = self._writers.get(cls)
        if codec is None:
            raise WireError(f"{cls.__name__} is no {self._group}")
        return codec

    def prefixes(self, classes: Iterable[type]) -> frozenset[bytes]:
        """Return how values of these classes begin, by whichever release they were written."""
        wanted = set(classes)
        return frozenset(
            prefix for prefix, codec in self._readers.items() if codec.target.cls in wanted
        )

    def reader(self, data: bytes) -> Codec:
        """Return the codec of what wrote these bytes.

        Raises:
            WireError: They are too large, no single-object encoding, or of another kind.
        """
        codec = self._readers.get(data[:PREFIX])
        if codec is None or len(data) > MAX_EVENT_BYTES:
            raise WireError(self._wrong(data))
        return codec

    def _wrong(self, data: bytes) -> str:
        if len(data) > MAX_EVENT_BYTES:
            return f"{len(data)} bytes, {MAX_EVENT_BYTES} are allowed"
        if not data.startswith(MARKER):
            return f"begins with {data[:2].hex() or 'nothing'}, not with Avro's marker c301"
        if len(data) < PREFIX:
            return "ends within the fingerprint"
        for schema in (*current().values(), *released()):
            if data.startswith(schema.prefix):
                return f"{schema.name} where a {self._group} is due"
        return f"unknown fingerprint {data[len(MARKER) : PREFIX].hex()}"


def present(value: bytes | None) -> bytes:
    """Return the value of a record.

    Raises:
        WireError: It is null.
    """
    if value is None:
        raise WireError("the value is null")
    return value


def _reason(error: Exception) -> str:
    match error:
        case IndexError():
            return "the data end too early"
        case KeyError():
            return f"unknown choice {error.args[0]!r}"
        case UnicodeDecodeError():
            return f"no UTF-8 ({error.reason})"
        case _:
            return " ".join(str(error).split())[:MAX_REASON]
