"""Independent implementation of the envelope format, version 1.

Written from docs/formats/envelope.md alone, to be held against the Rust crate.

    python envelope.py               answer JSON lines from stdin on stdout
    python envelope.py vectors DIR   write the vector files into DIR and check them
    python envelope.py check DIR     check the vector files in DIR

A request is {"op":"open","keys":[hex],"context":{},"sealed":hex} or
{"op":"seal","key":hex,"context":{},"plain":hex} with optional "content_key",
"salt" and "nonce_prefix" in hex, which are random when absent.
An answer is {"ok":hex} or {"error":"malformed"|"version"|"not_ours"|"payload"};
{"error":"request"} means that the request itself could not be understood.
"""

import hashlib
import hmac
import json
import os
import pathlib
import struct
import sys
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

MAGIC = b"PRPLENV"
VERSION = 1
MAX_STANZAS = 8
MAX_BODY = 1024
SHARED_KEY = 1
SHARED_KEY_BODY = 88
NONCE_PREFIX = 7
MAC = 32
CHUNK = 65536
TAG = 16


class EnvelopeError(Exception):
    """An envelope that does not open; `code` is what the outside may learn."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


# Primitives


def u8(value):
    return struct.pack(">B", value)


def u16(value):
    return struct.pack(">H", value)


def u32(value):
    return struct.pack(">I", value)


def u64(value):
    return struct.pack(">Q", value)


def hkdf(ikm, salt, info, length):
    return HKDF(SHA256(), length, salt or bytes(32), info).derive(ikm)


def hmac_sha256(key, data):
    return hmac.digest(key, data, "sha256")


def gcm_seal(key, nonce, aad, plain):
    return AESGCM(key).encrypt(nonce, plain, aad)


def gcm_open(key, nonce, aad, sealed):
    """The plaintext, or None when the tag does not match."""
    if len(sealed) < TAG:
        return None
    try:
        return AESGCM(key).decrypt(nonce, sealed, aad)
    except InvalidTag:
        return None


# Context and keys


def exactly(hex_digits, length):
    data = bytes.fromhex(hex_digits)
    if len(data) != length:
        raise ValueError(f"expected {length} bytes, got {len(data)}")
    return data


def context_fields(context):
    """The kind number and the fields of a context given as JSON."""
    kind = context["kind"]
    if kind == "module":
        return 1, [context["tenant"].encode(), exactly(context["digest"], 32)]
    if kind == "input":
        return 2, [context["tenant"].encode(), exactly(context["task"], 16)]
    if kind == "result":
        tenant, proplet = context["tenant"].encode(), context["proplet"].encode()
        return 3, [tenant, exactly(context["task"], 16), u32(context["attempt"]), proplet]
    if kind == "record":
        return 4, [context["owner"].encode(), context["name"].encode()]
    if kind == "log":
        tenant, proplet = context["tenant"].encode(), context["proplet"].encode()
        task, attempt = exactly(context["task"], 16), u32(context["attempt"])
        return 5, [tenant, task, attempt, proplet, u8(context["stream"]), u64(context["offset"])]
    raise ValueError(f"unknown context kind {kind!r}")


def encode_context(context):
    kind, fields = context_fields(context)
    return u8(kind) + b"".join(u32(len(data)) + data for data in fields)


def mac_key(content_key, context):
    info = b"propeller envelope v1 mac" + encode_context(context)
    return hkdf(content_key, b"", info, 32)


def payload_key(content_key, context):
    info = b"propeller envelope v1 payload" + encode_context(context)
    return hkdf(content_key, b"", info, 32)


def key_id(workload_key):
    return hkdf(workload_key, b"", b"propeller workload key id v1", 8)


def wrap_key(workload_key, salt):
    info = b"propeller envelope v1 wrap" + key_id(workload_key)
    return hkdf(workload_key, salt, info, 32)


# Sealing


def shared_key_body(workload_key, content_key, salt):
    identity = key_id(workload_key)
    wrapped = gcm_seal(wrap_key(workload_key, salt), bytes(12), identity, content_key)
    return identity + salt + wrapped


def stanza(kind, body):
    return u8(kind) + u16(len(body)) + body


def header(stanzas, nonce_prefix, content_key, context, magic=MAGIC, version=VERSION):
    """Everything up to and including the MAC; limits are the reader's to enforce."""
    start = magic + u8(version) + u8(len(stanzas)) + b"".join(stanzas) + nonce_prefix
    return start + hmac_sha256(mac_key(content_key, context), start)


