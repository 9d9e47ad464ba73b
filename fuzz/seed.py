"""Writes the corpora of the fuzz targets anew from the test vectors, from the repository's root:

    python fuzz/seed.py

Inputs that are no vectors, such as upstream's JSON and what once failed, are left alone.
"""

import json
import pathlib

VECTORS = pathlib.Path("testdata/vectors")
CORPUS = pathlib.Path("fuzz/corpus")
# Larger ones only slow the mutation down.
LEN_MAX = 2048
TYPES = ["ToProplet", "FromProplet", "Input", "Output"]


def read(path):
    head, *bodies = path.read_text(encoding="utf-8").rstrip("\n").split("\n\n")
    lines = [line.partition(": ") for line in head.splitlines()]
    return lines, [bytes.fromhex(body.removeprefix("body:")) for body in bodies]


def write(target, name, data):
    if len(data) <= LEN_MAX:
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
