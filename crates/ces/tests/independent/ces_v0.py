"""Independent implementation of the shards of the older implementation ("v0").

Written from docs/formats/ces.md, section "Shards of the older implementation", to be held against
the Rust crate. It makes shards as that implementation does, and reads them.

    python ces_v0.py vectors DIR   write the vector files into DIR and check them
    python ces_v0.py check DIR     check the vector files in DIR

It needs the packages `PyNaCl` and `zstandard`.
"""

import gzip
import hashlib
import itertools
import pathlib
import struct
import sys

import zstandard
from nacl import bindings
from nacl.exceptions import CryptoError

NONCE = 24
TAG = 16
ZSTD_MAGIC = bytes.fromhex("28b52ffd")
SETS_MAX = 5000
LIMIT = 1 << 30


class Refused(Exception):
    """Shards that give nothing back; `code` says why."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


# The field, from its polynomial


def times(a, b):
    product = 0
    while b:
        if b & 1:
            product ^= a
        a <<= 1
        if a & 0x100:
            a ^= 0x11D
        b >>= 1
    return product


TIMES = [bytes(times(a, b) for b in range(256)) for a in range(256)]
INVERSE = [0] + [TIMES[a].index(1) for a in range(1, 256)]


def power(base, exponent):
    result = 1
    for _ in range(exponent):
        result = TIMES[result][base]
    return result


def inverted(matrix):
    """Gauss-Jordan; the matrix is square and has an inverse."""
    size = len(matrix)
    rows = [row + [int(r == c) for c in range(size)] for r, row in enumerate(matrix)]
    for c in range(size):
        pivot = next(r for r in range(c, size) if rows[r][c])
        rows[c], rows[pivot] = rows[pivot], rows[c]
        by = INVERSE[rows[c][c]]
        rows[c] = [TIMES[by][cell] for cell in rows[c]]
        for r in range(size):
            if r != c and rows[r][c]:
                by = rows[r][c]
                rows[r] = [cell ^ TIMES[by][p] for cell, p in zip(rows[r], rows[c])]
    return [row[size:] for row in rows]


def product(left, right):
    columns = list(zip(*right))
    return [[dot(row, column) for column in columns] for row in left]


def dot(row, column):
    total = 0
    for a, b in zip(row, column):
        total ^= TIMES[a][b]
    return total


def coding_matrix(k, m):
    vandermonde = [[power(r, c) for c in range(k)] for r in range(k + m)]
    return product(vandermonde, inverted(vandermonde[:k]))


def combined(rows, pieces):
    """Each row times the pieces, byte by byte."""
    out = []
    for row in rows:
        total = 0
        for coefficient, piece in zip(row, pieces):
            total ^= int.from_bytes(piece.translate(TIMES[coefficient]), "big")
        out.append(total.to_bytes(len(pieces[0]), "big"))
    return out


# Shards


def sealed(key, nonce, body):
    box = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(body, b"", nonce, key)
    return struct.pack("<I", NONCE + len(box)) + nonce + box


def sharded(blob, k, m):
    row = -(-len(blob) // k)
    blob = blob.ljust(row * k, b"\0")
    data = [blob[i * row : (i + 1) * row] for i in range(k)]
    return combined(coding_matrix(k, m), data)


def reconstructed(shards, k, m, key, limit=LIMIT):
    if len(shards) > k + m:
        raise Refused("too-many")
    lengths = {}
    for index, shard in enumerate(shards):
        if shard is not None:
            lengths.setdefault(len(shard), []).append(index)
    if sum(map(len, lengths.values())) < k:
        raise Refused("not-enough")
    alike = sorted((i for i in lengths.values() if len(i) >= k), key=len, reverse=True)
    if not alike:
        raise Refused("lengths")
    matrix = coding_matrix(k, m)
    sets = itertools.chain.from_iterable(itertools.combinations(i, k) for i in alike)
    length_fits = False
    for chosen in itertools.islice(sets, SETS_MAX):
        data = combined(inverted([matrix[i] for i in chosen]), [shards[i] for i in chosen])
        blob = b"".join(data)
        if len(blob) < 4 + NONCE + TAG:
            continue
        (length,) = struct.unpack_from("<I", blob)
        if length < NONCE + TAG or -(-(4 + length) // k) != len(data[0]):
            continue
        length_fits = True
        nonce, box = blob[4 : 4 + NONCE], blob[4 + NONCE : 4 + length]
        try:
            body = bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(box, b"", nonce, key)
        except CryptoError:
            continue
        return plain(body, limit)
    raise Refused("not-ours" if length_fits else "length-field")


def plain(body, limit):
    if body.startswith(ZSTD_MAGIC):
        decompressor = zstandard.ZstdDecompressor().decompressobj()
        body = decompressor.decompress(body)
        assert decompressor.eof and not decompressor.unused_data
    if len(body) > limit:
        raise Refused("too-long")
    return body


# Vectors


def derived(name, label, length):
    return hashlib.shake_256(f"{name} {label}".encode()).digest(length)


def compressed(data, level=9):
    """A frame as the older implementation's: streamed, so that it does not say how long it is."""
    compressor = zstandard.ZstdCompressor(
        level=level, write_content_size=False, write_checksum=False
    ).compressobj()
    return compressor.compress(data) + compressor.flush()


