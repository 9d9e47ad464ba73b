"""Writes the corpora of the fuzz targets anew from the test vectors, from the repository's root:

    python fuzz/seed.py

It needs PyPI's `cryptography`. Inputs that are no vectors, such as upstream's JSON and what once failed, are left alone.
"""

import base64
import gzip
import hashlib
import hmac
import io
import json
import pathlib
import tarfile

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

VECTORS = pathlib.Path("testdata/vectors")
SIGNED = pathlib.Path("crates/oci/tests/vectors/sign")
JOSE = pathlib.Path("crates/jose/tests/vectors")
ATTEST = pathlib.Path("testdata/attest")
CORPUS = pathlib.Path("fuzz/corpus")
# Larger ones only slow the mutation down.
LEN_MAX = 2048
TYPES = ["ToProplet", "FromProplet", "Input", "Output", "ToProxy", "FromProxy"]


def read(path):
    head, *bodies = path.read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    lines = [line.partition(": ") for line in head.splitlines()]
    return lines, [bytes.fromhex(body.removeprefix("body:")) for body in bodies]


def write(target, name, data, len_max=LEN_MAX):
    if len(data) <= len_max:
        folder = CORPUS / target
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def record(topic, frame):
    return bytes([topic]) + len(frame).to_bytes(2, "big") + frame


def wire(name, lines, bodies):
    values = {field: value for field, _, value in lines}
    steps = [json.loads(value) for field, _, value in lines if field == "step"]
    if values["what"] == "message":
        write("message", name, bytes([TYPES.index(values["type"])]) + bodies[0])
        return
    if values["what"] != "session":
        write("frame", name, bodies[0])
    if values["expect"] in ("malformed", "version"):
        return
    topics = [step["topic"] for step in steps] or [5]
    records = [record(topic, body) for topic, body in zip(topics, bodies)]
    for target in ("desk", "caller"):
        write(target, name, b"".join(records))


for path in sorted(VECTORS.glob("envelope/*.txt")):
    write("envelope", path.stem, read(path)[1][0])
for path in sorted(VECTORS.glob("wire/*.txt")):
    wire(path.stem, *read(path))
for path in sorted(VECTORS.glob("chunks/*.txt")):
    write("chunks", path.stem, read(path)[1][0])


def halves(annotations, body):
    return json.dumps(annotations).encode() + b"\0" + body


def encrypted(path):
    """The annotations and the layer of a vector, whose file is described beside it."""
    head, _, body = path.read_text(encoding="utf-8").partition("\n\n")
    lines = [line.partition(": ") for line in head.splitlines()]
    pairs = [value.split(" ", 1) for field, _, value in lines if field == "annotation"]
    layer = "".join(body.removeprefix("layer:").split())
    return {pair[0]: pair[-1] for pair in pairs}, base64.b64decode(layer)


def archive(*names, kind=tarfile.REGTYPE):
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT) as tar:
        for name in names:
            entry = tarfile.TarInfo(name)
            entry.type = kind
            entry.size = 8 if kind == tarfile.REGTYPE else 0
            tar.addfile(entry, io.BytesIO(b"\0asm\1\0\0\0"))
    # Without most of the zeros at the end.
    return file.getvalue().rstrip(b"\0") + bytes(512)


for path in sorted(VECTORS.glob("ocicrypt/*.txt")):
    write("decrypt", path.stem, halves(*encrypted(path)), 4 * LEN_MAX)
for path in sorted(SIGNED.glob("*.json")):
    vector = json.loads(path.read_text(encoding="utf-8"))
    for candidate in vector.get("candidates", [])[:1]:
        if isinstance(candidate.get("payload"), str):
            payload = candidate["payload"].encode()
            write("signature", path.stem, halves(candidate["annotations"], payload))
for name, data in {
    "one": archive("app.wasm"),
    "nested": archive("bin/app.wasm", "readme"),
    "whiteout": archive("a/.wh.x.wasm", "b/.wh..wh..opq"),
    "outside": archive("../app.wasm"),
    "long": archive("a" * 120 + ".wasm"),
    "link": archive("app.wasm", kind=tarfile.SYMTYPE),
    "gzip": gzip.compress(archive("app"), mtime=0),
}.items():
    write("layer", name, data, 4 * LEN_MAX)


# Keys, and what is encrypted to them.


def b64(data):
    return base64.b64encode(data).decode()


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


