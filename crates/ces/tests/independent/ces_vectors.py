"""Writes the vectors in testdata/vectors/ces, and checks them: see ces.py.

Every random value is the BLAKE3 hash of the vector's name and a label, so that the same program writes the same bytes.
"""

import json
import struct

import zstandard
from ces import BLOCK, FOOTER, HEADER, RECORD, Object, Wishes, b3, checked_header, mac, plain_of, read, u32, u64, write

KEY = b3(b"ces vectors: key")
OLD_KEY = b3(b"ces vectors: old key")
TEXT = "Any eight of twelve shards give it back, and nothing else does. "
FOLDER = None
MANIFEST = []


def noise(name, length, prefix=""):
    return {"kind": "noise", "name": name, "len": length, "prefix": prefix}


def text(length):
    return {"kind": "text", "text": TEXT, "len": length, "prefix": ""}


def made(name, **changes):
    """What an object is made of; the defaults are a small one with three shards."""
    base = {"cipher": 1, "k": 2, "m": 1, "segment_size": 65536, "label": "production", "level": None}
    base |= {"key": KEY.hex(), "data_key": b3(f"{name}: data key".encode()).hex()}
    base |= {"id": b3(f"{name}: id".encode())[:16].hex(), "nonces": name, "plain": noise(name, 100)}
    return base | changes


def save(name, index, shard):
    file = f"{name}.{index}.ces"
    (FOLDER / file).write_bytes(shard)
    return file


def vector(name, comment, files, verdicts, outcome, plain=None, digest=None, key=KEY, label="production", of=None):
    entry = {"name": name, "comment": comment, "key": key.hex(), "label": label, "shards": files}
    entry |= {"verdicts": verdicts, "object": outcome}
    if plain is not None:
        entry["plain"] = {"len": len(plain), "blake3": b3(plain).hex()}
    if digest is not None:
        entry["digest"] = digest.hex()
    if of is not None:
        entry["made"] = of
        if of["level"] is not None:
            entry["zstd"] = ".".join(map(str, zstandard.ZSTD_VERSION))
    MANIFEST.append(entry)


def object_of(of):
    names = ("cipher", "k", "m", "segment_size")
    return Object(*(of[name] for name in names), bytes.fromhex(of["id"]), of["label"].encode())


def digest_of(of, shards):
    return object_of(of).digest(shards[0][-FOOTER:-20])


def good(name, comment, **changes):
    """A whole object, and what a reader makes of it."""
    name = f"ok-{name}"
    of = made(name, **changes)
    shards = write(of)
    files = [save(name, index, shard) for index, shard in enumerate(shards)]
    plain = plain_of(of["plain"])
    vector(name, comment, files, ["ok"] * len(files), "ok", plain, digest_of(of, shards), label=of["label"], of=of)
    return of, shards, files


def write_good():
    for cipher, short in ((1, "xchacha"), (2, "gcm")):
        good(f"empty-1-0-{short}", "Nothing in one shard.", cipher=cipher, k=1, m=0, plain=noise("", 0))
        good(f"byte-8-4-{short}", "One byte in twelve shards.", cipher=cipher, k=8, m=4, plain=noise("byte", 1))
        good(f"short-8-4-{short}", "A thousand bytes that nothing compresses.", cipher=cipher, k=8, m=4, plain=noise("s", 1000))
        good(f"compressed-2-1-{short}", "A compressed segment.", cipher=cipher, level=3, plain=text(3000))
    good("no-label-1-1", "No label, and as much parity as data.", k=1, m=1, label="")
    good("long-label-3-5", "The longest label, and more parity than data.", k=3, m=5, label="abcdefghijklmnop.-_01234")
    good("zip-2-1", "What was compressed before is kept as it is.", level=19, plain=noise("zip", 500, b"PK\3\4".hex()))
    good("full-1-0", "A segment that is exactly full, compressed.", k=1, m=0, level=22, plain=text(65536))
    good("two-segments-1-0", "Two segments, the last of one byte.", cipher=2, k=1, m=0, plain=noise("two", 65537))
    good("larger-segments-4-2", "Segments of 128 KiB.", k=4, m=2, segment_size=131072, level=1, plain=text(131073))
    two_segments = good("two-segments-2-1", "Two compressed segments.", level=3, plain=text(65536 + 100))
    base = good("base", "The object that most bad ones are made of.")
    return base, two_segments


