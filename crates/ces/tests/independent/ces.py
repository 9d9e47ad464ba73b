"""Independent implementation of CES objects, version 1.

Written from docs/formats/ces.md alone, to be held against the Rust crate.

    python ces.py               answer JSON lines from stdin on stdout
    python ces.py vectors DIR   write the vectors into DIR and check them
    python ces.py check DIR     check the vectors in DIR

A request is {"op":"read","shards":[hex or null],"key":hex,"label":text or null} or
{"op":"write", and the members of "made" in testdata/vectors/ces/manifest.json}.
An answer is {"shards":[hex]}, or what the vectors call "verdicts", "object", "plain" and "digest".
"""

import json
import pathlib
import sys
from dataclasses import dataclass

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap
from nacl.bindings import (
    crypto_aead_xchacha20poly1305_ietf_decrypt,
    crypto_aead_xchacha20poly1305_ietf_encrypt,
)
from nacl.exceptions import CryptoError

MAGIC = b"PRPLCES"
HEADER, RECORD, FOOTER, BLOCK = 120, 97, 96, 1024
SEGMENT_SIZES = [1 << shift for shift in range(16, 24)]
LABEL = b"abcdefghijklmnopqrstuvwxyz0123456789._-"
COMPRESSED, LAST = 1, 2