def nonce(prefix, index, last):
    return prefix + u32(index) + u8(1 if last else 0)


def split(data, size):
    """Pieces of `size` bytes, the last maybe shorter; one empty piece of no data."""
    return [data[at : at + size] for at in range(0, len(data), size)] or [b""]


def seal_payload(key, prefix, plain):
    chunks = split(plain, CHUNK)
    end = len(chunks) - 1
    return b"".join(
        gcm_seal(key, nonce(prefix, i, i == end), b"", chunk) for i, chunk in enumerate(chunks)
    )


def seal(workload_key, context, plain, content_key=None, salt=None, nonce_prefix=None):
    """An envelope with one stanza for `workload_key`."""
    content_key = content_key or os.urandom(32)
    salt = salt or os.urandom(32)
    nonce_prefix = nonce_prefix or os.urandom(NONCE_PREFIX)
    body = shared_key_body(workload_key, content_key, salt)
    head = header([stanza(SHARED_KEY, body)], nonce_prefix, content_key, context)
    return head + seal_payload(payload_key(content_key, context), nonce_prefix, plain)


# Opening


class Cursor:
    """Takes bytes from the front; running out of them is malformed."""

    def __init__(self, data):
        self.data = data
        self.at = 0

    def take(self, count):
        if len(self.data) - self.at < count:
            raise EnvelopeError("malformed")
        self.at += count
        return self.data[self.at - count : self.at]

    def number(self, size):
        return int.from_bytes(self.take(size), "big")


@dataclass
class Parsed:
    stanzas: list
    nonce_prefix: bytes
    authenticated: bytes
    mac: bytes
    payload: bytes


def parse_stanza(cursor):
    kind = cursor.number(1)
    length = cursor.number(2)
    if length > MAX_BODY:
        raise EnvelopeError("malformed")
    return kind, cursor.take(length)


def parse(sealed):
    cursor = Cursor(sealed)
    if cursor.take(len(MAGIC)) != MAGIC:
        raise EnvelopeError("malformed")
    if cursor.number(1) != VERSION:
        raise EnvelopeError("version")
    count = cursor.number(1)
    if not 1 <= count <= MAX_STANZAS:
        raise EnvelopeError("malformed")
    stanzas = [parse_stanza(cursor) for _ in range(count)]
    prefix = cursor.take(NONCE_PREFIX)
    authenticated = sealed[: cursor.at]
    mac = cursor.take(MAC)
    return Parsed(stanzas, prefix, authenticated, mac, sealed[cursor.at :])


def unwrap(body, workload_key):
    """The content key of a shared key stanza, or None when it is not for this key."""
    identity, salt, wrapped = body[:8], body[8:40], body[40:]
    if len(body) != SHARED_KEY_BODY or identity != key_id(workload_key):
        return None
    return gcm_open(wrap_key(workload_key, salt), bytes(12), identity, wrapped)


def candidates(stanzas, keys):
    """Every content key that some stanza gives to some key."""
    for kind, body in stanzas:
        if kind != SHARED_KEY:
            continue
        for workload_key in keys:
            content_key = unwrap(body, workload_key)
            if content_key is not None:
                yield content_key


def find_content_key(parsed, keys, context):
    for content_key in candidates(parsed.stanzas, keys):
        expected = hmac_sha256(mac_key(content_key, context), parsed.authenticated)
        if hmac.compare_digest(expected, parsed.mac):
            return content_key
    raise EnvelopeError("not_ours")


def open_payload(key, prefix, payload):
    chunks = split(payload, CHUNK + TAG)
    end = len(chunks) - 1
    if end > 0 and len(chunks[end]) == TAG:
        raise EnvelopeError("payload")
    plain = []
    for i, chunk in enumerate(chunks):
        piece = gcm_open(key, nonce(prefix, i, i == end), b"", chunk)
        if piece is None:
            raise EnvelopeError("payload")
        plain.append(piece)
    return b"".join(plain)


def open_(keys, context, sealed):
    """The plaintext; EnvelopeError when there is none to be had."""
    parsed = parse(sealed)
    content_key = find_content_key(parsed, keys, context)
    return open_payload(payload_key(content_key, context), parsed.nonce_prefix, parsed.payload)