class Bad:
    """Makes bad vectors of an object, one shard or key at a time."""

    def __init__(self, of, shards, files):
        self.of, self.shards, self.files = of, shards, files
        self.plain, self.digest = plain_of(of["plain"]), digest_of(of, shards)
        self.object = object_of(of)
        self.entry = len(shards[0]) - len(shards[0][HEADER:])
        keys = self.object.keys(bytes.fromhex(of["data_key"]))
        self.payload_key, self.mac_key = keys

    def shard(self, name, comment, code, shard, index=1, **more):
        """One shard is bad: it is found, and the others give the object back."""
        files = list(self.files)
        files[index] = save(name, index, bytes(shard))
        verdicts = ["ok"] * len(files)
        verdicts[index] = code
        vector(name, comment, files, verdicts, "ok", self.plain, self.digest, **more)

    def edit(self, name, comment, code, at, data, index=1, fix=lambda shard: shard):
        shard = bytearray(self.shards[index])
        at = at if at >= 0 else len(shard) + at
        shard[at : at + len(data)] = data
        self.shard(name, comment, code, fix(shard), index)

    def flip(self, name, comment, code, at, fix=lambda shard: shard):
        self.edit(name, comment, code, at, bytes([self.shards[1][at] ^ 1]), fix=fix)

    def header(self, name, comment, code, at, data):
        """A header that was written wrong: its check matches."""
        self.edit(name, comment, code, at, data, fix=lambda s: checked_header(bytes(s[:104])) + s[120:])

    def trailer(self, name, comment, code, at, data):
        """A trailer that was written wrong: its check matches."""

        def fix(shard):
            covered = shard[-8 - FOOTER : -20]
            return shard[:-20] + b3(b"\4" + self.object.id + covered, 16) + b"SECP"

        self.edit(name, comment, code, at, data, fix=fix)

    def record(self, name, comment, code, at, data):
        """A record that was written wrong by someone with the key: its MAC matches."""

        def fix(shard):
            end = HEADER + RECORD
            return shard[: end - 32] + mac(self.mac_key, b"\0" + u32(0) + shard[HEADER : end - 32]) + shard[end:]

        self.edit(name, comment, code, HEADER + at, data, fix=fix)

    def whole(self, name, comment, code, outcome, wishes, has_plain=False, **changes):
        """An object whose writer has the key and is wrong."""
        of = self.of | changes
        shards = write(of, wishes)
        files = [save(name, index, shard) for index, shard in enumerate(shards)]
        plain = plain_of(of["plain"]) if has_plain else None
        digest = digest_of(of, shards) if code == "ok" else None
        vector(name, comment, files, [code] * len(files), outcome, plain, digest, label=of["label"])


def write_bad_headers(bad):
    bad.edit("header-magic", "Something else than a shard.", "magic", 0, b"PK\3\4")
    bad.header("header-version", "A later version.", "version", 7, b"\2")
    bad.header("header-cipher", "A cipher that there is not.", "cipher", 8, b"\3")
    bad.flip("header-check", "A flipped bit in the key id.", "check", 60)
    bad.flip("header-check-size", "A flipped bit in the segment size is damage.", "check", 14)
    bad.header("header-no-data", "No data pieces.", "geometry", 9, b"\0")
    bad.header("header-much-data", "129 data pieces.", "geometry", 9, b"\x81")
    bad.header("header-much-parity", "129 parity pieces.", "geometry", 10, b"\x81")
    bad.header("header-index", "Shard 3 of 3.", "index", 11, b"\3")
    for name, size in {"small": 32768, "large": 1 << 24, "odd": 65537}.items():
        bad.header(f"header-size-{name}", f"Segments of {size} bytes.", "segment-size", 12, u32(size))
    bad.header("header-label-upper", "A label in upper case.", "label-field", 32, b"P")
    bad.header("header-label-gap", "A label with a zero inside.", "label-field", 34, b"\0")
    bad.shard("header-cut", "A shard that ends inside its header.", "cut-header", bad.shards[1][:119])
    bad.shard("header-cut-magic", "A shard that ends inside its magic.", "cut-header", bad.shards[1][:3])


