"""What of a user's words is an address of a store, and what is a path."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

from .remote import RemotePath

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+)://")
# An address that went through Path has lost a slash; of these protocols it is known again.
_KNOWN = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "memory", "http", "https", "file", "hdfs", "sftp"})


def place(given: str | Path) -> Path:
    """A path or an address as a Path: RemotePath for s3://, gs://, memory://, http:// ..., a plain one for the rest.

    file:// is a plain path (percent signs decoded, RFC 8089). Also for an address that has been made a Path.

    >>> place("s3://bucket/clips/a.mp4")
    RemotePath('s3://bucket/clips/a.mp4')
    >>> str(place(Path("s3://bucket/a.mp4")).with_name("b.mp4"))
    's3://bucket/b.mp4'
    >>> str(place("file:///tmp/a%20b.mp4")), str(place("clips/a.mp4"))
    ('/tmp/a b.mp4', 'clips/a.mp4')
    """
    if isinstance(given, RemotePath):
        return given
    text = str(given)
    found = _ADDRESS.match(text)
    if found is None and isinstance(given, Path) and given.parts and given.parts[0][:-1] in _KNOWN:
        head, *rest = given.parts
        if head.endswith(":") and rest:
            text = f"{head}//{'/'.join(rest)}" if head != "file:" else f"file:///{'/'.join(rest)}"
            found = _ADDRESS.match(text)
    if found is None:
        return Path(given)
    if found[1].lower() == "file":
        return Path(unquote(re.sub(r"^file://(localhost)?", "", text, flags=re.IGNORECASE)))
    return RemotePath(found[1].lower() + text[found.end(1) :])
