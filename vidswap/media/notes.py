"""Notes inside pictures: what each format has for a text that travels with it."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from xml.sax.saxutils import escape

PNG_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"


def png_text(notes: Mapping[str, str]) -> bytes:
    """Chunks for a PNG: iTXt, uncompressed UTF-8 (PNG specification, section 11.3.3.4)."""
    made = b""
    for name, text in notes.items():
        key = "Comment" if name == "comment" else name
        content = key.encode("latin-1", "replace")[:79] + b"\x00\x00\x00\x00\x00" + text.encode()
        made += struct.pack(">I", len(content)) + b"iTXt" + content + struct.pack(">I", zlib.crc32(b"iTXt" + content))
    return made


def gif_comments(notes: Mapping[str, str]) -> bytes:
    """Comment extensions for a GIF (GIF89a specification, section 24)."""
    made = b""
    for text in notes.values():
        content = text.encode()
        blocks = (content[i : i + 255] for i in range(0, len(content), 255))
        made += b"!\xfe" + b"".join(bytes([len(b)]) + b for b in blocks) + b"\x00"
    return made


def xmp(notes: Mapping[str, str]) -> bytes:
    """An XMP packet: the comment as dc:description, everything else in a namespace of its own."""
    told = "".join(f"<vidswap:{n}>{escape(t)}</vidswap:{n}>" for n, t in notes.items() if n != "comment")
    comment = escape(notes.get("comment", ""))
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about="" '
        'xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:vidswap="https://vidswap.invalid/ns/1.0/">'
        f'<dc:description><rdf:Alt><rdf:li xml:lang="x-default">{comment}</rdf:li></rdf:Alt></dc:description>{told}'
        '</rdf:Description></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()


def plain(notes: Mapping[str, str]) -> str:
    """One text of all notes, for formats with a single place for one."""
    return "\n".join(notes.values())