# Vectors: what they are made of


def entropy(name, label, length=32):
    """Bytes that depend on nothing but the vector's name and a label."""
    return hashlib.sha256(f"envelope vector\n{name}\n{label}".encode()).digest()[:length]


def module_context(plain, tenant="acme"):
    return {"kind": "module", "tenant": tenant, "digest": hashlib.sha256(plain).hexdigest()}


def input_context(name, tenant="acme"):
    return {"kind": "input", "tenant": tenant, "task": entropy(name, "task", 16).hex()}


def result_context(name, attempt=1, proplet="proplet-1"):
    return input_context(name) | {"kind": "result", "attempt": attempt, "proplet": proplet}


def log_context(name, stream=1, offset=0):
    return result_context(name) | {"kind": "log", "stream": stream, "offset": offset}


def record_context(owner, record):
    return {"kind": "record", "owner": owner, "name": record}


def flip(data, at):
    """`data` with the lowest bit of one byte flipped."""
    at %= len(data)
    return data[:at] + u8(data[at] ^ 1) + data[at + 1 :]


@dataclass
class Vector:
    name: str
    expect: str
    keys: list
    context: dict
    comment: str
    body: bytes
    plain: bytes | None = None


@dataclass
class Maker:
    """A right envelope in its parts, for a vector to leave alone or to break."""

    name: str
    context: dict | None = None
    plain: bytes | None = None

    def __post_init__(self):
        if self.plain is None:
            self.plain = f"plaintext of {self.name}".encode()
        self.context = self.context or input_context(self.name)
        self.key = self.random("key")
        self.content_key = self.random("content key")
        self.salt = self.random("salt")
        self.prefix = self.random("nonce prefix", NONCE_PREFIX)

    def random(self, label, length=32):
        return entropy(self.name, label, length)

    def shared_body(self):
        return shared_key_body(self.key, self.content_key, self.salt)

    def shared(self):
        return stanza(SHARED_KEY, self.shared_body())

    def foreign(self, label="foreign"):
        """A whole stanza for a key the reader does not hold."""
        body = shared_key_body(self.random(label), self.content_key, self.random(label + " salt"))
        return stanza(SHARED_KEY, body)

    def unknown(self, length, kind=0x7F):
        return stanza(kind, self.random("unknown")[:1] * length)

    def header(self, *stanzas, **changes):
        context = changes.pop("context", self.context)
        stanzas = list(stanzas) or [self.shared()]
        return header(stanzas, self.prefix, self.content_key, context, **changes)

    def payload(self):
        return seal_payload(payload_key(self.content_key, self.context), self.prefix, self.plain)

    def chunk(self, index, last, plain):
        key = payload_key(self.content_key, self.context)
        return gcm_seal(key, nonce(self.prefix, index, last), b"", plain)

    def sealed(self, *stanzas):
        return self.header(*stanzas) + self.payload()

    def right(self, comment, body=None, keys=None):
        body = self.sealed() if body is None else body
        keys = keys or [self.key]
        return Vector(self.name, "ok", keys, self.context, comment, body, self.plain)

    def wrong(self, expect, comment, body, keys=None, context=None):
        keys, context = keys or [self.key], context or self.context
        return Vector(self.name, expect, keys, context, comment, body)


# Vectors: ways to be right


def right_lengths():
    sizes = [("empty", 0, "no bytes"), ("one-byte", 1, "one byte")]
    sizes += [("one-chunk", CHUNK, "exactly one chunk")]
    sizes += [("one-chunk-and-one", CHUNK + 1, "one chunk and one byte")]
    sizes += [("two-chunks", 2 * CHUNK, "exactly two chunks")]
    for name, length, words in sizes:
        yield Maker(f"ok-{name}", plain=bytes(length)).right(f"The plaintext is {words}.")


