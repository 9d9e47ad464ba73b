"""One encoded message for every variant, written by hand with postcard's rules.

https://postcard.jamesmunns.com/wire-format: integers wider than a byte are LEB128 varints, signed
ones zigzag first; bytes, texts and sequences have their length in front; an option is a byte 0 or
1; a variant is the varint of its place; structures and arrays of fixed length are their parts.
The order of variants and fields is that of crates/wire/src/message.rs.
"""

import hashlib


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out + bytes([value]))


def zigzag(value):
    return varint(2 * value if value >= 0 else -2 * value - 1)


def blob(data):
    data = data.encode() if isinstance(data, str) else data
    return varint(len(data)) + data


def seq(parts):
    return varint(len(parts)) + b"".join(parts)


def option(part):
    return b"\0" if part is None else b"\1" + part


def flag(value):
    return b"\1" if value else b"\0"


def variant(place, *parts):
    return varint(place) + b"".join(parts)


def attempt(number):
    """The task's 16 bytes, as a byte string, and the attempt's number."""
    return blob(hashlib.sha256(b"task").digest()[:16]) + varint(number)


def digest(label):
    return hashlib.sha256(label).digest()


# ToProplet


def module(sealed):
    return digest(b"module") + varint(300) + option(None if sealed is None else blob(sealed))


def trace():
    """A traceparent: trace id, span id and flags, as they are."""
    return digest(b"trace")[:16] + digest(b"span")[:8] + b"\1"


def start(sealed):
    parts = attempt(3), blob("acme"), blob("add.wasm"), module(sealed), blob(b"sealed input")
    return variant(1, *parts, trace())


def to_proplet():
    yield "welcome", variant(0, varint(30_000)), "A welcome with a lease of 30 s."
    yield "start-inline", start(b"sealed module"), "A start with its module."
    yield "start-fetch", start(None), "A start whose module must be fetched."
    yield "stop", variant(2, attempt(3)), "A stop."
    beat = variant(3, varint(300), seq([attempt(1), attempt(2)]))
    yield "beat", beat, "A beat that voids two attempts."
    yield "settled", variant(4, attempt(2**32 - 1)), "The attempt's number is the largest."
    piece = variant(5, digest(b"module"), varint(1), varint(2), blob(b"piece"))
    yield "piece", piece, "The second piece of two."
    yield "no-module", variant(6, digest(b"module")), "There is no such module."
    for name, start_at in (("from", varint(0) + varint(2**40)), ("on", None)):
        watch = variant(7, varint(2**64 - 1), attempt(3), option(start_at), varint(16), varint(5_000))
        words = "begins at two offsets" if start_at else "goes on"
        yield f"watch-{name}", watch, f"A watch that {words}, with room for 16 pieces."
    image = blob("ghcr.io/me/add:1@sha256:" + digest(b"image").hex())
    parts = attempt(3), blob("acme"), blob("add"), image, blob(b"sealed input"), trace()
    yield "start-image", variant(8, *parts), "A start whose module is in an image."
    attested = variant(9, *parts, blob("default/key/add"))
    yield "start-attested", attested, "A start that only a TEE may have."


# FromProplet


def about():
    texts = [blob("a box"), seq([blob("gpu"), blob("arm")]), blob("cellar"), blob("linux")]
    texts += [blob("box-7"), blob("x86_64"), varint(2**40), blob("0.1.0"), blob("wasmtime 48")]
    return b"".join(texts)