class Wrong(Exception):
    """Something that is refused; `code` says what."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def demand(holds, code):
    if not holds:
        raise Wrong(code)


# Primitives


def u32(value):
    return value.to_bytes(4, "big")


def u64(value):
    return value.to_bytes(8, "big")


def number(data):
    return int.from_bytes(data, "big")


def b3(data, length=32):
    return blake3(data).digest(length)


def mac(key, data):
    return blake3(data, key=key).digest()


def hkdf(ikm, salt, info, length=32):
    return HKDF(SHA256(), length, salt or bytes(32), info).derive(ikm)


def seal(cipher, key, nonce, aad, body):
    if cipher == 1:
        return crypto_aead_xchacha20poly1305_ietf_encrypt(body, aad, nonce, key)
    return AESGCM(key).encrypt(nonce[:12], body, aad)


def unseal(cipher, key, nonce, aad, sealed):
    try:
        if cipher == 1:
            return crypto_aead_xchacha20poly1305_ietf_decrypt(sealed, aad, nonce, key)
        return AESGCM(key).decrypt(nonce[:12], sealed, aad)
    except (CryptoError, InvalidTag):
        raise Wrong("sealed") from None


def decompress(frame, length):
    try:
        demand(zstandard.frame_content_size(frame) in (-1, length), "compressed")
        stream = zstandard.ZstdDecompressor().decompressobj()
        plain = b""
        for byte in frame:
            demand(not stream.eof, "compressed")
            plain += stream.decompress(bytes([byte]))
            demand(len(plain) <= length, "compressed")
        demand(stream.eof and len(plain) == length, "compressed")
        return plain
    except zstandard.ZstdError:
        raise Wrong("compressed") from None


# Coding

EXP = [1]
while len(EXP) < 255:
    EXP.append(EXP[-1] << 1 ^ (0x11D if EXP[-1] & 0x80 else 0))
LOG = {value: power for power, value in enumerate(EXP)}


def times(a, b):
    return EXP[(LOG[a] + LOG[b]) % 255] if a and b else 0


def inverse(a):
    return EXP[-LOG[a] % 255]


def power(base, exponent):
    value = 1
    for _ in range(exponent):
        value = times(value, base)
    return value


def dot(row, columns):
    result = 0
    for factor, value in zip(row, columns):
        result ^= times(factor, value)
    return result


def product(left, right):
    return [[dot(row, column) for column in zip(*right)] for row in left]


def inverted(matrix):
    size = len(matrix)
    rows = [[*row, *(int(i == j) for j in range(size))] for i, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(row for row in range(column, size) if rows[row][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        scale = inverse(rows[column][column])
        rows[column] = [times(scale, value) for value in rows[column]]
        for row in range(size):
            factor = rows[row][column]
            if row != column and factor:
                rows[row] = [a ^ times(factor, b) for a, b in zip(rows[row], rows[column])]
    return [row[size:] for row in rows]


MATRICES = {}


def coding_matrix(k, m):
    if (k, m) not in MATRICES:
        vandermonde = [[power(row, column) for column in range(k)] for row in range(k + m)]
        MATRICES[k, m] = product(vandermonde, inverted(vandermonde[:k]))
    return MATRICES[k, m]


TABLES = {}


def combine(row, pieces):
    total = 0
    for factor, piece in zip(row, pieces):
        if factor not in TABLES:
            TABLES[factor] = bytes(times(factor, value) for value in range(256))
        total ^= number(piece.translate(TABLES[factor]))
    return total.to_bytes(len(pieces[0]), "big")


# Objects


@dataclass(frozen=True)
class Object:
    """What all shards have in common."""

    cipher: int
    k: int
    m: int
    segment_size: int
    id: bytes
    label: bytes

    @property
    def pieces(self):
        return self.k + self.m

    @property
    def depth(self):
        return (self.pieces - 1).bit_length()

    @property
    def parts(self):
        front = MAGIC + bytes([1, self.cipher, self.k, self.m])
        return front, u32(self.segment_size) + self.id + self.label.ljust(24, b"\0")

    @property
    def header(self):
        return b"".join(self.parts)

    def header_of(self, index, key, data_key):
        front, rest = self.parts
        wrapped = aes_key_wrap(self.wrap_key(key), data_key)
        return checked_header(front + bytes([index]) + rest + key_id(key) + wrapped)

    def wrap_key(self, key):
        return hkdf(key, self.id, b"propeller ces v1 wrap" + self.header)

    def keys(self, data_key):
        names = [b"propeller ces v1 payload", b"propeller ces v1 mac"]
        return [hkdf(data_key, self.id, name + self.header) for name in names]

    def piece_len(self, sealed_len):
        return -(-sealed_len // self.k)

    def entry_len(self, sealed_len):
        return RECORD + 32 * self.depth + self.piece_len(sealed_len)

    def leaf(self, s, index, piece):
        return b3(b"\1" + self.id + u32(s) + bytes([index]) + b3(piece))

    def index_block(self, block, lengths):
        lengths = b"".join(map(u32, lengths))
        return lengths + b3(b"\3" + self.id + u32(block) + lengths, 16)

    def trailer(self, offsets, named):
        covered = b"".join(map(u64, offsets)) + named
        return covered + b3(b"\4" + self.id + covered, 16) + b"SECP"

    def digest(self, named):
        return b3(b"\7" + self.header + named)


def key_id(key):
    return hkdf(key, b"", b"propeller ces key id v1", 8)


def checked_header(covered):
    return covered + b3(b"\0" + covered, 16)


def levels(leaves, depth):
    rows = [leaves + [bytes(32)] * (2**depth - len(leaves))]
    while len(rows[-1]) > 1:
        pairs = zip(rows[-1][::2], rows[-1][1::2])
        rows.append([b3(b"\2" + left + right) for left, right in pairs])
    return rows


def path_of(rows, index):
    return b"".join(row[index >> level ^ 1] for level, row in enumerate(rows[:-1]))


def climb(leaf, index, path):
    for at in range(0, len(path), 32):
        sibling = path[at : at + 32]
        leaf = b3(b"\2" + (sibling + leaf if index & 1 else leaf + sibling))
        index >>= 1
    return leaf


def segments_root(records):
    def tree(hashes):
        if len(hashes) == 1:
            return hashes[0]
        split = 1 << (len(hashes) - 1).bit_length() - 1
        return b3(b"\6" + tree(hashes[:split]) + tree(hashes[split:]))

    return tree([b3(b"\5" + u32(s) + record) for s, record in enumerate(records)])


# Writing


@dataclass
class Wishes:
    """How a wrong writer who has the key does it; a right one has none."""

    record: object = lambda s, covered: covered
    body: object = lambda s, body: body
    sealed: object = lambda s, padded: padded
    named: object = lambda covered: covered
    root: object = lambda root: root


def write(made, wishes=Wishes()):
    """The shards of an object, from what the manifest says about it."""
    hexes = {name: bytes.fromhex(made[name]) for name in ("key", "data_key", "id")}
    o = Object(*(made[name] for name in ("cipher", "k", "m", "segment_size")), hexes["id"], made["label"].encode())
    payload_key, mac_key = o.keys(hexes["data_key"])
    plain = plain_of(made["plain"])
    size = o.segment_size
    cuts = [plain[at : at + size] for at in range(0, len(plain), size)] or [b""]
    shards = [o.header_of(index, hexes["key"], hexes["data_key"]) for index in range(o.pieces)]
    records, lengths, offsets = [], [], []
    for s, cut in enumerate(cuts):
        body, flags = cut, LAST if s == len(cuts) - 1 else 0
        if made["level"] is not None:
            frame = zstandard.ZstdCompressor(level=made["level"]).compress(cut)
            if len(frame) < len(cut):
                body, flags = frame, flags | COMPRESSED
        body = wishes.body(s, body)
        nonce = b3(made["nonces"].encode() + u32(s), 24)
        nonce = nonce if o.cipher == 1 else nonce[:12] + bytes(12)
        front = bytes([flags]) + u32(len(cut))
        sealed = seal(o.cipher, payload_key, nonce, u32(s) + front, body)
        step = o.piece_len(len(sealed))
        padded = wishes.sealed(s, sealed.ljust(step * o.k, b"\0"))
        data = [padded[at : at + step] for at in range(0, step * o.k, step)]
        pieces = [combine(row, data) for row in coding_matrix(o.k, o.m)]
        rows = levels([o.leaf(s, i, piece) for i, piece in enumerate(pieces)], o.depth)
        covered = wishes.record(s, front + u32(len(sealed)) + nonce + rows[-1][0])
        records.append(covered + mac(mac_key, b"\0" + u32(s) + covered))
        lengths.append(len(sealed))
        entries = [records[-1] + path_of(rows, i) + piece for i, piece in enumerate(pieces)]
        if s % BLOCK == BLOCK - 1 or s == len(cuts) - 1:
            offsets.append(len(shards[0]) + len(entries[0]))
            block = o.index_block(s // BLOCK, lengths[s // BLOCK * BLOCK :])
            entries = [entry + block for entry in entries]
        shards = [shard + entry for shard, entry in zip(shards, entries)]
    covered = u32(len(cuts) - 1) + u64(len(plain)) + wishes.root(segments_root(records))
    covered = wishes.named(covered)
    trailer = o.trailer(offsets, covered + mac(mac_key, b"\1" + covered))
    return [shard + trailer for shard in shards]


def plain_of(spec):
    """Plaintext is made: from its name by BLAKE3, or by repeating a sentence."""
    prefix = bytes.fromhex(spec.get("prefix", ""))
    if spec["kind"] == "noise":
        return prefix + b3(spec["name"].encode(), spec["len"]) if spec["len"] else prefix
    text = spec["text"].encode()
    return prefix + (text * (spec["len"] // len(text) + 1))[: spec["len"]]


# Reading


@dataclass
class Header:
    """The header of one shard."""

    object: Object
    index: int
    key_id: bytes
    wrapped: bytes


def read_header(shard):
    demand(MAGIC.startswith(shard[:7]), "magic")
    demand(shard[7:8] in (b"", b"\1"), "version")
    demand(len(shard) >= HEADER, "cut-header")
    cipher, k, m, index = shard[8:12]
    demand(cipher in (1, 2), "cipher")
    demand(checked_header(shard[:104]) == shard[:120], "check")
    demand(1 <= k <= 128 and m <= 128, "geometry")
    demand(index < k + m, "index")
    demand(number(shard[12:16]) in SEGMENT_SIZES, "segment-size")
    label = shard[32:56].rstrip(b"\0")
    demand(all(byte in LABEL for byte in label), "label-field")
    o = Object(cipher, k, m, number(shard[12:16]), shard[16:32], label)
    return Header(o, index, shard[56:64], shard[64:104])


@dataclass
class Record:
    """A record that is believed."""

    raw: bytes
    s: int
    flags: int = 0
    plain_len: int = 0
    sealed_len: int = 0
    nonce: bytes = b""
    root: bytes = b""


def read_record(raw, s, o, mac_key):
    demand(len(raw) == RECORD, "cut")
    demand(mac(mac_key, b"\0" + u32(s) + raw[:65]) == raw[65:], "record-mac")
    r = Record(raw, s, raw[0], number(raw[1:5]), number(raw[5:9]), raw[9:33], raw[33:65])
    demand(r.flags & ~(COMPRESSED | LAST) == 0, "record-flags")
    demand(o.cipher == 1 or r.nonce[12:] == bytes(12), "record-nonce")
    demand(16 <= r.sealed_len <= o.segment_size + 16, "record-sealed-length")
    body = r.sealed_len - 16
    fits_body = body < r.plain_len if r.flags & COMPRESSED else body == r.plain_len
    full = r.plain_len == o.segment_size
    fits_place = full or (r.flags & LAST and r.plain_len < o.segment_size and (r.plain_len or not s))
    demand(fits_body and fits_place, "record-plain-length")
    return r


def read_piece(shard, at, index, r, o):
    path_end = at + RECORD + 32 * o.depth
    path, piece = shard[at + RECORD : path_end], shard[path_end : at + o.entry_len(r.sealed_len)]
    demand(len(piece) == o.piece_len(r.sealed_len), "cut")
    demand(climb(o.leaf(r.s, index, piece), index, path) == r.root, "piece")
    return piece


def read_block(shard, at, block, lengths, o):
    expected = o.index_block(block, lengths)
    found = shard[at : at + len(expected)]
    demand(len(found) == len(expected), "cut")
    demand(found[-16:] == b3(b"\3" + o.id + u32(block) + found[:-16], 16), "index-check")
    told = [number(found[i : i + 4]) for i in range(0, len(found) - 16, 4)]
    demand(all(16 <= length <= o.segment_size + 16 for length in told), "index-sealed-length")
    demand(told == lengths, "index-place")
    return at + len(expected)


def judge(shard, header, mac_key):
    """The first thing that is wrong with a shard, from its front to its end; the footer if none is."""
    o, at, records, offsets = header.object, HEADER, [], []
    while not records or not records[-1].flags & LAST:
        s = len(records)
        r = read_record(shard[at : at + RECORD], s, o, mac_key)
        read_piece(shard, at, header.index, r, o)
        records.append(r)
        at += o.entry_len(r.sealed_len)
        if s % BLOCK == BLOCK - 1 or r.flags & LAST:
            offsets.append(at)
            lengths = [r.sealed_len for r in records[s // BLOCK * BLOCK :]]
            at = read_block(shard, at, s // BLOCK, lengths, o)
    trailer = shard[at:]
    demand(len(trailer) >= FOOTER, "trailer-length")
    demand(trailer.endswith(b"SECP"), "end")
    named = trailer[-FOOTER:-20]
    count, plain_len = number(named[:4]) + 1, number(named[4:12])
    demand(len(trailer) == 8 * -(-count // BLOCK) + FOOTER, "trailer-length")
    demand(trailer[-20:-4] == b3(b"\4" + o.id + trailer[:-20], 16), "trailer-check")
    found = [number(trailer[i : i + 8]) for i in range(0, len(trailer) - FOOTER, 8)]
    demand(found == offsets and end_of(found, count, o) == at, "trailer-offset")
    least = (count - 1) * o.segment_size + (count > 1)
    demand(least <= plain_len <= count * o.segment_size, "trailer-plain-length")
    demand(mac(mac_key, b"\1" + named[:44]) == named[44:], "footer-mac")
    demand(named[12:44] == segments_root([r.raw for r in records]), "root")
    demand(count == len(records) and plain_len == sum(r.plain_len for r in records), "root")
    return named


def end_of(offsets, count, o):
    """Where the trailer has to begin, if every index block leaves room for the segments before it."""
    end = HEADER
    for block, offset in enumerate(offsets):
        segments = min(BLOCK, count - block * BLOCK)
        if not segments * o.entry_len(16) <= offset - end <= segments * o.entry_len(o.segment_size + 16):
            return None
        end = offset + 4 * segments + 16
    return end


def open_segment(r, pieces, o, payload_key):
    demand(len(pieces) >= o.k, f"lost {r.s}")
    chosen = sorted(pieces)[: o.k]
    rows = inverted([coding_matrix(o.k, o.m)[i] for i in chosen])
    data = [pieces[j] if j in pieces else combine(rows[j], [pieces[i] for i in chosen]) for j in range(o.k)]
    padded = b"".join(data)
    demand(not any(padded[r.sealed_len :]), "padding")
    aad = u32(r.s) + r.raw[:5]
    body = unseal(o.cipher, payload_key, r.nonce, aad, padded[: r.sealed_len])
    return decompress(body, r.plain_len) if r.flags & COMPRESSED else body


def recover(shards, o, payload_key, mac_key):
    """The plaintext, from whatever is good in each shard: (header, bytes) of those that are left."""
    plain, at, s, last = [], HEADER, 0, 0
    while not last:
        records = [attempt(read_record, shard[at : at + RECORD], s, o, mac_key) for _, shard in shards]
        r = next((r for r in records if isinstance(r, Record)), None)
        demand(r, f"lost {s}")
        pieces = {}
        for header, shard in shards:
            piece = attempt(read_piece, shard, at, header.index, r, o)
            if isinstance(piece, bytes):
                pieces[header.index] = piece
        plain.append(open_segment(r, pieces, o, payload_key))
        at, s, last = at + o.entry_len(r.sealed_len), s + 1, r.flags & LAST
        if s % BLOCK == 0 or last:
            at += 4 * ((s - 1) % BLOCK + 1) + 16
    return b"".join(plain)


def attempt(function, *arguments):
    try:
        return function(*arguments)
    except Wrong as wrong:
        return wrong


def unwrapped(headers, key):
    for header in headers:
        try:
            return aes_key_unwrap(header.object.wrap_key(key), header.wrapped)
        except InvalidUnwrap:
            pass
    raise Wrong("key")


def read(shards, key, label):
    """What the manifest calls verdicts, object, plain and digest; None stands for a missing shard."""
    headers = [shard if shard is None else attempt(read_header, shard) for shard in shards]
    good = [header for header in headers if isinstance(header, Header)]
    objects = [header.object for header in good]
    if not good:
        return {"verdicts": [verdict(header) for header in headers], "object": "no-shard"}
    o = max(objects, key=lambda o: (objects.count(o), -objects.index(o)))
    headers = [Wrong("foreign") if isinstance(h, Header) and h.object != o else h for h in headers]
    left = [(h, shard) for h, shard in zip(headers, shards) if isinstance(h, Header)]
    if label is not None and label.encode() != o.label:
        return {"verdicts": [verdict(header) for header in headers], "object": "label"}
    data_key = attempt(unwrapped, [header for header, _ in left], key)
    if isinstance(data_key, Wrong):
        return {"verdicts": [verdict(header) for header in headers], "object": "key"}
    payload_key, mac_key = o.keys(data_key)
    judged = [attempt(judge, s, h, mac_key) if isinstance(h, Header) else h for h, s in zip(headers, shards)]
    plain = attempt(recover, left, o, payload_key, mac_key)
    answer = {"verdicts": [verdict(footer) for footer in judged], "object": verdict(plain)}
    if isinstance(plain, bytes):
        answer["plain"] = {"len": len(plain), "blake3": b3(plain).hex()}
    footer = next((footer for footer in judged if isinstance(footer, bytes)), None)
    return answer | ({"digest": o.digest(footer).hex()} if footer else {})


def verdict(found):
    return "missing" if found is None else found.code if isinstance(found, Wrong) else "ok"


# Requests


def answer(request):
    if request["op"] == "write":
        return {"shards": [shard.hex() for shard in write(request)]}
    shards = [shard if shard is None else bytes.fromhex(shard) for shard in request["shards"]]
    return read(shards, bytes.fromhex(request["key"]), request["label"])


def main(arguments):
    if not arguments:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), flush=True)
        return
    import ces_vectors

    command, folder = arguments
    if command == "vectors":
        ces_vectors.write_all(pathlib.Path(folder))
    ces_vectors.check_all(pathlib.Path(folder))


if __name__ == "__main__":
    main(sys.argv[1:])