TEXT = b"".join(b"line %d of a text that compresses well\n" % n for n in range(40))


def flipped(shard, at, bit=1):
    return shard[:at] + bytes([shard[at] ^ bit]) + shard[at + 1 :]


class Vector:
    def __init__(self, name, comment, expect, plain, body, k=8, m=4):
        self.name, self.comment, self.expect, self.k, self.m = name, comment, expect, k, m
        self.plain = plain
        self.limit = LIMIT
        self.key = derived(name, "key", 32)
        self.shards = sharded(sealed(self.key, derived(name, "nonce", NONCE), body), k, m)

    def text(self):
        lines = [
            f"expect: {self.expect}",
            f"data: {self.k}",
            f"parity: {self.m}",
            f"key: {self.key.hex()}",
            f"limit: {self.limit}",
        ]
        if self.expect == "ok":
            lines.append(f"plain-len: {len(self.plain)}")
            lines.append(f"plain-sha256: {hashlib.sha256(self.plain).hexdigest()}")
        lines += [f"comment: {self.comment}", ""]
        for index, shard in enumerate(self.shards):
            digits = None if shard is None else shard.hex()
            lines.append(f"shard {index}:" + (" missing" if digits is None else ""))
            lines += [digits[i : i + 96] for i in range(0, len(digits or ""), 96)]
        return "\n".join(lines) + "\n"