def right_contexts():
    plain = b"\0asm\1\0\0\0"
    m = Maker("ok-context-module", module_context(plain), plain)
    yield m.right("The context is a module, its digest that of the plaintext.")
    yield Maker("ok-context-input").right("The context is an input.")
    m = Maker("ok-context-result", result_context("ok-context-result"))
    yield m.right("The context is a result.")
    m = Maker("ok-context-result-last-attempt")
    m.context = result_context(m.name, attempt=0xFFFFFFFF)
    yield m.right("The attempt is the largest that 4 bytes hold.")
    m = Maker("ok-context-record", record_context("manager", "settings"))
    yield m.right("The context is a record.")
    m = Maker("ok-context-log", log_context("ok-context-log", stream=2))
    yield m.right("The context is a piece of a log.")
    m = Maker("ok-context-log-far", log_context("ok-context-log-far", offset=2**64 - 1))
    yield m.right("The offset is the largest that 8 bytes hold.")
    m = Maker("ok-context-utf8", record_context("opérateur", "clé-日本"))
    yield m.right("The fields hold characters of two and three bytes, and lengths count bytes.")


def right_stanzas():
    m = Maker("ok-stanza-unknown-first")
    yield m.right("A stanza of unknown type comes first.", m.sealed(m.unknown(40), m.shared()))
    m = Maker("ok-stanza-unknown-last")
    yield m.right("A stanza of unknown type comes last.", m.sealed(m.shared(), m.unknown(40)))
    m = Maker("ok-stanza-unknown-type-zero")
    yield m.right("Type 0 is as unknown as any.", m.sealed(m.unknown(4, kind=0), m.shared()))
    m = Maker("ok-stanza-unknown-no-body")
    yield m.right("The unknown stanza's body is empty.", m.sealed(m.unknown(0), m.shared()))
    m = Maker("ok-stanza-unknown-1024")
    body = m.sealed(m.unknown(MAX_BODY), m.shared())
    yield m.right("The unknown stanza's body has the largest length.", body)
    m = Maker("ok-stanza-eight")
    body = m.sealed(*[m.unknown(n) for n in range(7)], m.shared())
    yield m.right("There are eight stanzas and the reader's is the last.", body)
    yield right_after_foreign()
    yield right_after_damaged()
    yield right_after_misleading()


def right_after_foreign():
    m = Maker("ok-stanza-foreign-first")
    body = m.sealed(m.foreign(), m.shared())
    return m.right("The first stanza is for a key the reader does not hold.", body)


def right_after_damaged():
    m = Maker("ok-stanza-damaged-first")
    body = m.sealed(stanza(SHARED_KEY, flip(m.shared_body(), -1)), m.shared())
    return m.right("The first stanza has the reader's key id and does not unwrap.", body)


def right_after_misleading():
    m = Maker("ok-stanza-other-content-key-first")
    misleading = shared_key_body(m.key, m.random("other content key"), m.random("other salt"))
    body = m.sealed(stanza(SHARED_KEY, misleading), m.shared())
    return m.right("The first stanza unwraps to a content key that the MAC does not match.", body)


def right_keys():
    m = Maker("ok-key-second-of-two")
    keys = [m.random("other key"), m.key]
    yield m.right("The second of the reader's two keys opens it.", keys=keys)
    m = Maker("ok-key-first-of-two")
    keys = [m.key, m.random("other key")]
    yield m.right("The first of the reader's two keys opens it.", keys=keys)


# Vectors: not an envelope, or another version


def wrong_start():
    m = Maker("malformed-magic")
    yield m.wrong("malformed", "The last letter of the magic is another.",
                  m.header(magic=b"PRPLENW") + m.payload())
    m = Maker("malformed-magic-lower-case")
    yield m.wrong("malformed", "The magic is in lower case.",
                  m.header(magic=MAGIC.lower()) + m.payload())
    m = Maker("malformed-magic-and-version")
    yield m.wrong("malformed", "Magic and version are both wrong, and the magic comes first.",
                  m.header(magic=b"PRPLENW", version=2) + m.payload())
    for version in (0, 2):
        m = Maker(f"version-{version}")
        yield m.wrong("version", f"The version is {version}, and all else is in order.",
                      m.header(version=version) + m.payload())
    m = Maker("version-2-and-no-more")
    yield m.wrong("version", "The input ends after version 2, whose layout is not known.",
                  m.header(version=2)[:8])


def wrong_counts():
    m = Maker("malformed-stanzas-zero")
    head = header([], m.prefix, m.content_key, m.context)
    yield m.wrong("malformed", "There are no stanzas.", head + m.payload())
    m = Maker("malformed-stanzas-nine")
    body = m.sealed(m.shared(), *[m.unknown(n) for n in range(8)])
    yield m.wrong("malformed", "There are nine stanzas.", body)
    m = Maker("malformed-stanza-1025")
    body = m.sealed(m.shared(), m.unknown(MAX_BODY + 1))
    yield m.wrong("malformed", "A stanza's body is one byte longer than allowed.", body)
    m = Maker("malformed-stanza-past-end")
    sealed = m.sealed()
    body = sealed[:10] + u16(MAX_BODY) + sealed[12:]
    yield m.wrong("malformed", "A stanza's body is said to end after the input does.", body)


