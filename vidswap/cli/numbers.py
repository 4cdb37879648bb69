"""Lists of numbers as a user writes them: 0-31,40 and 0.3,0.7."""

from __future__ import annotations


def numbers(text: str, option: str, *, most: int, example: str, last: int | None = None) -> list[int]:
    """Whole numbers from 0 on, from `0-31,40`; a range ends at `last` at the latest. Raises InputError, one line."""
    from vidswap.graph.errors import InputError

    found: list[int] = []
    for part in text.split(","):
        first, dash, end = part.strip().partition("-")
        if not (first.isdecimal() and (not dash or end.isdecimal())):
            raise InputError(f"{option} {text!r}: write numbers with commas between, such as {example}")
        begin = int(first)
        stop = int(end) if dash else begin
        if stop < begin:
            raise InputError(f"{option} {text!r}: {part.strip()} runs backwards; write {stop}-{begin}")
        stop = stop if last is None or not dash else max(begin, min(stop, last))
        if len(found) + stop - begin + 1 > most:
            raise InputError(f"{option} {text!r}: these are more than {most}; give fewer")
        found += range(begin, stop + 1)
    return found


def shares(text: str, option: str, *, low: float, high: float) -> list[float]:
    """Numbers with a point, from `0.3,0.7`, between `low` and `high`. Raises InputError, one line."""
    from vidswap.graph.errors import InputError

    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        raise InputError(f"{option} {text!r}: write numbers with commas between, such as 0.3,0.7,1") from None
    for value in found:
        if not low <= value <= high:
            raise InputError(f"{option} {text!r}: {value:g} is not between {low:g} and {high:g}")
    return found