def from_proplet():
    hello = variant(0, about(), seq([attempt(1)]), varint(8))
    yield "hello", hello, "A hello of a proplet that holds one attempt."
    vitals = varint(1000) + varint(200) + varint(2**33)
    heartbeat = variant(1, varint(300), seq([attempt(1), attempt(2)]), vitals)
    yield "heartbeat", heartbeat, "A heartbeat that names two attempts."
    yield "started", variant(2, attempt(1)), "The guest runs."
    reasons = ["busy", "outbox-full", "unopenable", "no-module", "lease-lost", "leaving"]
    reasons += ["above-ceiling", "no-tee", "no-key", "store", "no-input"]
    reasons += ["no-output", "no-place"]
    for place, reason in enumerate(reasons):
        refused = variant(3, attempt(1), variant(place), blob("in words"))
        yield f"refused-{reason}", refused, f"Refused: {reason.replace('-', ' ')}."
    kinds = ["returned", "exited", "trap", "limit", "inconclusive", "refused", "escaped", "host"]
    kinds += ["lost", "stopped"]
    usage = b"".join(varint(n) for n in (1, 2**7, 2**14, 2**64 - 1, 65536, 2**13, 5, 2**8))
    for place, kind in enumerate(kinds):
        body = flag(place < 2) + blob(b"sealed output") + usage + variant(place)
        report = variant(4, attempt(1), body)
        yield f"finished-{kind}", report, f"A report of an attempt that ended so: {kind}."
    fetch = variant(5, attempt(1), digest(b"module"), varint(8), varint(8))
    yield "fetch", fetch, "The second eight pieces are asked for."
    yield "goodbye", variant(6), "A goodbye."
    for place, stream in enumerate(["stdout", "stderr"]):
        where = b"".join(varint(n) for n in (100, 300, 5, 2**40))
        body = varint(2**64 - 1) + attempt(1) + variant(place) + where + blob(b"sealed piece")
        yield f"printed-{stream}", variant(7, body), f"A piece of {stream}, after a gap."
    yield "tee", variant(8, blob("tdx"), blob(b"{}")), "The proplet is in a TEE, with evidence."
    report = attempt(1) + flag(True) + blob(b"sealed output") + usage + variant(0)
    proof = blob("snp") + blob("kbs:///default/key/add") + digest(b"image") + digest(b"binding")
    proof += blob(b"{}") + b"".join(varint(n) for n in (1, 2**7, 2**14, 2**21, 2**28))
    yield "finished-attested", variant(9, report, proof), "A report with what proves it."
    hello = about() + seq([attempt(1)]) + varint(8)
    yield "hello-in-tee", variant(10, hello, blob("tdx")), "A hello of a proplet in a TEE."
    yield "reaches", variant(11, b"\x09" * 16), "A store that is reached."


# Input and Output


def inputs():
    limits = b"".join(option(varint(n)) for n in (2**26, 10**9, 60_000, 2**20))
    args, env = seq([blob("1"), blob("2")]), seq([blob("LANG") + blob("C")])
    full = option(blob("add")) + blob("sum") + args + env + blob(b"stdin") + limits + flag(True)
    directory = blob("/srv/photos") + blob("/photos") + variant(1)
    host = blob("api.example.com") + varint(443)
    grants = seq([directory]) + seq([host]) + seq([varint(8080)]) + seq([blob("LANG")])
    yield "full", full + variant(2) + grants, "Everything is there."
    yield "empty", b"\0" * 15, "Everything is left out."
    key = b"\0" * 15 + b"\x07" * 32
    yield "object-key", key + option(None), "Outputs are sealed with a key."
    yield "object-stdin", key + option(stored(2**64 - 1)), "Standard input is in the store."


def stored(name):
    """An object in the store."""
    return varint(name) + digest(b"module") + varint(2**40)


def outputs():
    full = option(blob("42")) + blob(b"out") + blob(b"err\xff") + option(zigzag(-1))
    names = [blob(text) for text in ("wasmtime", "48.0.8", "0.1.0", "x86_64")]
    engine = b"".join(names) + variant(1) + blob("process") + seq([blob("fuel")])
    full += option(blob("trap: unreachable")) + option(engine) + option(blob("look there"))
    yield "full", full + varint(300) + varint(0), "Everything is there."
    yield "empty", b"\0" * 9, "Everything is left out."
    largest = option(None) + blob(b"") + blob(b"") + option(zigzag(2**31 - 1)) + option(None)
    largest += option(None) + option(None) + varint(0) + varint(0)
    yield "exit-code-largest", largest, "The exit code is the largest."
    yield "object", b"\0" * 9 + stored(3), "Standard output is in the store."


# ToProxy and FromProxy


def to_proxy():
    yield "hello", variant(0), "A hello."
    ask = varint(2**64 - 1)
    image = blob("http://127.0.0.1:5000/me/add@sha256:" + digest(b"image").hex())
    yield "document", variant(1, ask, image), "A manifest is asked for."
    for name, again in (("chunks", False), ("chunks-again", True)):
        body = ask + image + digest(b"blob") + varint(2**40) + seq([varint(0), varint(300)])
        yield name, variant(2, body, flag(again)), "Two chunks are asked for."
    yield "forget", variant(3, varint(300)), "It is not wanted any more."


def from_proxy():
    yield "welcome", variant(0, varint(512_000)), "A welcome with chunks of 512,000 bytes."
    for name, kind in (("document", blob("application/json")), ("document-unnamed", None)):
        body = varint(300) + option(kind) + blob(b"{}")
        yield name, variant(1, body), "A manifest."
    yield "chunk", variant(2, varint(300), varint(2**32 - 1), blob(b"chunk")), "The last chunk ever."
    yield "progress", variant(3, varint(300), varint(2**40)), "A tebibyte is there."
    reasons = ["name", "credentials", "network", "digest", "media-type", "size", "busy", "refused"]
    for place, reason in enumerate(reasons + ["proxy"]):
        failed = variant(4, varint(1), variant(place), blob("in words"))
        yield f"failed-{reason}", failed, f"Failed: {reason.replace('-', ' ')}."


