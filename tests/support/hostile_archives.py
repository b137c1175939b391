"""Zip and tar files written field by field, so that a test can make any one of them lie."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tests.support.distributions import gzip_bytes

STORE, DEFLATE = 0, 8


def deflated(content: bytes) -> bytes:
    """Content as a zip member's compressed data."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    return packer.compress(content) + packer.flush()


@dataclass(frozen=True, kw_only=True, slots=True)
class RawMember:
    """A zip member. What is None is derived from `content`, rightly; the rest is written as it stands.

    `local_*` go into the local header, the others into the central directory and, unless overridden, there too.
    """

    name: bytes
    content: bytes = b""
    method: int = DEFLATE
    flags: int = 0
    mode: int = 0o100644
    data: bytes | None = None
    crc: int | None = None
    packed: int | None = None
    size: int | None = None
    extra: bytes = b""
    disk: int = 0
    version: int = 20
    offset: int | None = None
    before: bytes = b""
    behind: bytes = b""
    local_name: bytes | None = None
    local_flags: int | None = None
    local_method: int | None = None
    local_crc: int | None = None
    local_packed: int | None = None
    local_size: int | None = None
    local_extra: bytes | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class RawEnd:
    """Overrides of the end records."""

    prefix: bytes = b""
    before: bytes = b""
    comment: bytes = b""
    stated_comment: int | None = None
    suffix: bytes = b""
    disk: int = 0
    count: int | None = None
    count_here: int | None = None
    size: int | None = None
    offset: int | None = None
    zip64: bool = False
    zip64_gap: bytes = b""
    zip64_count: int | None = None
    zip64_disks: int = 1
    zip64_record_size: int = 44


def _or(value: int | None, default: int) -> int:
    return default if value is None else value


def raw_zip(members: Sequence[RawMember], end: RawEnd | None = None) -> bytes:
    """A zip file of these members."""
    end = end or RawEnd()
    body = bytearray(end.prefix)
    central = bytearray()
    for member in members:
        body += member.before
        data = member.data
        if data is None:
            data = deflated(member.content) if member.method == DEFLATE else member.content
        crc = _or(member.crc, zlib.crc32(member.content))
        packed = _or(member.packed, len(data))
        size = _or(member.size, len(member.content))
        offset = _or(member.offset, len(body))
        local_name = member.name if member.local_name is None else member.local_name
        local_extra = member.extra if member.local_extra is None else member.local_extra
        body += struct.pack(
            "<4s5H3L2H",
            b"PK\x03\x04",
            20,
            _or(member.local_flags, member.flags),
            _or(member.local_method, member.method),
            0,
            0x21,
            _or(member.local_crc, crc),
            _or(member.local_packed, packed),
            _or(member.local_size, size),
            len(local_name),
            len(local_extra),
        )
        body += local_name + local_extra + data + member.behind
        central += struct.pack(
            "<4s6H3L5H2L",
            b"PK\x01\x02",
            0x0314,
            member.version,
            member.flags,
            member.method,
            0,
            0x21,
            crc,
            packed,
            size,
            len(member.name),
            len(member.extra),
            0,
            member.disk,
            0,
            member.mode << 16,
            offset,
        )
        central += member.name + member.extra
    directory_at = len(body)
    body += central + end.before
    count = _or(end.count, len(members))
    directory_size = _or(end.size, len(central))
    directory_offset = _or(end.offset, directory_at)
    if end.zip64:
        record_at = len(body)
        entries = _or(end.zip64_count, len(members))
        body += struct.pack(
            "<4sQ2H2L4Q",
            b"PK\x06\x06",
            end.zip64_record_size,
            45,
            45,
            0,
            0,
            entries,
            entries,
            len(central),
            directory_at,
        )
        body += end.zip64_gap
        body += struct.pack("<4sLQL", b"PK\x06\x07", 0, record_at, end.zip64_disks)
    body += struct.pack(
        "<4s4H2LH",
        b"PK\x05\x06",
        end.disk,
        end.disk,
        _or(end.count_here, count),
        count,
        directory_size,
        directory_offset,
        _or(end.stated_comment, len(end.comment)),
    )
    return bytes(body + end.comment + end.suffix)


def raw_members(members: Sequence[tuple[str, bytes]]) -> list[RawMember]:
    """Ordinary members, ready to be changed."""
    return [RawMember(name=path.encode(), content=content) for path, content in members]


def changed(members: Sequence[RawMember], at: int, **changes: object) -> list[RawMember]:
    """The members with one of them changed."""
    result = list(members)
    result[at] = replace(result[at], **changes)  # type: ignore[arg-type]  # a test's table names the fields
    return result


def tar_header(
    name: bytes,
    *,
    size: int | bytes = 0,
    kind: bytes = b"0",
    target: bytes = b"",
    magic: bytes = b"ustar\x0000",
    prefix: bytes = b"",
    checksum: int | None = None,
    patches: Mapping[int, bytes] | None = None,
) -> bytes:
    """One tar header block; `size` as bytes is written as it stands, `patches` go to their offsets."""
    size_field = size if isinstance(size, bytes) else b"%011o\x00" % size
    block = bytearray(512)
    block[0 : len(name)] = name
    block[100:124] = b"0000644\x000000000\x000000000\x00"
    block[124:136] = size_field.ljust(12, b"\x00")
    block[136:148] = b"00000000000\x00"
    block[148:156] = b" " * 8
    block[156:157] = kind
    block[157 : 157 + len(target)] = target
    block[257 : 257 + len(magic)] = magic
    block[345 : 345 + len(prefix)] = prefix
    for at, patch in (patches or {}).items():
        block[at : at + len(patch)] = patch
    total = sum(block) if checksum is None else checksum
    block[148:156] = b"%06o\x00 " % total
    return bytes(block)


def tar_member(name: bytes, content: bytes = b"", *, kind: bytes = b"0", target: bytes = b"") -> bytes:
    """A tar member: its header and its padded content."""
    return tar_header(name, size=len(content), kind=kind, target=target) + content + bytes(-len(content) % 512)


def pax_record(key: bytes, value: bytes) -> bytes:
    """One record of an extended header, with its length."""
    length = len(key) + len(value) + 3
    while len(b"%d" % length) + len(key) + len(value) + 3 != length:
        length += 1
    return b"%d %s=%s\n" % (length, key, value)


def pax_header(*records: tuple[bytes, bytes], kind: bytes = b"x") -> bytes:
    """An extended header as it stands before its member."""
    return tar_member(b"PaxHeaders/x", b"".join(pax_record(*record) for record in records), kind=kind)


TAR_END = bytes(1024)


def raw_tar_gz(*parts: bytes, end: bytes = TAR_END) -> bytes:
    """A gzipped tar of these parts."""
    return gzip_bytes(b"".join(parts) + end)