def write_bad_records(bad):
    fields = {"flags": 0, "plain": 4, "sealed": 8, "nonce": 9, "root": 33, "mac": 96}
    for name, at in fields.items():
        bad.flip(f"record-{name}-flipped", "A flipped bit in a record is damage.", "record-mac", HEADER + at)
    bad.record("record-flags", "A flag that is not defined.", "record-flags", 0, b"\6")
    bad.record("record-sealed-short", "A sealed length below 16.", "record-sealed-length", 5, u32(15))
    bad.record("record-sealed-long", "A sealed length above what a segment has.", "record-sealed-length", 5, u32(65553))
    bad.record("record-plain", "Another length than the sealed one says.", "record-plain-length", 1, u32(101))
    bad.record("record-plain-long", "More plaintext than a segment carries.", "record-plain-length", 0, b"\3" + u32(65537))
    bad.record("record-not-last", "A short segment that is not the last one.", "record-plain-length", 0, b"\0")
    path = HEADER + RECORD
    bad.flip("path-flipped", "A flipped bit in a path.", "piece", path + 40)
    swapped = bad.shards[1][path + 32 : path + 64] + bad.shards[1][path : path + 32]
    bad.edit("path-swapped", "A path from the root to the leaf.", "piece", path, swapped)
    bad.flip("piece-first", "A flipped bit in the first byte of a piece.", "piece", path + 64)
    bad.flip("piece-last", "A flipped bit in the last byte of a piece.", "piece", path + 64 + 57)


def write_bad_ends(bad):
    shard, block = bad.shards[1], HEADER + RECORD + 64 + 58
    bad.flip("index-flipped", "A flipped bit in an index block.", "index-check", block + 3)
    bad.flip("index-check", "A flipped bit in an index block's check.", "index-check", block + 10)
    lies = bad.object.index_block(0, [118])
    bad.edit("index-lies", "An index block with another length.", "index-place", block, lies)
    lies = bad.object.index_block(0, [65553])
    bad.edit("index-long", "An index block with a length that no segment has.", "index-sealed-length", block, lies)
    other = bad.object.index_block(1, [116])
    bad.edit("index-number", "The block of another place.", "index-check", block, other)
    bad.flip("trailer-flipped", "A flipped bit in an offset.", "trailer-check", block + 20)
    bad.edit("trailer-check", "A flipped bit in the check.", "trailer-check", -5, bytes([shard[-5] ^ 1]))
    bad.edit("trailer-end", "Another end.", "end", -4, b"PCES")
    bad.trailer("trailer-offset", "An offset that is one too large.", "trailer-offset", -104, u64(block + 1))
    bad.trailer("trailer-count", "As many segments as two blocks hold.", "trailer-length", -96, u32(1024))
    bad.trailer("trailer-count-forged", "One segment more: no room for it.", "trailer-offset", -96, u32(1000))
    bad.trailer("trailer-plain", "More plaintext than a segment carries.", "trailer-plain-length", -92, u64(65537))
    bad.trailer("footer-plain", "One byte of plaintext more.", "footer-mac", -92, u64(101))
    bad.trailer("footer-root", "Another root.", "footer-mac", -84, bytes(32))
    bad.trailer("footer-mac", "Another MAC.", "footer-mac", -52, bytes(32))
    bad.shard("cut-end", "A byte is missing at the end.", "end", shard[:-1])
    bad.shard("cut-trailer", "Half a trailer.", "trailer-length", shard[:-60])
    bad.shard("cut-index", "Half an index block.", "cut", shard[: block + 8])
    bad.shard("cut-piece", "Half a piece.", "cut", shard[: block - 30])
    bad.shard("cut-path", "Half a path.", "cut", shard[: HEADER + RECORD + 10])
    bad.shard("cut-record", "Half a record.", "cut", shard[: HEADER + 50])
    bad.shard("cut-segments", "A header and nothing else.", "cut", shard[:HEADER])
    bad.shard("appended", "A byte too many.", "end", shard + b"\0")