def wrong_truncated():
    cuts = [("magic", 3, "inside the magic"), ("version", 7, "before the version")]
    cuts += [("count", 8, "before the stanza count"), ("stanza-type", 9, "before the first stanza")]
    cuts += [("stanza-length", 11, "inside the stanza's length")]
    cuts += [("stanza-no-body", 12, "before the stanza's body")]
    cuts += [("stanza-body", 99, "one byte before the end of the stanza's body")]
    cuts += [("no-nonce-prefix", 100, "before the nonce prefix")]
    cuts += [("nonce-prefix", 106, "inside the nonce prefix"), ("no-mac", 107, "before the MAC")]
    cuts += [("mac", 138, "one byte before the end of the MAC")]
    for name, length, words in cuts:
        m = Maker(f"malformed-cut-{name}")
        yield m.wrong("malformed", f"The input ends {words}.", m.sealed()[:length])
    m = Maker("malformed-cut-second-stanza")
    body = m.sealed(m.shared(), m.unknown(40))[:120]
    yield m.wrong("malformed", "The input ends inside the second stanza.", body)


# Vectors: no key of the reader's opens the header


def wrong_keys():
    m = Maker("not-ours-key")
    yield m.wrong("not_ours", "The reader holds another key.", m.sealed(), [m.random("other key")])
    m = Maker("not-ours-two-keys")
    keys = [m.random("other key"), m.random("third key")]
    yield m.wrong("not_ours", "The reader holds two keys and neither is meant.", m.sealed(), keys)
    m = Maker("not-ours-stanza-unknown-type")
    body = m.sealed(stanza(2, m.shared_body()))
    yield m.wrong("not_ours", "The only stanza would open but for its unknown type.", body)
    for length in (0, 87, 89):
        m = Maker(f"not-ours-stanza-length-{length}")
        body = m.sealed(stanza(SHARED_KEY, (m.shared_body() + b"\0")[:length]))
        yield m.wrong("not_ours", f"The stanza of type 1 has {length} bytes and not 88.", body)


def wrong_flips():
    flips = [("key-id", 12, "key id"), ("salt", 20, "salt"), ("wrapped-key", 52, "wrapped key")]
    flips += [("wrapped-key-tag", 99, "wrapped key's tag")]
    flips += [("nonce-prefix", 100, "nonce prefix"), ("mac", 107, "header MAC's first byte")]
    flips += [("mac-end", 138, "header MAC's last byte")]
    for name, at, words in flips:
        m = Maker(f"not-ours-flip-{name}")
        yield m.wrong("not_ours", f"A bit of the {words} is flipped.", flip(m.sealed(), at))
    yield from wrong_flips_under_mac()


def wrong_flips_under_mac():
    for name, at, words in (("salt", 8, "salt"), ("wrapped-key", 40, "wrapped key")):
        m = Maker(f"not-ours-sealed-over-flipped-{name}")
        body = m.sealed(stanza(SHARED_KEY, flip(m.shared_body(), at)))
        yield m.wrong("not_ours", f"A bit of the {words} was flipped before the MAC.", body)


def wrong_stanza_sets():
    m = Maker("not-ours-stanza-added")
    body = m.sealed()
    added = body[:8] + u8(2) + m.unknown(40) + body[9:]
    yield m.wrong("not_ours", "A stanza was added after the MAC was made.", added)
    m = Maker("not-ours-stanza-removed")
    body = m.sealed(m.unknown(40), m.shared())
    removed = body[:8] + u8(1) + body[9 + 43 :]
    yield m.wrong("not_ours", "A stanza was removed after the MAC was made.", removed)
    m = Maker("not-ours-stanzas-swapped")
    body, first = m.sealed(m.unknown(40), m.shared()), 9 + 43
    swapped = body[:9] + body[first : first + 91] + body[9:first] + body[first + 91 :]
    yield m.wrong("not_ours", "Two stanzas changed places after the MAC was made.", swapped)
    m = Maker("not-ours-stanza-type-changed")
    body = flip(m.sealed(m.unknown(40), m.shared()), 9)
    yield m.wrong("not_ours", "An unknown stanza's type changed after the MAC was made.", body)