JWE = "org.opencontainers.image.enc.keys.jwe"
for path in sorted(VECTORS.glob("ocicrypt/ok-*.txt")):
    for index, element in enumerate(encrypted(path)[0].get(JWE, "").split(",")):
        if element:
            write("jwe", f"{path.stem}-{index}", base64.b64decode(element), 4 * LEN_MAX)
for path in sorted(JOSE.glob("*.json")):
    vector = json.loads(path.read_text(encoding="utf-8"))
    if "message" in vector:
        write("jwe", path.stem, compact(vector["message"]))
    for index, key in enumerate(vector.get("keys", [vector.get("key")])):
        write("jwk", f"{path.stem}-{index}", compact(key))
for path in sorted(VECTORS.glob("ocicrypt/keys/*.[pd]e[mr]")):
    write("jwk", path.name, path.read_bytes())
    write("key-material", path.name, path.read_bytes())
    write("key-material", f"{path.name}-base64", b64(path.read_bytes()).encode())
ATTESTED = json.loads(pathlib.Path("testdata/keybroker/runtime-data.json").read_text())["tee-pubkey"]
write("jwk", "attested-ec", compact(ATTESTED))
RSA = json.loads((JOSE / "rfc7517-a1.json").read_text(encoding="utf-8"))["keys"][1]
for alg in ["RSA-OAEP", "RSA-OAEP-256"]:
    write("jwk", f"attested-{alg.lower()}", compact({**RSA, "alg": alg}))
RAW = bytes(range(0x9F, 0x9F + 32))
for name, data in {
    "raw": RAW,
    "digits": RAW.hex().encode(),
    "digits-upper-case": RAW.hex().upper().encode(),
    "base64": b64(RAW).encode() + b"\n",
    "base64url": base64.urlsafe_b64encode(RAW).rstrip(b"="),
    "jwk": compact({"kty": "oct", "k": base64.urlsafe_b64encode(RAW).decode().rstrip("=")}),
    "short": RAW[1:],
    "digits-of-48": (RAW + RAW[:16]).hex().encode(),
}.items():
    write("key-material", name, data)

# A layer whose key is wrapped under a key that a key provider keeps, which is 7 in 32 bytes.


def provided(plain, kid="kbs:///default/key/app", kek=bytes([7] * 32), **more):
    key, nonce, iv = bytes([1] * 32), bytes([2] * 16), bytes([3] * 12)
    cipher = Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor()
    layer = cipher.update(plain) + cipher.finalize()
    mac = hmac.new(key, layer, hashlib.sha256).digest()
    options = {"symkey": b64(key), "cipheroptions": {"nonce": b64(nonce)}}
    options["digest"] = f"sha256:{hashlib.sha256(plain).hexdigest()}"
    public = {"cipher": "AES_256_CTR_HMAC_SHA256", "hmac": b64(mac), "cipheroptions": {}}
    wrapped = AESGCM(kek).encrypt(iv, compact(options), None)
    packet = {"kid": kid, "wrapped_data": b64(wrapped), "iv": b64(iv), "wrap_type": "A256GCM"} | more
    return b64(compact(public)), b64(compact(packet)), layer


def provider(*parts, name="attestation-agent"):
    public, _, layer = parts[0]
    packets = ",".join(part[1] for part in parts)
    enc = "org.opencontainers.image.enc."
    return halves({enc + "pubopts": public, f"{enc}keys.provider.{name}": packets}, layer)


PLAIN = b"\0asm\1\0\0\0"
RIGHT = provided(PLAIN)
for name, data in {
    "ok": provider(RIGHT),
    "ok-empty": provider(provided(b"")),
    "ok-another-provider": provider(RIGHT, name="other"),
    "ok-after-others": provider(provided(PLAIN, kid="kbs://h:1/a/b/c"), provided(PLAIN, kek=RAW), RIGHT),
    "ok-second-version": provider(provided(PLAIN, version="0.1.0", provider="kbs", annotations={})),
    "counter-mode": provider(provided(PLAIN, wrap_type="A256CTR")),
    "no-uri": provider(provided(PLAIN, kid="/default/image-kek/1\x1b[2J")),
    "other-key": provider(provided(PLAIN, kek=RAW)),
    "short-iv": provider(provided(PLAIN, iv=b64(bytes(11)))),
}.items():
    write("wrapped-keys", name, data)
for name in ["scheme-provider-attestation-agent", "ok-skopeo-tar-gzip-p256", "ok-general"]:
    write("wrapped-keys", name, halves(*encrypted(VECTORS / f"ocicrypt/{name}.txt")), 4 * LEN_MAX)

