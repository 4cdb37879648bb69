"""Parameter sets of H.265: numbers of their own for an encoder's stream, and one header for packets of two encoders.

Encoders of H.265 do not let their sets be numbered, so that what is written is numbered anew, packet by packet: sets by
their bits, and pictures by the number of their set, which stands at the beginning of every slice. Sources: ITU-T H.265,
sections 7.3.1.1 (NAL units), 7.3.2.1 to 7.3.2.3 (parameter sets), 7.3.3 (profile, tier and level), 7.3.6.1 (slices) and
table 7-1; ISO/IEC 14496-15, section 8.3.3.1 (the decoder configuration record, hvcC).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from .parameter_sets import Bits, split_start_codes

VIDEO, SEQUENCE, PICTURE = 32, 33, 34
KINDS = (VIDEO, SEQUENCE, PICTURE)
_SLICES = range(32)
_RANDOM_ACCESS = range(16, 24)
_END_OF_SEQUENCE = bytes([36 << 1, 1])
_RECORD_VERSION = 1
_LEVEL_AT, _LENGTH_AT, _ARRAYS_AT = 12, 21, 22
# A number whose code has nine bits instead of the one of number 0 moves the rest of a slice by a byte, and leaves it as
# it is. Its last two bits not being 0, no zero byte comes before what follows, which might then look like a start code.
_PICTURE_NUMBERS = tuple(n for n in range(15, 31) if (n + 1) & 3)
_HIGHEST = 15  # number of a video or sequence parameter set


def kind_of(unit: bytes) -> int:
    """The type of a NAL unit, 0..63."""
    return (unit[0] >> 1) & 63


@dataclass(frozen=True)
class HevcSets:
    """The parameter sets of a header, as NAL units without start code or length, by kind: video, sequence, picture.

    `length_bytes` is how long the lengths before NAL units are in packets (1, 2 or 4), None where packets have start
    codes instead.
    """

    length_bytes: int | None
    units: tuple[tuple[bytes, ...], tuple[bytes, ...], tuple[bytes, ...]] = ((), (), ())

    @classmethod
    def parse(cls, header: bytes) -> HevcSets:
        """Read FFmpeg's extradata: an hvcC record or NAL units with start codes. Raises ValueError for neither."""
        if header[:1] == bytes([_RECORD_VERSION]):
            return _parse_record(header)
        if b"\0\0\1" not in header[:4]:
            raise ValueError("the header is neither an hvcC record nor NAL units with start codes")
        return cls.among(split_start_codes(header), None)

    @classmethod
    def among(cls, units: Iterable[bytes], length_bytes: int | None) -> HevcSets:
        """The parameter sets among NAL units."""
        kinds: dict[int, list[bytes]] = {kind: [] for kind in KINDS}
        for unit in units:
            if len(unit) > 2 and kind_of(unit) in kinds:
                kinds[kind_of(unit)].append(bytes(unit))
        return cls(length_bytes, (tuple(kinds[VIDEO]), tuple(kinds[SEQUENCE]), tuple(kinds[PICTURE])))

    def numbers(self) -> tuple[set[int], set[int], set[int]]:
        """The numbers of all sets, by kind. Raises ValueError for a set that is cut off."""
        video, sequence, picture = self.units
        return (
            {Bits(unit, 2).take(4) for unit in video},
            {_number_of_sequence(unit) for unit in sequence},
            {Bits(unit, 2).golomb() for unit in picture},
        )

    def all(self) -> set[bytes]:
        """All of them, for comparing."""
        return {unit for kind in self.units for unit in kind}

    @property
    def layered(self) -> bool:
        """Whether some are of another layer than the first, such as of a second view."""
        return any((unit[0] & 1) << 5 | unit[1] >> 3 for unit in self.all())


def free_place(numbers: tuple[set[int], set[int], set[int]]) -> int | None:
    """A place at which `numbers_at` gives numbers that no set bears; None where there is none."""
    video, sequence, picture = numbers
    for place in range(min(len(_PICTURE_NUMBERS), _HIGHEST + 1)):
        other, own = numbers_at(place)
        if other not in video | sequence and own not in picture:
            return place
    return None


def numbers_at(place: int) -> tuple[int, int]:
    """The number of the video and the sequence parameter set, and that of the picture parameter set."""
    return _HIGHEST - place, _PICTURE_NUMBERS[place]


def numbered_anew(sets: HevcSets, place: int) -> HevcSets:
    """An encoder's sets, one of each kind, with the numbers at `place`.

    Raises ValueError for sets that cannot be numbered so: several of a kind, or a picture parameter set that is not
    number 0.
    """
    if [len(kind) for kind in sets.units] != [1, 1, 1] or sets.numbers()[2] != {0}:
        raise ValueError("the encoder has more than one parameter set of a kind")
    other, own = numbers_at(place)
    (video,), (sequence,), (picture,) = sets.units
    written = (
        video[:2] + _video(Bits(video, 2), other),
        sequence[:2] + _sequence(Bits(sequence, 2), other),
        picture[:2] + _picture(Bits(picture, 2), other, own),
    )
    return replace(sets, units=((written[0],), (written[1],), (written[2],)))