def write_bad_places(bad, two):
    """Whole parts at places where they do not belong."""
    other = made("other")
    foreign = write(other)
    bad.shard("foreign", "A shard of another object under the same key.", "foreign", foreign[1])
    header, body = bad.shards[1][:HEADER], bad.shards[0][HEADER:]
    bad.shard("swapped", "The pieces of shard 0 in shard 1.", "piece", header + body)
    entry = two.object.entry_len(struct.unpack(">I", two.shards[1][HEADER + 5 : HEADER + 9])[0])
    first, rest = two.shards[1][HEADER : HEADER + entry], two.shards[1][HEADER + entry :]
    second_len = two.object.entry_len(struct.unpack(">I", rest[5:9])[0])
    second, end = rest[:second_len], rest[second_len:]
    header = two.shards[1][:HEADER]
    two.shard("reordered", "Two segments in another order.", "record-mac", header + second + first + end)
    two.shard("dropped", "A segment is missing.", "record-mac", header + first + end)
    two.shard("twice", "A segment is there twice.", "record-mac", header + first + first + second + end)
    moved = bytes([first[0] | 2]) + first[1:] + bytes([second[0] & ~2]) + second[1:]
    two.shard("last-moved", "The last flag on the first segment.", "record-mac", header + moved + end)

    def last_first(s, covered):
        return bytes([covered[0] ^ 2]) + covered[1:]

    def shorter(covered):
        return u32(0) + covered[4:]

    early = "A writer with the key says that the first segment is the last one."
    two.whole("last-early", early, "index-check", "sealed", Wishes(record=last_first))
    two.whole("footer-count", "A footer with the key counts one segment.", "trailer-offset", "ok", Wishes(named=shorter), has_plain=True)


def write_bad_objects(bad):
    """What no shard alone is wrong with, or all of them are."""
    vector("label-other", "A reader that expects another label.", bad.files, ["ok"] * 3, "label", label="test")
    vector("key-other", "A reader with another key.", bad.files, ["ok"] * 3, "key", key=OLD_KEY)
    vector("label-any", "A reader that expects no label.", bad.files, ["ok"] * 3, "ok", bad.plain, bad.digest, label=None)
    at = HEADER + RECORD + 64
    files = [save("lost", i, s[:at] + b"lost" + s[at + 4 :]) for i, s in enumerate(bad.shards[:2])]
    vector("lost", "Two of three pieces are damaged.", [*files, bad.files[2]], ["piece", "piece", "ok"], "lost 0", digest=bad.digest)
    no_shard = [save("no-shard", 0, b"PK\3\4")]
    vector("no-shard", "Something else than an object.", no_shard, ["magic"], "no-shard")
    files = [bad.files[0], None, None]
    vector("lost-shards", "Two of three shards are missing.", files, ["ok", "missing", "missing"], "lost 0", digest=bad.digest)
    for index in range(3):
        files = [None if i == index else file for i, file in enumerate(bad.files)]
        verdicts = ["missing" if i == index else "ok" for i in range(3)]
        vector(f"ok-without-{index}", "One of three shards is missing.", files, verdicts, "ok", bad.plain, bad.digest)
    wrong = Object(**vars(bad.object) | {"label": b"test"})
    other = [checked_header(s[:32] + b"test".ljust(24, b"\0") + s[56:104]) + s[120:] for s in bad.shards]
    files = [save("label-changed", index, shard) for index, shard in enumerate(other)]
    assert wrong.header != bad.object.header
    vector("label-changed", "Another label written over the object's.", files, ["ok"] * 3, "key", label="test")
    old = bad.object.header_of(0, OLD_KEY, bytes.fromhex(bad.of["data_key"])) + bad.shards[0][HEADER:]
    files = [save("ok-rotating", 0, old), *bad.files[1:]]
    for name, key in (("ok-rotating-new", KEY), ("ok-rotating-old", OLD_KEY)):
        vector(name, "A rotation that was interrupted.", files, ["ok"] * 3, "ok", bad.plain, bad.digest, key=key)


