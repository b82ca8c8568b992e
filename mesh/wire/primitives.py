"""Avro's primitive types, as the compiled codecs use them.

Integers and short strings are remembered with their encodings: names, amounts and small numbers
come again and again, and a look-up costs a tenth of the work.
"""

from __future__ import annotations

from mesh.core.settings import MAX_EVENT_BYTES
from mesh.errors import WireError

REMEMBERED = 2_048
"""Encodings kept for each range of integers, and of strings; some 2 MB in all."""
REMEMBERED_CHARACTERS = 100
"""Longer strings seldom come twice."""
MAX_INT = 2**31 - 1
MAX_LONG = 2**63 - 1
MAX_TIME_MS = 253_402_300_799_999
"""The end of the year 9999: no calendar shows a later time."""
_SHIFTS = tuple(range(0, 70, 7))
"""Seven bits a byte: ten bytes hold the longest 64-bit integer."""


class Integers(dict[int, bytes]):
    """Integers between `low` and `high`, encoded; looked up like a dictionary that has them all.

    Raises:
        WireError: The integer is out of the range.
    """

    def __init__(self, low: int, high: int) -> None:
        super().__init__()
        self.low = low
        self.high = high

    def __missing__(self, number: int) -> bytes:
        if not isinstance(number, int):
            raise WireError(f"{number!r} is no integer")
        if not self.low <= number <= self.high:
            raise WireError(f"{number} is not between {self.low} and {self.high}")
        if len(self) >= REMEMBERED:
            self.clear()
        encoded = self[number] = _varint(number << 1 ^ number >> 63)
        return encoded


class Strings(dict[str, bytes]):
    """Strings, encoded; looked up like a dictionary that has them all."""

    def __missing__(self, text: str) -> bytes:
        # Lone surrogates, as exceptions about file names have them, are spelled out.
        data = text.encode(errors="backslashreplace")
        encoded = LENGTHS[len(data)] + data
        if len(text) <= REMEMBERED_CHARACTERS:
            if len(self) >= REMEMBERED:
                self.clear()
            self[text] = encoded
        return encoded


class Texts(dict[bytes, str]):
    """Decoded strings, one for all that are the same; looked up like a dictionary that has all.

    A name that is held for each of thousands of tasks is held once.

    Raises:
        UnicodeDecodeError: It is no UTF-8.
    """

    def __missing__(self, data: bytes) -> str:
        text = data.decode()
        if len(data) <= REMEMBERED_CHARACTERS:
            if len(self) >= REMEMBERED:
                self.clear()
            self[data] = text
        return text


LENGTHS = Integers(0, MAX_EVENT_BYTES)


def encode_bytes(data: bytes) -> bytes:
    """Encode bytes with their length before them."""
    return LENGTHS[len(data)] + data


def encode_fixed(data: bytes, size: int) -> bytes:
    """Check the length of bytes that are encoded as they are."""
    if len(data) != size:
        raise WireError(f"{len(data)} bytes where {size} are due")
    return data


def encode_nullable_fixed(data: bytes, size: int) -> bytes:
    """Encode bytes of this size, or none as null."""
    return b"\x02" + encode_fixed(data, size) if data else b"\x00"


def read_integer(data: bytes, at: int, low: int, high: int) -> tuple[int, int]:
    """Return the integer at this position and the position behind it.

    Raises:
        WireError: It is longer than 64 bits or out of the range.
        IndexError: The data end first.
    """
    zigzag = 0
    for shift in _SHIFTS:
        byte = data[at]
        at += 1
        zigzag |= (byte & 127) << shift
        if byte < 128:  # the last byte
            break
    else:
        raise WireError(f"an integer of more than {len(_SHIFTS)} bytes")
    number = zigzag >> 1 ^ -(zigzag & 1)
    if not low <= number <= high:
        raise WireError(f"{number} is not between {low} and {high}")
    return number, at


def read_length(data: bytes, at: int) -> tuple[int, int]:
    """Return the length at this position and the position behind it."""
    return read_integer(data, at, 0, MAX_EVENT_BYTES)


def read_count(data: bytes, at: int) -> tuple[int, int]:
    """Return the number of items in the block of an array that begins here.

    A negative one is followed by the block's size in bytes, which nobody here needs.
    """
    count, at = read_integer(data, at, -MAX_EVENT_BYTES, MAX_EVENT_BYTES)
    if count < 0:
        _, at = read_length(data, at)
    return abs(count), at


def _varint(zigzag: int) -> bytes:
    encoded = bytearray()
    while zigzag > 127:  # seven bits a byte
        encoded.append(zigzag & 127 | 128)
        zigzag >>= 7
    encoded.append(zigzag)
    return bytes(encoded)
