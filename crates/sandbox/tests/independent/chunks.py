"""Writes the vectors of lists of chunks, from docs/formats/chunks.md alone.

    python crates/sandbox/tests/independent/chunks.py

Run it from the repository's root. It reads back what it writes.
"""

import pathlib
import struct

FOLDER = pathlib.Path("testdata/vectors/chunks")
COUNT_MAX = 65_536


class Refused(Exception):
    """The bytes are no list; the message says why in a word."""


def write(chunks):
    return struct.pack("<I", len(chunks)) + b"".join(
        struct.pack("<I", len(chunk)) + chunk for chunk in chunks
    )


def read(data):
    def number(at):
        if len(data) < at + 4:
            raise Refused("cut-off")
        return struct.unpack_from("<I", data, at)[0]

    count = number(0)
    if count > COUNT_MAX:
        raise Refused("too-many")
    at, chunks = 4, []
    for _ in range(count):
        end = at + 4 + number(at)
        if end > len(data):
            raise Refused("too-long")
        chunks.append(data[at + 4 : end])
        at = end
    if at != len(data):
        raise Refused("rest")
    return chunks


GOOD = {
    "ok-none": ([], "A list may be empty."),
    "ok-one": ([b"chunk"], "One chunk."),
    "ok-empty-chunks": ([b"", b"", b""], "Chunks may be empty."),
    "ok-several": ([b"a", b"", bytes(range(256))], "Chunks of several lengths, with every byte."),
    "ok-looks-like-a-list": ([write([b"inner"])], "A chunk that is a list stays one chunk."),
}

BAD = {
    "cut-off-nothing": (b"", "Not even a count."),
    "cut-off-count": (b"\x01\x00\x00", "The count has three bytes."),
    "cut-off-no-len": (write([b"x", b"y"])[:9], "The second length is not there."),
    "cut-off-len": (write([b"x", b"y"])[:11], "The second length has two bytes."),
    "too-many-by-one": (struct.pack("<I", COUNT_MAX + 1), "One chunk more than a list may have."),
    "too-many-all": (b"\xff" * 4, "The largest count."),
    "too-many-big-endian": (struct.pack(">I", 1) + write([b"x"])[4:], "The count is big-endian."),
    "too-long-by-one": (write([b"abc"])[:-1], "The chunk ends one byte early."),
    "too-long-all": (struct.pack("<II", 1, 0xFFFFFFFF) + b"x", "The largest length."),
    "too-long-overlap": (struct.pack("<II", 2, 9) + b"x" + struct.pack("<I", 0), "A length that takes the next one in."),
    "rest-one": (write([b"abc"]) + b"\x00", "One byte follows."),
    "rest-after-none": (write([]) + write([]), "A second list follows an empty one."),
}


def save(name, expect, body, comment, chunks=()):
    lines = [f"expect: {expect}"]
    lines += [f"chunk: {chunk.hex()}".rstrip() for chunk in chunks]
    lines += [f"comment: {comment}", "", f"body: {body.hex()}".rstrip()]
    (FOLDER / f"{name}.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def main():
    for path in FOLDER.glob("*.txt"):
        path.unlink()
    for name, (chunks, comment) in GOOD.items():
        body = write(chunks)
        assert read(body) == chunks, name
        save(name, "ok", body, comment, chunks)
    for name, (body, comment) in BAD.items():
        try:
            read(body)
        except Refused as why:
            assert name.startswith(str(why)), (name, why)
            save(name, str(why), body, comment)
        else:
            raise AssertionError(f"{name} is a list")


main()