def wrong_wrapping():
    m = Maker("not-ours-other-content-key")
    body = shared_key_body(m.key, m.random("other content key"), m.salt)
    yield m.wrong("not_ours", "The stanza wraps another content key than the MAC was made with.",
                  m.sealed(stanza(SHARED_KEY, body)))
    m = Maker("not-ours-wrap-without-key-id")
    wrapped = gcm_seal(wrap_key(m.key, m.salt), bytes(12), b"", m.content_key)
    body = m.sealed(stanza(SHARED_KEY, key_id(m.key) + m.salt + wrapped))
    yield m.wrong("not_ours", "The content key was wrapped without the key id beside it.", body)


def wrong_fields():
    changes = [("tenant", "input", {"tenant": "acme2"}), ("task", "input", {"task": "00" * 16})]
    changes += [("digest", "module", {"digest": hashlib.sha256(b"other").hexdigest()})]
    changes += [("attempt", "result", {"attempt": 2})]
    changes += [("proplet", "result", {"proplet": "proplet-2"})]
    changes += [("owner", "record", {"owner": "proxy"})]
    changes += [("record-name", "record", {"name": "other"})]
    changes += [("log-attempt", "log", {"attempt": 2}), ("log-stream", "log", {"stream": 2})]
    changes += [("log-offset", "log", {"offset": 1}), ("log-proplet", "log", {"proplet": "x"})]
    for name, kind, change in changes:
        m = Maker(f"not-ours-{name}")
        m.context = context_of(kind, m)
        words = f"The reader's context is a {kind} with another {next(iter(change))}."
        words = words.replace("a input", "an input")
        yield m.wrong("not_ours", words, m.sealed(), context=m.context | change)


def context_of(kind, m):
    if kind == "module":
        return module_context(m.plain)
    if kind == "record":
        return record_context("manager", "settings")
    if kind == "log":
        return log_context(m.name)
    return result_context(m.name) if kind == "result" else input_context(m.name)


def wrong_contexts():
    m = Maker("not-ours-kind", input_context("0") | {"task": b"sixteen bytes id".hex()})
    other = record_context("acme", "sixteen bytes id")
    yield m.wrong("not_ours", "Sealed as an input, opened as a record with the same field bytes.",
                  m.sealed(), context=other)
    m = Maker("not-ours-kind-input-as-result")
    yield m.wrong("not_ours", "Sealed as an input, opened as a result of the same task.",
                  m.sealed(), context=result_context(m.name))
    m = Maker("not-ours-kind-log-as-result", log_context("not-ours-kind-log-as-result"))
    yield m.wrong("not_ours", "Sealed as a piece of a log, opened as the result of that attempt.",
                  m.sealed(), context=result_context(m.name))
    m = Maker("not-ours-field-border", record_context("ab", "c"))
    yield m.wrong("not_ours", "The same letters are cut into fields at another place.",
                  m.sealed(), context=record_context("a", "bc"))
    m = Maker("not-ours-mac-context")
    head = m.header(context=input_context(m.name, tenant="other"))
    yield m.wrong("not_ours", "The MAC was made for another tenant and the payload for this one.",
                  head + m.payload())


# Vectors: the payload does not open


def wrong_bits():
    places = [("first", 139, "first byte"), ("tag", -16, "tag's first byte")]
    places += [("tag-end", -1, "tag's last byte")]
    for name, at, words in places:
        m = Maker(f"payload-flip-{name}")
        words = f"A bit of the payload's {words} is flipped."
        yield m.wrong("payload", words, flip(m.sealed(), at))


def wrong_ends():
    m = Maker("payload-missing")
    yield m.wrong("payload", "There is no payload, not even an empty chunk's tag.", m.header())
    m = Maker("payload-shorter-than-tag")
    yield m.wrong("payload", "The payload is one byte shorter than a tag.", m.sealed()[: 139 + 15])
    m = Maker("payload-cut-chunk")
    yield m.wrong("payload", "The payload ends before the last byte of its tag.", m.sealed()[:-1])
    m = Maker("payload-only-a-tag")
    yield m.wrong("payload", "The chunk's ciphertext is gone and its tag is left.",
                  m.header() + m.payload()[-TAG:])
    m = Maker("payload-trailing-byte")
    yield m.wrong("payload", "A zero byte follows the last chunk.", m.sealed() + b"\0")
    m = Maker("payload-trailing-envelope")
    yield m.wrong("payload", "The whole envelope is there twice.", m.sealed() * 2)