def write_wrong_writers(bad):
    """Objects that nobody changed, and that were written wrong."""
    frame = zstandard.ZstdCompressor(level=3).compress
    short, long = frame(TEXT.encode() * 10), frame(TEXT.encode() * 11)
    ten = {"kind": "text", "text": TEXT, "len": 640, "prefix": ""}
    halves = frame(TEXT.encode() * 5) * 2
    whole = {"k": 1, "m": 0, "level": 3, "plain": ten}
    bad.whole("frame-long", "A frame that gives more.", "ok", "compressed", Wishes(body=lambda s, body: long), **whole)
    bad.whole("frame-short", "A frame that ends early.", "ok", "compressed", Wishes(body=lambda s, body: short[:-3]), **whole)
    bad.whole("frame-two", "Two frames.", "ok", "compressed", Wishes(body=lambda s, body: halves), **whole)
    bad.whole("frame-none", "No frame.", "ok", "compressed", Wishes(body=lambda s, body: bytes(60)), **whole)
    flipped = Wishes(sealed=lambda s, padded: bytes([padded[0] ^ 1]) + padded[1:])
    bad.whole("sealed", "A ciphertext that was changed before it was coded.", "ok", "sealed", flipped)
    padded = Wishes(sealed=lambda s, padded: padded[:-1] + b"\1")
    bad.whole("padding", "Padding that is not zero.", "ok", "padding", padded, plain=noise("padding", 101))
    long_nonce = Wishes(record=lambda s, covered: covered[:32] + b"\1" + covered[33:])
    bad.whole("nonce", "A nonce of AES-256-GCM with 13 bytes.", "record-nonce", "lost 0", long_nonce, cipher=2)
    root = Wishes(root=lambda root: bytes(32))
    bad.whole("root", "A footer that vouches for other records.", "root", "ok", root, has_plain=True)


def write_all(folder):
    global FOLDER
    FOLDER = folder
    for file in folder.glob("*.ces"):
        file.unlink()
    base, two = (Bad(*parts) for parts in write_good())
    write_bad_headers(base)
    write_bad_records(base)
    write_bad_ends(base)
    write_bad_places(base, two)
    write_bad_objects(base)
    write_wrong_writers(base)
    manifest = json.dumps({"vectors": MANIFEST}, indent=1) + "\n"
    (folder / "manifest.json").write_text(manifest, encoding="utf-8")


def check_all(folder):
    """Every vector is read as the manifest says, and every file is in the manifest."""
    vectors = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["vectors"]
    wrong, seen = [], set()
    for entry in vectors:
        seen |= {file for file in entry["shards"] if file}
        shards = [file and (folder / file).read_bytes() for file in entry["shards"]]
        found = read(shards, bytes.fromhex(entry["key"]), entry["label"])
        expected = {name: entry[name] for name in ("verdicts", "object", "plain", "digest") if name in entry}
        if found != expected:
            wrong.append(f"{entry['name']}: expected {expected}, found {found}")
        if "made" in entry and write(entry["made"]) != shards:
            wrong.append(f"{entry['name']}: written again it has other bytes")
    unknown = {file.name for file in folder.glob("*.ces")} - seen
    wrong += [f"{file}: not in the manifest" for file in sorted(unknown)]
    assert not wrong, "\n".join(wrong)
    print(f"{len(vectors)} vectors, {len(seen)} files")