def packet_anew(data: bytes, place: int, length_bytes: int | None, *, ends: bool = False) -> bytes:
    """An encoder's packet with start codes, whose slices refer to the sets at `place`, without sets of its own.

    length_bytes: how long lengths before NAL units are to be; None for start codes. ends: whether pictures of another
    encoder follow: decoders are told then that what comes next starts anew.
    """
    own = numbers_at(place)[1]
    units = [
        _slice(unit, own) if kind_of(unit) in _SLICES else unit
        for unit in split_start_codes(data)
        if kind_of(unit) not in KINDS
    ]
    if ends:
        units.append(_END_OF_SEQUENCE)
    if length_bytes is None:
        return b"".join(b"\0\0\0\1" + unit for unit in units)
    return b"".join(len(unit).to_bytes(length_bytes, "big") + unit for unit in units)


def merged(header: bytes, own: HevcSets) -> bytes:
    """The header of one stream, with sets of another one that bear other numbers.

    Raises ValueError for a header that cannot be read, and when two sets bear one number.
    """
    first = HevcSets.parse(header)
    if any(a & b for a, b in zip(first.numbers(), own.numbers(), strict=True)):
        raise ValueError("two different parameter sets bear one number")
    units = [(*a, *b) for a, b in zip(first.units, own.units, strict=True)]
    if first.length_bytes is None:
        return b"".join(b"\0\0\0\1" + unit for kind in units for unit in kind)
    record = bytearray(header[:_ARRAYS_AT])
    general = _general(own.units[1][0])
    # The profile, tier and level that both keep within, and the constraints that both keep.
    record[1] = (record[1] | general[0]) & 0xE0 | max(record[1] & 31, general[0] & 31)
    for at in range(1, 11):
        record[1 + at] &= general[at]
    record[_LEVEL_AT] = max(record[_LEVEL_AT], general[11])
    # Nothing is promised of how pictures are cut up.
    record[13:16] = b"\xf0\0\xfc"
    record.append(len(KINDS))
    for kind, there in zip(KINDS, units, strict=True):
        # Sets of this kind stand nowhere else.
        record += bytes([0x80 | kind]) + len(there).to_bytes(2, "big")
        record += b"".join(len(unit).to_bytes(2, "big") + unit for unit in there)
    return bytes(record)


def _parse_record(record: bytes) -> HevcSets:
    found: list[bytes] = []
    try:
        at = _ARRAYS_AT + 1
        for _ in range(record[_ARRAYS_AT]):
            count = int.from_bytes(record[at + 1 : at + 3], "big")
            at += 3
            for _ in range(count):
                length = int.from_bytes(record[at : at + 2], "big")
                found.append(record[at + 2 : at + 2 + length])
                at += 2 + length
                if at > len(record) or not length:
                    raise ValueError("the hvcC record is cut off")
        return HevcSets.among(found, (record[_LENGTH_AT] & 3) + 1)
    except IndexError:
        raise ValueError("the hvcC record is cut off") from None


def _slice(unit: bytes, number: int) -> bytes:
    """A slice that refers to picture parameter set 0, as one that refers to `number`."""
    flags = 2 if kind_of(unit) in _RANDOM_ACCESS else 1
    first = unit[2]
    if not first >> (7 - flags) & 1:
        raise ValueError("a slice does not refer to the first picture parameter set")
    kept = first >> (8 - flags)
    moved = (kept << 9 | number + 1) << (7 - flags) | first & ((1 << (7 - flags)) - 1)
    return unit[:2] + moved.to_bytes(2, "big") + unit[3:]


def _video(bits: Bits, other: int) -> bytes:
    bits.take(4)
    return _closed([(other, 4), bits.before_stop()])


def _sequence(bits: Bits, other: int) -> bytes:
    bits.take(4)
    layers = bits.take(4)
    levels = _levels(bits, layers >> 1)
    bits.golomb()
    return _closed([(other, 4), (layers, 4), *levels, _golomb(other), bits.before_stop()])


def _picture(bits: Bits, other: int, own: int) -> bytes:
    bits.golomb()
    bits.golomb()
    return _closed([_golomb(own), _golomb(other), bits.before_stop()])


def _number_of_sequence(unit: bytes) -> int:
    bits = Bits(unit, 2)
    bits.take(4)
    _levels(bits, bits.take(4) >> 1)
    return bits.golomb()


def _levels(bits: Bits, more: int) -> list[tuple[int, int]]:
    """profile_tier_level of so many layers of time more than one, as numbers and how many bits each has."""
    found = [(bits.take(96), 96)]
    if more:
        flags = bits.take(16)
        found.append((flags, 16))
        for layer in range(more):
            profile, level = flags >> (15 - 2 * layer) & 1, flags >> (14 - 2 * layer) & 1
            count = 88 * profile + 8 * level
            found.append((bits.take(count), count))
    return found


def _general(sequence: bytes) -> bytes:
    """The twelve bytes of profile, tier and level of a sequence parameter set."""
    bits = Bits(sequence, 2)
    bits.take(8)
    return bits.take(96).to_bytes(12, "big")


def _golomb(number: int) -> tuple[int, int]:
    """ue(v) of a number, and how many bits it has; section 9.2."""
    return number + 1, 2 * (number + 1).bit_length() - 1


def _closed(parts: Iterable[tuple[int, int]]) -> bytes:
    """A payload of numbers of so many bits each, with its stop bit and what prevents start codes (7.3.1.1)."""
    bits, count = 0, 0
    for number, width in parts:
        bits, count = bits << width | number, count + width
    bits, count = bits << 1 | 1, count + 1
    padding = -count % 8
    made, zeros = bytearray(), 0
    for byte in (bits << padding).to_bytes((count + padding) // 8, "big"):
        if zeros >= 2 and byte <= 3:
            made.append(3)
            zeros = 0
        made.append(byte)
        zeros = zeros + 1 if not byte else 0
    return bytes(made)