def wrong_big_chunks():
    m = Maker("payload-last-chunk-missing", plain=bytes(CHUNK + 1))
    yield m.wrong("payload", "The last chunk is missing, and a full one that is not last remains.",
                  m.header() + m.payload()[: CHUNK + TAG])
    m = Maker("payload-chunks-swapped", plain=bytes(2 * CHUNK))
    first, second = split(m.payload(), CHUNK + TAG)
    yield m.wrong("payload", "Two full chunks changed places.", m.header() + second + first)
    m = Maker("payload-extra-empty-chunk")
    chunks = m.chunk(0, False, bytes(CHUNK)) + m.chunk(1, True, b"")
    yield m.wrong("payload", "An empty last chunk follows a full one, and both tags are right.",
                  m.header() + chunks)


def wrong_small_chunks():
    m = Maker("payload-chunk-repeated")
    yield m.wrong("payload", "The only chunk is there twice.", m.sealed() + m.payload())
    m = Maker("payload-not-final")
    yield m.wrong("payload", "The only chunk was not sealed as the last.",
                  m.header() + m.chunk(0, False, m.plain))
    m = Maker("payload-empty-not-final", plain=b"")
    yield m.wrong("payload", "The only chunk is empty and was not sealed as the last.",
                  m.header() + m.chunk(0, False, b""))
    m = Maker("payload-two-final")
    chunks = m.chunk(0, True, b"first") + m.chunk(1, True, b"second")
    yield m.wrong("payload", "Two chunks were each sealed as the last.", m.header() + chunks)
    m = Maker("payload-short-chunk-first")
    chunks = m.chunk(0, False, b"first") + m.chunk(1, True, b"second")
    yield m.wrong("payload", "A chunk that is not the last is shorter than a full one.",
                  m.header() + chunks)
    m = Maker("payload-counter-from-one")
    yield m.wrong("payload", "Chunks were counted from 1.", m.header() + m.chunk(1, True, m.plain))


def wrong_marriages():
    m, other = Maker("payload-of-another"), Maker("payload-of-another other")
    other.context = m.context
    yield m.wrong("payload", "The header is of one envelope and the payload of another.",
                  m.header() + other.payload())
    m = Maker("payload-nonce-prefix")
    head = m.header()
    m.prefix = m.random("other nonce prefix", NONCE_PREFIX)
    yield m.wrong("payload", "The payload was sealed under another nonce prefix than the header's.",
                  head + m.payload())
    m = Maker("payload-context")
    head, ours = m.header(), m.context
    m.context = input_context(m.name, tenant="other")
    yield m.wrong("payload", "The MAC was made for this tenant and the payload for another.",
                  head + m.payload(), context=ours)


# Vectors too large to keep as files: checked whenever the files are written


def unwritten():
    m = Maker("payload-full-chunk-repeated", plain=bytes(2 * CHUNK))
    first = m.payload()[: CHUNK + TAG]
    yield m.wrong("payload", "The first of two full chunks is there twice.",
                  m.header() + first + first)
    m = Maker("payload-full-chunk-final")
    chunks = m.chunk(0, True, bytes(CHUNK)) + m.chunk(1, True, b"second")
    yield m.wrong("payload", "A full chunk sealed as the last is followed by another.",
                  m.header() + chunks)
    m = Maker("payload-full-chunk-trailing-byte", plain=bytes(CHUNK))
    yield m.wrong("payload", "A zero byte follows a full last chunk.", m.sealed() + b"\0")
    m = Maker("payload-middle-chunk-missing", plain=bytes(2 * CHUNK + 1))
    first, _, last = split(m.payload(), CHUNK + TAG)
    yield m.wrong("payload", "The second of three chunks is missing.", m.header() + first + last)


GROUPS = [right_lengths, right_contexts, right_stanzas, right_keys, wrong_start, wrong_counts]
GROUPS += [wrong_truncated, wrong_keys, wrong_flips, wrong_stanza_sets, wrong_wrapping]
GROUPS += [wrong_fields, wrong_contexts, wrong_bits, wrong_ends, wrong_big_chunks]
GROUPS += [wrong_small_chunks, wrong_marriages]


