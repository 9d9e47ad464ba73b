"""Independent implementation of the wire format, version 1.

Written from docs/formats/wire.md, to be held against the Rust crate.

    python wire.py vectors DIR   write the vector files into DIR and check them
    python wire.py check DIR     check the vector files in DIR

The messages come from wire_messages.py, beside this file.
"""

import hashlib
import hmac
import json
import pathlib
import re
import struct
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

import wire_messages

MAGIC = b"PRPL"
VERSION = 1
KINDS = {"announce": 1, "answer": 2, "sealed": 3, "solicit": 4, "reject": 5}
TAG = 16
WINDOW = 1024
TO_PROPLET, TO_MANAGER = 1, 2
NAME = re.compile(rb"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Wrong(Exception):
    """A frame that is not what it should be; `code` says in which way."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


# Primitives


def u8(value):
    return struct.pack(">B", value)


def u64(value):
    return struct.pack(">Q", value)


def derive(key, salt, info, length=32):
    return HKDF(SHA256(), length, salt or bytes(32), info).derive(key)


def key_id(key):
    return derive(key, b"", b"propeller workload key id v1", 8)


def name(text):
    data = text.encode() if isinstance(text, str) else text
    return u8(len(data)) + data


def head(kind, magic=MAGIC, version=VERSION):
    return magic + u8(version) + u8(kind)


# Frames: each is a list of (field, bytes), so that a vector can cut it at any of them


def announce(proplet, key, nonce):
    return [("head", head(1)), ("proplet", name(proplet)), ("key-id", key), ("nonce", nonce)]


def answer(manager, proplet, key, proplet_nonce, manager_nonce, mac_key):
    fields = [("head", head(2)), ("manager", name(manager)), ("proplet", name(proplet))]
    fields += [("key-id", key), ("proplet-nonce", proplet_nonce)]
    fields += [("manager-nonce", manager_nonce)]
    return fields + [("mac", hmac.digest(mac_key, join(fields), "sha256"))]


LABELS = {
    "tasks": (b"propeller wire v1 answer", b"propeller wire v1 frame"),
    "images": (b"propeller wire v1 images answer", b"propeller wire v1 images frame"),
}


def answer_key(key, subject="tasks"):
    return derive(key, b"", LABELS[subject][0])


def sealed_head(key, session, sender, counter):
    fields = [("head", head(3)), ("key-id", key), ("session", session)]
    return fields + [("sender", name(sender)), ("counter", u64(counter))]


def solicit(manager):
    return [("head", head(4)), ("manager", name(manager))]


def reject(proplet, session, counter):
    return [("head", head(5)), ("proplet", name(proplet))] + [
        ("session", session),
        ("counter", u64(counter)),
    ]


def join(fields):
    return b"".join(data for _, data in fields)


class Cursor:
    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, count):
        if len(self.data) - self.at < count:
            raise Wrong("malformed")
        self.at += count
        return self.data[self.at - count : self.at]

    def name(self):
        data = self.take(self.take(1)[0])
        if not NAME.fullmatch(data):
            raise Wrong("malformed")
        return data.decode()


def read(data):
    """The frame's kind and its fields."""
    cursor = Cursor(data)
    if cursor.take(4) != MAGIC:
        raise Wrong("malformed")
    if cursor.take(1)[0] != VERSION:
        raise Wrong("version")
    kind = {number: kind for kind, number in KINDS.items()}.get(cursor.take(1)[0])
    fields = {}
    for field in LAYOUT.get(kind, []):
        if field in ("proplet", "manager", "sender"):
            fields[field] = cursor.name()
        elif field == "counter":
            fields[field] = int.from_bytes(cursor.take(8), "big")
        elif field == "body":
            fields["head"] = data[: cursor.at]
            fields[field] = cursor.take(len(data) - cursor.at)
        else:
            fields[field] = cursor.take(8 if field in ("key_id", "session") else 32)
    if kind is None or cursor.at != len(data) or len(fields.get("body", bytes(TAG))) < TAG:
        raise Wrong("malformed")
    return kind, fields


LAYOUT = {
    "announce": ["proplet", "key_id", "nonce"],
    "answer": ["manager", "proplet", "key_id", "proplet_nonce", "manager_nonce", "mac"],
    "sealed": ["key_id", "session", "sender", "counter", "body"],
    "solicit": ["manager"],
    "reject": ["proplet", "session", "counter"],
}


# Sessions


class Pair:
    def __init__(self, manager, proplet, proplet_nonce, manager_nonce, subject="tasks"):
        self.subject = subject
        self.manager, self.proplet = manager, proplet
        self.proplet_nonce, self.manager_nonce = proplet_nonce, manager_nonce

    def id(self):
        label = b"propeller wire v1 session"
        return hashlib.sha256(label + self.proplet_nonce + self.manager_nonce).digest()[:8]

    def key(self, key, direction):
        info = LABELS[self.subject][1] + u8(direction) + name(self.manager) + name(self.proplet)
        return derive(key, self.proplet_nonce + self.manager_nonce, info)

    def binding(self, key):
        info = b"propeller wire v1 binding" + name(self.manager) + name(self.proplet)
        return derive(key, self.proplet_nonce + self.manager_nonce, info)

    def sender(self, direction):
        return self.manager if direction == TO_PROPLET else self.proplet

    def shown(self):
        return {
            "manager": self.manager,
            "proplet": self.proplet,
            "proplet_nonce": self.proplet_nonce.hex(),
            "manager_nonce": self.manager_nonce.hex(),
        }


def gcm_nonce(counter):
    return bytes(4) + u64(counter)


def seal(key, pair, direction, topic, counter, plain, **changes):
    """A sealed frame; `changes` replace one ingredient each, to make it wrong."""
    start = join(
        sealed_head(
            changes.get("key_id", key_id(key)),
            changes.get("session", pair.id()),
            changes.get("sender", pair.sender(direction)),
            counter,
        )
    )
    frame_key = changes.get("frame_key", pair.key(key, direction))
    aad = changes.get("aad", start + u8(topic))
    nonce = changes.get("nonce", gcm_nonce(counter))
    return start + AESGCM(frame_key).encrypt(nonce, plain, aad)


class Reader:
    """The receiving end of one direction of a session."""

    def __init__(self, key, pair, direction):
        self.key = pair.key(key, direction)
        self.seen = set()

    def open(self, topic, data):
        kind, fields = read(data)
        counter = fields["counter"]
        newest = max(self.seen, default=-1)
        if counter in self.seen or counter <= newest - WINDOW or counter == 2**64 - 1:
            raise Wrong("repeated")
        try:
            aad = fields["head"] + u8(topic)
            plain = AESGCM(self.key).decrypt(gcm_nonce(counter), fields["body"], aad)
        except InvalidTag:
            raise Wrong("forged") from None
        self.seen.add(counter)
        return plain


# Vectors: what they are made of


def entropy(vector, label, length=32):
    """Bytes that depend on nothing but the vector's name and a label."""
    return hashlib.sha256(f"wire vector\n{vector}\n{label}".encode()).digest()[:length]


def flip(data, at):
    at %= len(data)
    return data[:at] + u8(data[at] ^ 1) + data[at + 1 :]


class Parts:
    """What a vector's frames are made from."""

    def __init__(self, vector, manager="manager-1", proplet="edge-1", subject="tasks"):
        self.vector = vector
        self.key = self.random("key")
        nonces = self.random("proplet nonce"), self.random("manager nonce")
        self.pair = Pair(manager, proplet, *nonces, subject)

    def random(self, label, length=32):
        return entropy(self.vector, label, length)

    def right_frames(self):
        """One right frame of each kind, as fields."""
        pair, identity = self.pair, key_id(self.key)
        body = [("tag", seal(self.key, pair, TO_MANAGER, 2, 7, b"")[-TAG:])]
        return {
            "announce": announce(pair.proplet, identity, pair.proplet_nonce),
            "answer": self.answer(),
            "sealed": sealed_head(identity, pair.id(), pair.proplet, 7) + body,
            "solicit": solicit(pair.manager),
            "reject": reject(pair.proplet, pair.id(), 7),
        }

    def answer(self, **changes):
        pair = self.pair
        return answer(
            pair.manager,
            pair.proplet,
            changes.get("key_id", key_id(self.key)),
            pair.proplet_nonce,
            pair.manager_nonce,
            changes.get("mac_key", answer_key(self.key, pair.subject)),
        )


def vector(name, what, expect, comment, bodies, **lines):
    lines = {"what": what, "expect": expect} | lines | {"comment": comment}
    return name, lines, bodies


def shown(fields):
    """Fields of a read frame, as JSON."""
    plain = {k: v.hex() if isinstance(v, bytes) else v for k, v in fields.items()}
    plain.pop("head", None)
    if "counter" in plain:
        plain["counter"] = str(plain["counter"])
    return json.dumps(plain, separators=(",", ":"))


# Frame vectors


def frame(name, comment, data):
    """A frame that reads, with the fields it has."""
    kind, fields = read(data)
    return vector(name, "frame", kind, comment, [data], fields=shown(fields))


def not_frame(name, comment, data, expect="malformed"):
    return vector(name, "frame", expect, comment, [data])


def right_frames():
    for kind in KINDS:
        fields = Parts(f"frame-{kind}").right_frames()[kind]
        yield frame(f"frame-{kind}", f"A frame of kind {kind}.", join(fields))
    yield frame("frame-name-short", "The name is one byte.", join(solicit("m")))
    long = "M" + "." * 20 + "_" * 20 + "-" * 20 + "009"
    yield frame("frame-name-long", "The name is 64 bytes of every sort.", join(solicit(long)))
    p = Parts("frame-counter-last")
    data = join(reject("edge-1", p.pair.id(), 2**64 - 1))
    yield frame("frame-counter-last", "The counter is the largest that 8 bytes hold.", data)
    p = Parts("frame-sealed-text")
    data = seal(p.key, p.pair, TO_MANAGER, 2, 0, b"some text")
    yield frame("frame-sealed-text", "There is ciphertext before the tag.", data)


def wrong_heads():
    right = join(solicit("manager-1"))
    yield not_frame("malformed-empty", "There are no bytes.", b"")
    yield not_frame("malformed-magic", "The last letter of the magic is another.", b"PRPM" + right[4:])
    yield not_frame("malformed-magic-lower-case", "The magic is in lower case.", b"prpl" + right[4:])
    yield not_frame("malformed-json", "It is upstream's JSON.", b'{"id":"x","name":"add"}')
    for version in (0, 2, 255):
        data = MAGIC + u8(version) + right[5:]
        yield not_frame(f"version-{version}", f"The version is {version}.", data, "version")
    yield not_frame("version-envelope", "It is an envelope.", b"PRPLENV\1", "version")
    data = MAGIC + u8(2) + u8(9)
    yield not_frame("version-2-unknown-kind", "Version 2 may have kind 9.", data, "version")
    for kind in (0, 6, 255):
        data = right[:5] + u8(kind) + right[6:]
        yield not_frame(f"malformed-kind-{kind}", f"There is no kind {kind}.", data)


def wrong_ends():
    for length, what in ((3, "magic"), (4, "no-version"), (5, "no-kind")):
        data = join(solicit("manager-1"))[:length]
        yield not_frame(f"malformed-cut-{what}", f"It ends after {length} bytes.", data)
    for kind in KINDS:
        fields = Parts(f"malformed-cut-{kind}").right_frames()[kind]
        for index, (field, data) in enumerate(fields[1:], start=1):
            before = join(fields[:index])
            words = field.replace("-", " ")
            comment = f"It ends where the {words} should begin."
            yield not_frame(f"malformed-cut-{kind}-no-{field}", comment, before)
            comment = f"The last byte of the {words} is missing."
            yield not_frame(f"malformed-cut-{kind}-{field}", comment, before + data[:-1])
        if kind != "sealed":
            comment = "A zero byte follows its end."
            yield not_frame(f"malformed-trailing-{kind}", comment, join(fields) + b"\0")


def wrong_names():
    names = [("empty", b"", "is empty"), ("65-bytes", b"m" * 65, "is 65 bytes long")]
    names += [("255-bytes", b"m" * 255, "is 255 bytes long"), ("slash", b"a/b", "has a slash")]
    names += [("space", b"a b", "has a space"), ("dot-first", b".m", "starts with a dot")]
    names += [("dash-first", b"-m", "starts with a dash"), ("plus", b"+", "is a wildcard")]
    names += [("hash", b"#", "is a wildcard"), ("line-feed", b"m\n", "ends in a line feed")]
    names += [("not-utf8", b"m\xff", "is not UTF-8")]
    names += [("not-ascii", "é".encode(), "has a letter outside of ASCII")]
    for what, data, words in names:
        yield not_frame(f"malformed-name-{what}", f"The name {words}.", join(solicit(data)))
    data = head(4) + u8(9) + b"manager"
    yield not_frame("malformed-name-past-end", "The name's length goes past the end.", data)


# Answer vectors


def answers():
    p = Parts("answer-right")
    yield answer_vector(p, "ok", "The author holds the key.", join(p.answer()))
    p = Parts("answer-right-long-names", "m" * 64, "p" * 64)
    yield answer_vector(p, "ok", "The names have the largest length.", join(p.answer()))
    p = Parts("answer-forged-key")
    data = join(p.answer(mac_key=answer_key(p.random("other key"))))
    yield answer_vector(p, "forged", "The MAC is made with another key.", data)
    p = Parts("answer-forged-key-itself")
    data = join(p.answer(mac_key=p.key))
    yield answer_vector(p, "forged", "The MAC key is the workload key itself.", data)
    p = Parts("answer-forged-frame-label")
    data = join(p.answer(mac_key=derive(p.key, b"", b"propeller wire v1 frame")))
    yield answer_vector(p, "forged", "The MAC key has the label of another use.", data)
    p = Parts("answer-forged-without-head")
    fields = p.answer()
    mac = hmac.digest(answer_key(p.key), join(fields[1:-1]), "sha256")
    yield answer_vector(p, "forged", "The MAC leaves the head out.", join(fields[:-1]) + mac)
    p = Parts("answer-forged-zero-mac")
    yield answer_vector(p, "forged", "The MAC is zero.", join(p.answer()[:-1]) + bytes(32))
    p = Parts("answer-right-images", "proxy-1", subject="images")
    yield answer_vector(p, "ok", "A proxy answers.", join(p.answer()))
    p = Parts("answer-forged-subject", "proxy-1", subject="images")
    data = join(p.answer())
    p.pair.subject = "tasks"
    yield answer_vector(p, "forged", "A proxy's answer is read as a manager's.", data)
    yield from changed_answers()


def changed_answers():
    for index, field in enumerate(["manager", "proplet", "key-id", "proplet-nonce"], start=1):
        yield changed_answer(index, field)
    yield changed_answer(5, "manager-nonce")
    yield changed_answer(6, "mac")


def changed_answer(index, field):
    p = Parts(f"answer-forged-flip-{field}")
    fields = p.answer()
    fields[index] = (field, flip(fields[index][1], -1))
    comment = f"The last bit of the {field.replace('-', ' ')} is flipped."
    return answer_vector(p, "forged", comment, join(fields))


def answer_vector(p, expect, comment, data):
    return vector(p.vector, "answer", expect, comment, [data], key=p.key.hex(), **about(p))


def about(p):
    """The subject, where it is not tasks."""
    return {} if p.pair.subject == "tasks" else {"subject": p.pair.subject}


# Session vectors


class Story:
    """Frames of one direction of one session, with what comes of each."""

    def __init__(self, vector, direction, **parts):
        self.p = Parts(vector, **parts)
        self.direction = direction
        self.steps, self.frames = [], []

    def seal(self, topic, counter, plain, **changes):
        pair = changes.pop("pair", self.p.pair)
        direction = changes.pop("direction", self.direction)
        return seal(self.p.key, pair, direction, topic, counter, plain, **changes)

    def step(self, topic, expect, data, plain=None):
        step = {"topic": topic, "expect": expect}
        if plain is not None:
            step["plain"] = plain.hex()
        self.steps.append(step)
        self.frames.append(data)
        return self

    def says(self, topic, counter, plain):
        return self.step(topic, "ok", self.seal(topic, counter, plain), plain)

    def forged(self, topic, data):
        return self.step(topic, "forged", data)

    def again(self, topic, data):
        return self.step(topic, "repeated", data)

    def told(self, comment):
        reader = "proplet" if self.direction == TO_PROPLET else "manager"
        lines = {
            "key": self.p.key.hex(),
            "pair": json.dumps(self.p.pair.shown(), separators=(",", ":")),
            "binding": self.p.pair.binding(self.p.key).hex(),
            "reader": reader,
            **about(self.p),
            "step": [json.dumps(step, separators=(",", ":")) for step in self.steps],
        }
        name = self.p.vector
        return vector(name, "session", name.split("-")[1], comment, self.frames, **lines)


def right_sessions():
    s = Story("session-ok-to-proplet", TO_PROPLET)
    for counter, topic in enumerate((5, 5, 7, 4, 6)):
        s.says(topic, counter, f"to the proplet {counter}".encode())
    yield s.told("A manager seals five messages, on every topic of its own.")
    s = Story("session-ok-to-manager", TO_MANAGER)
    for counter, topic in enumerate((2, 3, 1, 2)):
        s.says(topic, counter, f"to the manager {counter}".encode())
    yield s.told("A proplet seals four messages, on every topic of its own.")
    s = Story("session-ok-empty", TO_MANAGER).says(2, 0, b"")
    yield s.told("The message is empty.")
    s = Story("session-ok-long-names", TO_PROPLET, manager="m" * 64, proplet="p" * 64)
    yield s.says(5, 0, b"names").told("Both names have the largest length.")
    s = Story("session-ok-reordered", TO_PROPLET)
    for counter in (3, 0, 2, 1):
        s.says(5, counter, bytes([counter]))
    yield s.told("The frames arrive in another order.")
    s = Story("session-ok-window-edge", TO_MANAGER).says(2, 1023, b"new").says(2, 0, b"old")
    yield s.told("The oldest of the last 1,024 counters is still opened.")
    s = Story("session-ok-large-counters", TO_MANAGER)
    for counter in (255, 256, 2**32, 2**63, 2**64 - 2):
        s.says(2, counter, str(counter).encode())
    yield s.told("Counters fill 8 bytes, and the last that is ever sent is 2^64 - 2.")
    s = Story("session-ok-images-to-proplet", TO_PROPLET, manager="proxy-1", subject="images")
    for counter, topic in enumerate((10, 9)):
        s.says(topic, counter, f"to the proplet {counter}".encode())
    yield s.told("A proxy seals two messages, on every topic of its own.")
    s = Story("session-ok-images-to-proxy", TO_MANAGER, manager="proxy-1", subject="images")
    yield s.says(8, 0, b"to the proxy").told("A proplet seals a message for a proxy.")


def repeated_sessions():
    s = Story("session-repeated-frame", TO_PROPLET).says(5, 0, b"once")
    yield s.again(5, s.frames[0]).told("The same frame arrives twice.")
    s = Story("session-repeated-counter", TO_PROPLET).says(5, 0, b"first")
    s.again(5, s.seal(5, 0, b"second"))
    yield s.told("Another message has a counter that has been seen.")
    s = Story("session-repeated-old", TO_MANAGER).says(2, 1024, b"new")
    s.again(2, s.seal(2, 0, b"old"))
    yield s.told("A counter is one older than the window.")
    s = Story("session-repeated-after-jump", TO_MANAGER).says(2, 5, b"five").says(2, 1000, b"jump")
    s.again(2, s.frames[0])
    yield s.told("A frame is repeated after a jump inside of the window.")
    s = Story("session-repeated-last-counter", TO_MANAGER)
    s.again(2, s.seal(2, 2**64 - 1, b"last"))
    yield s.says(2, 0, b"goes on").told("The counter 2^64 - 1 is never new.")


def forged_sessions():
    yield from forged_surroundings()
    yield from forged_flips()
    yield from forged_keys()
    s = Story("session-forged-then-right", TO_PROPLET)
    right = s.seal(5, 0, b"right")
    s.forged(5, flip(right, -1)).step(5, "ok", right, b"right")
    yield s.told("A forged frame does not use its counter up.")


def forged_surroundings():
    s = Story("session-forged-topic", TO_PROPLET)
    s.forged(7, s.seal(5, 0, b"start"))
    yield s.told("A frame for the start topic arrives on the stop topic.")
    s = Story("session-forged-topic-broadcast", TO_PROPLET)
    s.forged(4, s.seal(5, 0, b"start"))
    yield s.told("A frame for one proplet arrives on the topic of all.")
    s = Story("session-forged-without-topic", TO_PROPLET)
    start = s.seal(5, 0, b"x")[:-17]
    s.forged(5, s.seal(5, 0, b"x", aad=start))
    yield s.told("The associated data has no topic code.")
    s = Story("session-forged-nonce-order", TO_PROPLET)
    s.forged(5, s.seal(5, 1, b"x", nonce=bytes(4) + struct.pack("<Q", 1)))
    yield s.told("The counter in the nonce is little-endian.")
    s = Story("session-forged-nonce-place", TO_PROPLET)
    s.forged(5, s.seal(5, 1, b"x", nonce=u64(1) + bytes(4)))
    yield s.told("The counter stands first in the nonce.")


def forged_flips():
    places = [("key-id", 6), ("session", 14), ("sender", 25), ("counter", 36)]
    places += [("ciphertext", -17), ("tag-first", -16), ("tag-last", -1)]
    for what, at in places:
        s = Story(f"session-forged-flip-{what}", TO_PROPLET)
        s.forged(5, flip(s.seal(5, 2, b"plain"), at))
        yield s.told(f"A bit of the {what.replace('-', ' ')} is flipped.")
    s = Story("session-forged-cut", TO_PROPLET)
    s.forged(5, s.seal(5, 0, b"plain")[:-1])
    yield s.told("The last byte of the tag is missing.")
    s = Story("session-forged-added", TO_PROPLET)
    s.forged(5, s.seal(5, 0, b"plain") + b"\0")
    yield s.told("A byte follows the tag.")


def forged_keys():
    s = Story("session-forged-reflected", TO_PROPLET)
    s.forged(5, s.seal(5, 0, b"mine", direction=TO_MANAGER))
    yield s.told("The reader's own frame comes back to it.")
    s = Story("session-forged-direction", TO_PROPLET)
    other = s.p.pair.key(s.p.key, TO_MANAGER)
    s.forged(5, s.seal(5, 0, b"x", frame_key=other))
    yield s.told("The key is the other direction's.")
    s = Story("session-forged-key", TO_PROPLET)
    other = s.p.pair.key(s.p.random("other key"), TO_PROPLET)
    s.forged(5, s.seal(5, 0, b"x", frame_key=other))
    yield s.told("The workload key is another.")
    for what in ("proplet_nonce", "manager_nonce", "manager", "proplet"):
        s = Story(f"session-forged-pair-{what.replace('_', '-')}", TO_PROPLET)
        pair = s.p.pair
        values = {k: getattr(pair, k) for k in ("manager", "proplet", "proplet_nonce", "manager_nonce")}
        values[what] = "other" if what in ("manager", "proplet") else s.p.random("other nonce")
        key = Pair(**values).key(s.p.key, TO_PROPLET)
        s.forged(5, s.seal(5, 0, b"x", frame_key=key))
        yield s.told(f"The key is that of a pair with another {what.replace('_', ' ')}.")
    s = Story("session-forged-subject", TO_PROPLET)
    pair = s.p.pair
    images = Pair(pair.manager, pair.proplet, pair.proplet_nonce, pair.manager_nonce, "images")
    s.forged(5, s.seal(5, 0, b"x", frame_key=images.key(s.p.key, TO_PROPLET)))
    yield s.told("The key is that of a session about images.")
    s = Story("session-forged-names-swapped", TO_PROPLET)
    pair = s.p.pair
    swapped = Pair(pair.proplet, pair.manager, pair.proplet_nonce, pair.manager_nonce)
    s.forged(5, s.seal(5, 0, b"x", frame_key=swapped.key(s.p.key, TO_PROPLET)))
    yield s.told("The names stand in the key's info the other way round.")


# Message vectors


def messages():
    for name, kind, plain, comment in wire_messages.right():
        yield vector(name, "message", "ok", comment, [plain], type=kind)
    for name, kind, plain, comment in wire_messages.wrong():
        yield vector(name, "message", "malformed", comment, [plain], type=kind)


GROUPS = [right_frames, wrong_heads, wrong_ends, wrong_names, answers, right_sessions]
GROUPS += [repeated_sessions, forged_sessions, messages]


# Vector files


def split(text, size):
    return [text[at : at + size] for at in range(0, len(text), size)] or [""]


def vector_text(lines, bodies):
    text = []
    for name, value in lines.items():
        text += [f"{name}: {v}" for v in (value if isinstance(value, list) else [value])]
    for body in bodies:
        text += ["", ("body: " + "\n".join(split(body.hex(), 96))).rstrip(" ")]
    return "\n".join(text) + "\n"


def parse_vector(text):
    head, *bodies = text.rstrip("\n").split("\n\n")
    values = {}
    for line in head.splitlines():
        name, _, value = line.partition(": ")
        values.setdefault(name, []).append(value)
    return values, [bytes.fromhex(body.removeprefix("body:")) for body in bodies]


def outcome(call):
    try:
        return "ok", call()
    except Wrong as wrong:
        return wrong.code, None


def check_frame(values, bodies):
    result, frame = outcome(lambda: read(bodies[0]))
    if frame is None:
        return None if [result] == values["expect"] else f"got {result}"
    kind, fields = frame
    return None if [kind, shown(fields)] == values["expect"] + values["fields"] else "other fields"


def check_answer(values, bodies):
    key = bytes.fromhex(values["key"][0])
    kind, fields = read(bodies[0])
    subject = values.get("subject", ["tasks"])[0]
    mac = hmac.digest(answer_key(key, subject), bodies[0][:-32], "sha256")
    result = "ok" if kind == "answer" and fields["mac"] == mac else "forged"
    return None if [result] == values["expect"] else f"got {result}"


def check_session(values, bodies):
    shown_pair = json.loads(values["pair"][0])
    nonces = [bytes.fromhex(shown_pair[side + "_nonce"]) for side in ("proplet", "manager")]
    subject = values.get("subject", ["tasks"])[0]
    pair = Pair(shown_pair["manager"], shown_pair["proplet"], *nonces, subject)
    direction = TO_PROPLET if values["reader"] == ["proplet"] else TO_MANAGER
    key = bytes.fromhex(values["key"][0])
    if [pair.binding(key).hex()] != values["binding"]:
        return "another binding"
    reader = Reader(key, pair, direction)
    for step, body in zip(map(json.loads, values["step"]), bodies, strict=True):
        result, plain = outcome(lambda: reader.open(step["topic"], body))
        if result != step["expect"] or (plain is not None and plain.hex() != step["plain"]):
            return f"step {step}: got {result}"
    return None


def check_message(values, bodies):
    """Messages are only written here; reading them is the reader's test."""
    made = [v for v in messages() if v[2] == bodies and v[1]["type"] == values["type"][0]]
    return None if made else "not what this program writes"


CHECKS = {"frame": check_frame, "answer": check_answer}
CHECKS |= {"session": check_session, "message": check_message}


def check_files(directory):
    paths = sorted(pathlib.Path(directory).glob("*.txt"))
    failures = 0
    for path in paths:
        values, bodies = parse_vector(path.read_text(encoding="utf-8"))
        problem = CHECKS[values["what"][0]](values, bodies)
        if problem:
            failures += 1
            print(f"{path.stem}: {problem}", file=sys.stderr)
    print(f"{len(paths) - failures} of {len(paths)} vector files as expected")
    return 1 if failures or not paths else 0


def write_files(directory):
    target = pathlib.Path(directory)
    target.mkdir(parents=True, exist_ok=True)
    vectors = [vector for group in GROUPS for vector in group()]
    if len({name for name, _, _ in vectors}) != len(vectors):
        raise ValueError("two vectors have the same name")
    for name, lines, bodies in vectors:
        text = vector_text(lines, bodies)
        (target / f"{name}.txt").write_text(text, encoding="utf-8", newline="\n")
    return check_files(directory)


def main(arguments):
    if len(arguments) == 2 and arguments[0] in ("vectors", "check"):
        return {"vectors": write_files, "check": check_files}[arguments[0]](arguments[1])
    print(__doc__, file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