# Addresses, evidence and policies.

for name, text in {
    "path": "default/key/1",
    "path-slash": "/default/key/1",
    "host": "kbs.example:8080/default/key/1",
    "uri": "kbs:///default/key/1",
    "uri-host": "kbs://KBS.example:8080/tenant-a/key/app.1",
    "uri-resource": "kbs+resource://[::1]:8080/a/b/c",
    "uri-plugin": "kbs+pkcs11:///a/b/c",
    "uri-dots": "kbs:///a/../c",
    "uri-query": "kbs:///a/b/c?x=1",
    "address": "https://kbs.example:8080/base/",
    "address-dots": "https://kbs.example/a/../b//",
    "address-here": "http://127.0.0.1:8080",
    "address-name": "http://localhost:8080/",
    "address-there": "http://localhost.example:8080",
    "address-user": "https://me:pw@kbs.example",
}.items():
    write("kbs-uri", name, text.encode())
for path in sorted(ATTEST.glob("snp/forms/*.*")):
    data = path.read_bytes()
    write("snp-report", path.name, compact(json.loads(data)) if path.suffix == ".json" else data, 2 * LEN_MAX)
MILAN = (ATTEST / "snp/milan_report.bin").read_bytes()
write("snp-report", "genuine", MILAN)


def milan(report):
    """The JSON form of a report in version 2 of its format, from a processor of Milan's kind."""

    def number(at, size):
        return int.from_bytes(report[at : at + size], "little")

    def array(at, size):
        return list(report[at : at + size])

    def tcb(at):
        names = {"bootloader": 0, "tee": 1, "snp": 6, "microcode": 7}
        return {"fmc": None} | {name: report[at + offset] for name, offset in names.items()}

    def version(at):
        return {name: report[at + offset] for name, offset in {"major": 2, "minor": 1, "build": 0}.items()}

    value = {"version": number(0, 4), "guest_svn": number(4, 4), "policy": number(8, 8)}
    value |= {"family_id": array(0x10, 16), "image_id": array(0x20, 16), "vmpl": number(0x30, 4)}
    value |= {"sig_algo": number(0x34, 4), "current_tcb": tcb(0x38), "plat_info": number(0x40, 8)}
    value |= {"key_info": number(0x48, 4), "report_data": array(0x50, 64), "measurement": array(0x90, 48)}
    value |= {"host_data": array(0xC0, 32), "id_key_digest": array(0xE0, 48)}
    value |= {"author_key_digest": array(0x110, 48), "report_id": array(0x140, 32)}
    value |= {"report_id_ma": array(0x160, 32), "reported_tcb": tcb(0x180), "cpuid_fam_id": None}
    value |= {"cpuid_mod_id": None, "cpuid_step": None, "chip_id": array(0x1A0, 64)}
    value |= {"committed_tcb": tcb(0x1E0), "current": version(0x1E8), "committed": version(0x1EC)}
    value |= {"launch_tcb": tcb(0x1F0), "launch_mit_vector": None, "current_mit_vector": None}
    return value | {"signature": {"r": array(0x2A0, 72), "s": array(0x2E8, 72)}}


def quote(path):
    return b64((ATTEST / path).read_bytes())


VCEK = {"cert_type": "VCEK", "data": list((ATTEST / "snp/milan_vcek.der").read_bytes())}
for name, value in {
    "sample": {"svn": "1", "report_data": b64(bytes(48))},
    "snp": {"attestation_report": milan(MILAN), "cert_chain": [VCEK]},
    "snp-alone": {"attestation_report": milan(MILAN), "cert_chain": None},
    "sgx": {"quote": quote("sgx/quote.bin")},
    "tdx": {"cc_eventlog": None, "quote": quote("tdx/v4_quote.bin")},
    "tdx-log": {"cc_eventlog": b64(b"a log"), "quote": quote("tdx/v4_quote.bin")},
    "tdx-newer": {"cc_eventlog": None, "quote": quote("tdx/v5_quote.bin")},
    "nothing": None,
}.items():
    write("evidence", name, compact(value), 8 * LEN_MAX)