def right():
    """(vector, type, bytes, comment) of every message that decodes."""
    groups = [("ToProplet", "to-proplet", to_proplet), ("FromProplet", "from-proplet", from_proplet)]
    groups += [("Input", "input", inputs), ("Output", "output", outputs)]
    groups += [("ToProxy", "to-proxy", to_proxy), ("FromProxy", "from-proxy", from_proxy)]
    for kind, prefix, group in groups:
        for name, plain, comment in group():
            yield f"message-{prefix}-{name}", kind, plain, comment


def wrong():
    """(vector, type, bytes, comment) of every message that does not."""
    stop = variant(2, attempt(3))
    cases = [("empty", "ToProplet", b"", "There are no bytes.")]
    cases += [("variant-to-proplet", "ToProplet", variant(10), "There is no variant 10.")]
    cases += [("variant-from-proplet", "FromProplet", variant(12), "There is no variant 12.")]
    cases += [("trailing", "ToProplet", stop + b"\0", "A zero byte follows the message.")]
    cases += [("cut", "ToProplet", stop[:-1], "The attempt's number is missing.")]
    short = variant(2, blob(bytes(15)), varint(1))
    cases += [("task-short", "ToProplet", short, "The task's id has 15 bytes.")]
    wide = variant(2, blob(bytes(16)), varint(2**32))
    cases += [("number-wide", "ToProplet", wide, "The attempt's number has 33 bits.")]
    refused = variant(3, attempt(1), variant(13), blob(""))
    cases += [("refusal", "FromProplet", refused, "There is no refusal 13.")]
    text = variant(3, attempt(1), variant(0), blob(b"\xff"))
    cases += [("utf8", "FromProplet", text, "The text is not UTF-8.")]
    flag_2 = variant(4, attempt(1), b"\2", blob(b""), b"\0" * 5)
    cases += [("flag", "FromProplet", flag_2, "The flag is 2.")]
    cases += [("option", "Output", b"\2" + bytes(7), "The option is 2.")]
    usage = bytes(8)
    body = flag(True) + blob(b"") + usage
    kind_10 = variant(4, attempt(1), body, variant(10))
    cases += [("exit-kind", "FromProplet", kind_10, "There is no exit kind 10.")]
    no_kind = variant(4, attempt(1), body)
    cases += [("exit-kind-missing", "FromProplet", no_kind, "The exit kind is missing.")]
    stream_2 = variant(7, varint(1), attempt(1), variant(2), bytes(4), blob(b""))
    cases += [("stream", "FromProplet", stream_2, "There is no stream 2.")]
    wide = variant(7, varint(1), attempt(1), variant(0), bytes(2), varint(2**32), bytes(1), blob(b""))
    cases += [("printed-len-wide", "FromProplet", wide, "The length has 33 bits.")]
    cut = variant(7, varint(1), attempt(1), option(varint(0)), varint(16), varint(0))
    cases += [("watch-one-offset", "ToProplet", cut, "There is an offset for one stream only.")]
    huge = variant(3, varint(1), varint(2**60))
    cases += [("count-huge", "ToProplet", huge, "A list says that it has 2^60 entries.")]
    huge = variant(5, digest(b"module"), varint(0), varint(1), varint(2**60))
    cases += [("length-huge", "ToProplet", huge, "A byte string says that it has 2^60 bytes.")]
    cases += [("variant-to-proxy", "ToProxy", variant(4), "There is no variant 4.")]
    cases += [("variant-from-proxy", "FromProxy", variant(5), "There is no variant 5.")]
    reason_9 = variant(4, varint(1), variant(9), blob(""))
    cases += [("reason", "FromProxy", reason_9, "There is no reason 9.")]
    wide = variant(2, varint(1), varint(2**32), blob(b""))
    cases += [("chunk-wide", "FromProxy", wide, "The chunk's number has 33 bits.")]
    cut = variant(2, varint(1), blob("a/b"), digest(b"blob"), varint(1), seq([varint(0)]))
    cases += [("chunks-cut", "ToProxy", cut, "Whether it is asked again is missing.")]
    cases += [("trailing-proxy", "ToProxy", variant(0) + b"\0", "A zero byte follows the message.")]
    bare = b"\0" * 15
    cases += [("input-trailing", "Input", bare + b"\0", "A zero byte follows an input.")]
    key_short = bare + b"\x07" * 31
    cases += [("object-key-short", "Input", key_short, "The key of the objects has 31 bytes.")]
    after = bare + b"\x07" * 32 + option(None) + b"\0"
    cases += [("object-trailing", "Input", after, "A zero byte follows the objects.")]
    cut = b"\0" * 9 + stored(3)[:-1]
    cases += [("object-cut", "Output", cut, "The end of the length is missing.")]
    for name, kind, plain, comment in cases:
        yield f"message-malformed-{name}", kind, plain, comment