def all_vectors():
    return [vector for group in GROUPS for vector in group()]


# Vector files


def vector_text(vector):
    context = json.dumps(vector.context, ensure_ascii=False, separators=(",", ":"))
    lines = [f"expect: {vector.expect}"]
    lines += [f"key: {key.hex()}" for key in vector.keys]
    lines += [f"context: {context}"]
    if vector.plain is not None:
        lines += [f"plain-sha256: {hashlib.sha256(vector.plain).hexdigest()}"]
        lines += [f"plain-len: {len(vector.plain)}"]
    lines += [f"comment: {vector.comment}", ""]
    lines += ["body: " + "\n".join(split(vector.body.hex(), 96))]
    return "\n".join(lines) + "\n"


def parse_vector(text):
    """The header lines as lists of values by name, and the envelope."""
    head, _, body = text.partition("\n\n")
    values = {}
    for line in head.splitlines():
        name, _, value = line.partition(": ")
        values.setdefault(name, []).append(value)
    return values, bytes.fromhex(body.removeprefix("body: "))


def check_vector(text):
    """None, or what went otherwise than the vector says."""
    values, sealed = parse_vector(text)
    keys = [bytes.fromhex(key) for key in values["key"]]
    expect = values["expect"][0]
    try:
        plain = open_(keys, json.loads(values["context"][0]), sealed)
    except EnvelopeError as error:
        return None if error.code == expect else f"expected {expect}, got {error.code}"
    if expect != "ok":
        return f"expected {expect}, and it opened"
    if [hashlib.sha256(plain).hexdigest()] != values["plain-sha256"]:
        return "opened to another plaintext"
    return None if [str(len(plain))] == values["plain-len"] else "another length"


def report(what, results):
    """Print the failures among (name, problem) pairs; 0 when there are none."""
    failures = [(name, problem) for name, problem in results if problem]
    for name, problem in failures:
        print(f"{name}: {problem}", file=sys.stderr)
    print(f"{len(results) - len(failures)} of {len(results)} {what} as expected")
    return 1 if failures or not results else 0


def read_text(path):
    return path.read_text(encoding="utf-8")


def check_files(directory):
    paths = sorted(pathlib.Path(directory).glob("*.txt"))
    results = [(path.stem, check_vector(read_text(path))) for path in paths]
    return report("vector files", results)


def write_files(directory):
    target = pathlib.Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    vectors = all_vectors()
    if len({vector.name for vector in vectors}) != len(vectors):
        raise ValueError("two vectors have the same name")
    for vector in vectors:
        path = target / f"{vector.name}.txt"
        path.write_text(vector_text(vector), encoding="utf-8", newline="\n")
    large = [(vector.name, check_vector(vector_text(vector))) for vector in unwritten()]
    return check_files(directory) | report("larger vectors", large)


# JSON lines


def optional(request, name, length):
    value = request.get(name)
    return None if value is None else exactly(value, length)


def answer_open(request):
    keys = [bytes.fromhex(key) for key in request["keys"]]
    encode_context(request["context"])
    return open_(keys, request["context"], bytes.fromhex(request["sealed"]))


def answer_seal(request):
    return seal(
        bytes.fromhex(request["key"]),
        request["context"],
        bytes.fromhex(request["plain"]),
        optional(request, "content_key", 32),
        optional(request, "salt", 32),
        optional(request, "nonce_prefix", NONCE_PREFIX),
    )


def answer(line):
    try:
        request = json.loads(line)
        operation = {"open": answer_open, "seal": answer_seal}[request["op"]]
        return {"ok": operation(request).hex()}
    except EnvelopeError as error:
        return {"error": error.code}
    except (ValueError, KeyError, TypeError, AttributeError, struct.error) as error:
        print(f"request: {error!r}", file=sys.stderr)
        return {"error": "request"}


def serve():
    for line in sys.stdin.buffer:
        if line.strip():
            print(json.dumps(answer(line)), flush=True)
    return 0


def main(arguments):
    if not arguments:
        return serve()
    if len(arguments) == 2 and arguments[0] == "vectors":
        return write_files(arguments[1])
    if len(arguments) == 2 and arguments[0] == "check":
        return check_files(arguments[1])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