RULE = """[[allow]]
name = "tenant a"
resources = ["tenant-a/key/*"]
tee = ["tdx", "snp"]
"""
for name, text in {
    "sample": '[[allow]]\nname = "tests"\nresources = ["*"]\ntee = ["sample"]\n',
    "hardware": RULE + f'measurements = ["{"9a" * 48}"]\ntcb = ["UpToDate"]\n',
    "claims": RULE + 'init_data = { tenant = "a" }\nevidence = { rtmr_1 = ["x", 7, true] }\n',
    "times": RULE + "from = 2026-12-01T00:00:00Z\nuntil = 2027-01-01T00:00:00+01:00\n",
    "counts": RULE + 'at_most = { releases = 100, per = "1h", counted = "by-workload" }\n',
    "numbers": RULE + "at_least = { svn = 3 }\ndebug = true\nvlek = true\n",
    "two": RULE + RULE.replace("tenant a", "tenant b"),
    "twice": RULE + RULE,
    "unknown": RULE + "more = 1\n",
    "empty": "",
}.items():
    write("kbs-policy", name, text.encode())

# CES objects: headers, ends and segments, most of them of another object than the target's.

FOOTER, BLOCK_CHECK = 96, 16
ENDS = ("trailer-", "footer-", "index-", "ok-base", "ok-empty-1", "ok-two-segments-2")
SEGMENTS = ("record-", "path-", "frame-", "sealed", "padding", "nonce", "ok-")
for path in sorted(VECTORS.glob("ces/*.ces")):
    shard, name = path.read_bytes(), path.stem
    is_first = name.endswith(".0") or not name.startswith("ok-")
    if is_first and name.startswith(("header-", "ok-")):
        write("ces-header", name, shard[:120])
    if is_first and name.startswith(SEGMENTS):
        write("ces-segment", name, shard[120:-FOOTER])
    # The part, where it begins, and the bytes: first the trailer, then what stands before it.
    begins_at = len(shard) - FOOTER - 8
    if is_first and name.startswith(ENDS):
        write("ces-shard", f"{name}-trailer", bytes([0]) + begins_at.to_bytes(8, "big") + shard[begins_at:])
        block = shard[begins_at - BLOCK_CHECK - 4 : begins_at]
        write("ces-shard", f"{name}-index", bytes([1]) + bytes(8) + block)

# Objects that are uploaded to a manager: the task's key, and the shard.

for vector in json.loads((VECTORS / "ces/manifest.json").read_text(encoding="utf-8"))["vectors"]:
    key = bytes.fromhex(vector["key"] or "")
    for path in filter(None, vector["shards"]):
        name = path.removesuffix(".ces")
        if name.startswith(("cut-", "footer-", "header-")) or name.startswith("ok-") and name.endswith(".0"):
            write("stored-object", name, key + (VECTORS / "ces" / path).read_bytes())
        if name == "ok-full-1-0.0":
            shard = (VECTORS / "ces" / path).read_bytes()
            write("stored-object", f"{name}-cut", key + shard[:-1])
            write("stored-object", f"{name}-key", bytes(32) + shard)

# Ranges: the length of an object, and what a client asks for.

for name, text in {
    "first": "bytes=0-0",
    "some": "bytes=2-4",
    "from": "bytes=2-",
    "last": "bytes=-3",
    "beyond": "bytes=10-11",
    "backwards": "bytes=4-2",
    "several": "bytes=0-1,4-5",
    "large": "bytes=2-99999999999999999999999",
    "largest": "bytes=18446744073709551615-18446744073709551615",
    "no-number": "bytes=+1-2",
    "unit": "lines=1-2",
    "nothing": "",
}.items():
    write("range", name, (10).to_bytes(8, "big") + text.encode())

# The C ABI: deeds of four bytes each, which are which shard, what happens to it, and where.

for name, deeds in {
    "nothing": [],
    "four-lost": [(0, 2, 0), (3, 2, 0), (7, 2, 0), (11, 2, 0)],
    "five-lost": [(0, 2, 0), (3, 2, 0), (7, 2, 0), (8, 2, 0), (11, 2, 0)],
    "flipped": [(0, 0, 130), (1, 32, 5), (2, 64, 250), (3, 96, 330)],
    "cut": [(0, 1, 0), (1, 1, 119), (2, 1, 300)],
    "foreign": [(4, 3, 0), (5, 4, 0)],
    "moved": [(5, 5, 0), (6, 6, 0), (7, 6, 0)],
    "null": [(2, 7, 100)],
    "null-and-empty": [(2, 7, 0)],
    "oversized": [(2, 8, 0)],
    "range": [(0, 19, 3)],
    "range-beyond": [(0, 249, 3)],
    "no-magic": [(i, 1, 0) for i in range(12)],
}.items():
    write("ces-abi", name, b"".join(bytes([shard, what]) + at.to_bytes(2, "big") for shard, what, at in deeds))
