"""Parameter sets of H.264: what is in a stream's header, and one header for packets of two encoders.

Two H.264 streams can lie in one track when their parameter sets bear different numbers and all of them stand in the
track's header. Sources: ITU-T H.264, sections 7.3.1 (NAL units), 7.3.2.1.1 and 7.3.2.2 (parameter sets), annex B (start
codes); ISO/IEC 14496-15, section 5.3.3.1 (the decoder configuration record, avcC).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

IDR, SEQUENCE, PICTURE, SEQUENCE_EXTENSION = 5, 7, 8, 13
MOST_SETS = 31
_HIGH_PROFILES = frozenset({100, 110, 122, 144, 244, 44, 83, 86, 118, 128, 138, 139, 134, 135})
_AVCC_VERSION = 1


@dataclass(frozen=True)
class ParameterSets:
    """The parameter sets of a header, as NAL units without start code or length.

    `length_bytes` is how long the lengths before NAL units are in packets (1, 2 or 4), None where packets have start
    codes instead.
    """

    length_bytes: int | None
    sequence: tuple[bytes, ...] = ()
    picture: tuple[bytes, ...] = ()
    extension: tuple[bytes, ...] = ()

    @classmethod
    def parse(cls, header: bytes) -> ParameterSets:
        """Read FFmpeg's extradata: an avcC record or NAL units with start codes. Raises ValueError for neither."""
        if header[:1] == bytes([_AVCC_VERSION]):
            return _parse_record(header)
        if b"\0\0\1" not in header[:4]:
            raise ValueError("the header is neither an avcC record nor NAL units with start codes")
        return cls.among(split_start_codes(header), None)

    @classmethod
    def among(cls, units: Iterator[bytes] | list[bytes], length_bytes: int | None) -> ParameterSets:
        """The parameter sets among NAL units."""
        kinds: dict[int, list[bytes]] = {SEQUENCE: [], PICTURE: [], SEQUENCE_EXTENSION: []}
        for unit in units:
            if unit and unit[0] & 31 in kinds:
                kinds[unit[0] & 31].append(bytes(unit))
        return cls(length_bytes, tuple(kinds[SEQUENCE]), tuple(kinds[PICTURE]), tuple(kinds[SEQUENCE_EXTENSION]))

    def numbers(self) -> set[int]:
        """The numbers of all sequence and picture parameter sets. Raises ValueError for a set that is cut off."""
        found = {_number(unit, 4) for unit in self.sequence}
        return found | {_number(unit, 1) for unit in self.picture}

    def all(self) -> set[bytes]:
        """All of them, for comparing."""
        return {*self.sequence, *self.picture, *self.extension}


def merged(first: ParameterSets, second: ParameterSets) -> bytes:
    """A header in the form of `first` with the sets of both.

    Raises ValueError when a record cannot hold that many, or when two different sets bear one number.
    """
    for a, b, skipped in ((first.sequence, second.sequence, 4), (first.picture, second.picture, 1)):
        for unit in b:
            if any(_number(unit, skipped) == _number(other, skipped) and unit != other for other in a):
                raise ValueError("two different parameter sets bear one number")
    sequence = tuple(dict.fromkeys((*first.sequence, *second.sequence)))
    picture = tuple(dict.fromkeys((*first.picture, *second.picture)))
    extension = tuple(dict.fromkeys((*first.extension, *second.extension)))
    if first.length_bytes is None:
        return b"".join(b"\0\0\0\1" + unit for unit in (*sequence, *extension, *picture))
    if not sequence or len(sequence) > MOST_SETS:
        raise ValueError(f"{len(sequence)} sequence parameter sets do not fit a record")
    profile, level = max(unit[1] for unit in sequence), max(unit[3] for unit in sequence)
    # Constraints hold for the stream only where they hold for all of it.
    constraints = 0xFF
    for unit in sequence:
        constraints &= unit[2] if unit[1] == profile else 0
    record = bytes([_AVCC_VERSION, profile, constraints, level, 0xFC | first.length_bytes - 1, 0xE0 | len(sequence)])
    record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in sequence)
    record += bytes([len(picture)]) + b"".join(len(unit).to_bytes(2, "big") + unit for unit in picture)
    highest = next(unit for unit in sequence if unit[1] == profile)
    if profile in _HIGH_PROFILES:
        chroma, luma_bits, chroma_bits = _sample_format(highest)
        record += bytes([0xFC | chroma, 0xF8 | luma_bits - 8, 0xF8 | chroma_bits - 8, len(extension)])
        record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in extension)
    return record


def split_start_codes(data: bytes) -> list[bytes]:
    """NAL units of a byte stream (annex B)."""
    # A NAL unit never ends with a zero byte; those before a start code belong to it.
    return [unit.rstrip(b"\0") for unit in bytes(data).split(b"\0\0\1") if unit.rstrip(b"\0")]


def with_lengths(data: bytes, length_bytes: int) -> bytes:
    """A packet with start codes, as one with lengths."""
    return b"".join(len(unit).to_bytes(length_bytes, "big") + unit for unit in split_start_codes(data))


def _parse_record(record: bytes) -> ParameterSets:
    try:
        length_bytes = (record[4] & 3) + 1
        at, kinds = 5, []
        for mask in (31, 255):
            count, units = record[at] & mask, []
            at += 1
            for _ in range(count):
                length = int.from_bytes(record[at : at + 2], "big")
                units.append(record[at + 2 : at + 2 + length])
                at += 2 + length
                if at > len(record) or not length:
                    raise ValueError("the avcC record is cut off")
            kinds.append(tuple(units))
    except IndexError:
        raise ValueError("the avcC record is cut off") from None
    return ParameterSets(length_bytes, kinds[0], kinds[1])


class Bits:
    """Reads bits of a NAL unit's payload, without the bytes that only prevent start codes (7.4.1)."""

    def __init__(self, unit: bytes, skipped: int) -> None:
        payload = unit[skipped:].replace(b"\0\0\3", b"\0\0")
        self._bits = int.from_bytes(payload, "big")
        self._left = 8 * len(payload)

    def take(self, count: int) -> int:
        """u(n), section 7.2."""
        if count > self._left:
            raise ValueError("the parameter set is cut off")
        self._left -= count
        return (self._bits >> self._left) & ((1 << count) - 1)

    def before_stop(self) -> tuple[int, int]:
        """What is left up to the stop bit (7.3.2.11), as a number and how many bits it has."""
        rest = self._bits & ((1 << self._left) - 1)
        if not rest:
            raise ValueError("the parameter set is cut off")
        stop = (rest & -rest).bit_length()
        return rest >> stop, self._left - stop

    def golomb(self) -> int:
        """ue(v), section 9.1."""
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > 31:
                raise ValueError("the parameter set is damaged")
        return (1 << zeros) - 1 + (self.take(zeros) if zeros else 0)


def _number(unit: bytes, skipped: int) -> int:
    return Bits(unit, skipped).golomb()


def _sample_format(unit: bytes) -> tuple[int, int, int]:
    """chroma_format_idc, luma and chroma bit depth of a sequence parameter set of a high profile."""
    bits = Bits(unit, 4)
    bits.golomb()
    chroma = bits.golomb()
    if chroma == 3:
        bits.take(1)
    return chroma, 8 + bits.golomb(), 8 + bits.golomb()