def vectors():
    frame = compressed(TEXT)
    zipped = gzip.compress(TEXT, mtime=0)

    def good(name, comment, plain=TEXT, body=frame, k=8, m=4):
        return Vector(name, comment, "ok", plain, body, k, m)

    def bad(name, expect, comment, k=8, m=4):
        return Vector(f"{expect}-{name}", comment, expect, TEXT, frame, k, m)

    yield good("ok-zstd", "A text, compressed, with all shards.")
    yield good("ok-gzip", "A gzip file, which was stored as it is and could not be read back.",
               zipped, zipped)
    yield good("ok-empty", "No plaintext: a frame without content.", b"", compressed(b""))
    yield good("ok-stored-empty", "No plaintext, and no frame either.", b"", b"")
    yield good("ok-one-row", "A binary, without parity, in one row.",
               bytes(range(256)) * 2, compressed(bytes(range(256)) * 2, 6), 1, 0)
    yield good("ok-short-rows", "Rows of 2 bytes: the length field stands in two of them.",
               b"PK\3\4", b"PK\3\4", 32, 16)
    yield good("ok-adaptive", "The smallest geometry that the adaptive configuration takes.",
               k=4, m=2)

    lost = good("ok-data-lost", "Data shard 3 is missing.")
    lost.shards[3] = None
    yield lost
    lost = good("ok-four-lost", "Two data shards and two parity shards are missing.")
    for index in (0, 7, 8, 11):
        lost.shards[index] = None
    yield lost
    lost = good("ok-parity-left-out", "Only the data shards, and no entries for the others.")
    del lost.shards[8:]
    yield lost

    damaged = good("ok-one-damaged", "One bit of data shard 5 is flipped.")
    damaged.shards[5] = flipped(damaged.shards[5], 9)
    yield damaged
    damaged = good("ok-length-damaged", "The length field in data shard 0 is damaged.")
    damaged.shards[0] = flipped(damaged.shards[0], 1, 0x80)
    yield damaged
    damaged = good("ok-four-damaged", "Three data shards and a parity shard have a flipped bit.")
    for index in (1, 2, 6, 9):
        damaged.shards[index] = flipped(damaged.shards[index], index)
    yield damaged
    damaged = good("ok-one-cut", "Data shard 2 has lost its last byte.")
    damaged.shards[2] = damaged.shards[2][:-1]
    yield damaged
    damaged = good("ok-foreign", "Parity shard 8 stands where data shard 4 should be.")
    damaged.shards[4] = damaged.shards[8]
    yield damaged

    wrong = bad("key", "not-ours", "The key is another one.")
    wrong.key = derived(wrong.name, "other key", 32)
    yield wrong
    wrong = bad("five-damaged", "not-ours", "Five shards have a flipped bit, one more than parity makes up for.")
    for index in (1, 2, 5, 6, 9):
        wrong.shards[index] = flipped(wrong.shards[index], index)
    yield wrong
    wrong = bad("no-spare", "not-ours", "One bit is flipped, and no spare is there.")
    wrong.shards[5] = flipped(wrong.shards[5], 9)
    del wrong.shards[8:]
    yield wrong
    wrong = bad("order", "not-ours", "Data shards 1 and 2 have changed places, and no spare is there.")
    wrong.shards[1], wrong.shards[2] = wrong.shards[2], wrong.shards[1]
    del wrong.shards[8:]
    yield wrong
    wrong = bad("tag", "not-ours", "The tag is that of a plaintext under additional data.", 1, 0)
    body = bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        frame, b"v0", derived(wrong.name, "nonce", NONCE), wrong.key
    )
    wrong.shards[0] = wrong.shards[0][: 4 + NONCE] + body
    yield wrong

    few = bad("seven-of-eight", "not-enough", "Five shards are missing.")
    for index in (0, 1, 2, 10, 11):
        few.shards[index] = None
    yield few
    few = bad("none", "not-enough", "There is no shard at all.")
    few.shards = []
    yield few
    many = bad("thirteen", "too-many", "A thirteenth shard.")
    many.shards.append(many.shards[0])
    yield many

    cut = bad("all-cut", "length-field", "Every shard has lost its last byte.")
    cut.shards = [shard[:-1] for shard in cut.shards]
    yield cut
    cut = bad("all-empty", "length-field", "Every shard is there, and empty.")
    cut.shards = [b""] * 12
    yield cut
    cut = bad("too-short", "length-field", "The rows together are a byte shorter than the length field, nonce and tag.", 1, 0)
    cut.shards[0] = struct.pack("<I", NONCE + TAG) + bytes(NONCE + TAG - 1)
    yield cut
    cut = bad("below-nonce-and-tag", "length-field", "The length field says 39: less than nonce and tag.", 1, 0)
    cut.shards[0] = struct.pack("<I", NONCE + TAG - 1) + bytes(NONCE + TAG)
    yield cut
    cut = bad("huge", "length-field", "The length field says 4 GiB.", 1, 0)
    cut.shards[0] = b"\xff" * 4 + cut.shards[0][4:]
    yield cut
    cut = bad("geometry", "length-field", "Eight of the shards of 8 + 4, read as 4 + 4.")
    cut.shards = cut.shards[:8]
    cut.k = 4
    yield cut
    cut = bad("big-endian", "length-field", "The length field is big-endian.", 1, 0)
    cut.shards[0] = cut.shards[0][3::-1] + cut.shards[0][4:]
    yield cut
    cut = bad("different", "lengths", "Five shards have lost a byte, so that too few are alike.")
    for index in range(5):
        cut.shards[index] = cut.shards[index][:-1]
    yield cut

    long = bad("zstd", "too-long", "The frame's content is a byte longer than the limit.")
    long.limit = len(TEXT) - 1
    yield long
    long = Vector("too-long-stored", "A gzip file that is a byte longer than the limit.", "too-long", zipped, zipped)
    long.limit = len(zipped) - 1
    yield long
    bomb = compressed(bytes(8 << 20), 19)
    long = Vector("too-long-bomb", "A frame of a few hundred bytes for 8 MiB.", "too-long", None, bomb, 3, 1)
    long.limit = 1 << 20
    yield long


def outcome(text):
    head, body = text.split("\n\n", 1)
    fields = dict(line.split(": ", 1) for line in head.splitlines())
    shards = []
    for line in body.splitlines():
        if line.startswith("shard "):
            shards.append(None if line.endswith("missing") else "")
        else:
            shards[-1] += line
    shards = [None if shard is None else bytes.fromhex(shard) for shard in shards]
    try:
        result = reconstructed(
            shards, int(fields["data"]), int(fields["parity"]),
            bytes.fromhex(fields["key"]), int(fields["limit"]),
        )
    except Refused as refused:
        return fields["expect"], refused.code
    assert len(result) == int(fields["plain-len"])
    assert hashlib.sha256(result).hexdigest() == fields["plain-sha256"]
    return fields["expect"], "ok"


def check(folder):
    files = sorted(folder.glob("*.txt"))
    for file in files:
        expected, got = outcome(file.read_text())
        assert expected == got, f"{file.name}: expected {expected}, got {got}"
        assert file.name.startswith(expected), file.name
    print(f"{len(files)} vectors are as they say")


def main():
    match sys.argv[1:]:
        case ["vectors", folder]:
            folder = pathlib.Path(folder)
            folder.mkdir(parents=True, exist_ok=True)
            for vector in vectors():
                (folder / f"{vector.name}.txt").write_text(vector.text())
            check(folder)
        case ["check", folder]:
            check(pathlib.Path(folder))
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main()
