"""Writes the corpora of the fuzz targets anew from the test vectors, from the repository's root:

    python fuzz/seed.py

Inputs that are no vectors, such as upstream's JSON and what once failed, are left alone.
"""

import base64
import gzip
import io
import json
import pathlib
import tarfile

VECTORS = pathlib.Path("testdata/vectors")
SIGNED = pathlib.Path("crates/oci/tests/vectors/sign")
CORPUS = pathlib.Path("fuzz/corpus")
# Larger ones only slow the mutation down.
LEN_MAX = 2048
TYPES = ["ToProplet", "FromProplet", "Input", "Output"]


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
