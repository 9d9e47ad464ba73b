"""Writes the vectors of `testdata/vectors/ocicrypt`: what skopeo encrypted, and what is wrong.

    python ocicrypt_vectors.py DIR

DIR/keys has to have the keys; skopeo 1.9.3 has to be in PATH. Every run writes other bytes, because
encrypting is random; names, keys and outcomes stay.
"""

import gzip
import hashlib
import hmac
import io
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile

from cryptography.hazmat.primitives import serialization

import ocicrypt as oc

WASM = b"\0asm\x01\0\0\0"
TAR = "application/vnd.oci.image.layer.v1.tar"


def tar():
    """A layer with a module that does nothing, the same in every run."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in [("module.wasm", WASM), ("README", b"What is encrypted.\n" * 8)]:
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    # Without the padding to 10 KiB that tapes wanted.
    return out.getvalue().rstrip(b"\0") + bytes(1024 + -len(out.getvalue().rstrip(b"\0")) % 512)


def compress(kind, data):
    match kind:
        case "":
            return data
        case "+gzip":
            return gzip.compress(data, mtime=0)
        case "+zstd":
            return subprocess.run(["zstd", "-c"], input=data, capture_output=True, check=True).stdout


def digest(data):
    return "sha256:" + hashlib.sha256(data).hexdigest()


# Images


def write_layout(folder, kind, plain):
    """An OCI layout with an image of one layer."""
    blobs = folder / "blobs/sha256"
    blobs.mkdir(parents=True)

    def blob(media_type, data):
        (blobs / digest(data)[7:]).write_bytes(data)
        return {"mediaType": media_type, "digest": digest(data), "size": len(data)}

    config = {
        "architecture": "wasm",
        "os": "wasip1",
        "config": {},
        "rootfs": {"type": "layers", "diff_ids": [digest(plain)]},
    }
    oci = "application/vnd.oci.image."
    manifest = {
        "schemaVersion": 2,
        "mediaType": oci + "manifest.v1+json",
        "config": blob(oci + "config.v1+json", oc.compact(config)),
        "layers": [blob(TAR + kind, compress(kind, plain))],
    }
    entry = blob(manifest["mediaType"], oc.compact(manifest))
    entry["annotations"] = {"org.opencontainers.image.ref.name": "v"}
    (folder / "index.json").write_bytes(oc.compact({"schemaVersion": 2, "manifests": [entry]}))
    (folder / "oci-layout").write_bytes(oc.compact({"imageLayoutVersion": "1.0.0"}))


def skopeo(kind, plain, public_keys):
    """The layer and its annotations, as skopeo encrypts them."""
    with tempfile.TemporaryDirectory() as temporary:
        here = pathlib.Path(temporary)
        write_layout(here / "src", kind, plain)
        command = ["skopeo", "--insecure-policy", "copy", "-q"]
        for key in public_keys:
            command += ["--encryption-key", f"jwe:{key}"]
        source, target = f"oci:{here}/src:v", f"oci:{here}/dst:v"
        subprocess.run([*command, source, target], check=True)

        def blob(name):
            return (here / "dst/blobs/sha256" / name.removeprefix("sha256:")).read_bytes()

        index = json.loads((here / "dst/index.json").read_text())
        manifest = json.loads(blob(index["manifests"][0]["digest"]))
        layer = manifest["layers"][0]
        return blob(layer["digest"]), layer["annotations"], layer["mediaType"]


# Files


class Writer:
    def __init__(self, folder):
        self.folder = folder

    def __call__(self, name, expect, keys, layer, annotations, comment, **more):
        lines = [f"expect: {expect}", *(f"key: {key}" for key in keys)]
        lines += [f"{field}: {value}" for field, value in more.items()]
        lines += [f"annotation: {key} {value}" for key, value in annotations.items()]
        lines += [f"comment: {comment}", "", f"layer: {oc.b64(layer)}"]
        (self.folder / f"{name}.txt").write_text("\n".join(lines) + "\n")


def flip(text, at=0):
    """Another base64url text of as many bytes."""
    data = bytearray(oc.unb64u(text))
    data[at] ^= 1
    return oc.b64u(bytes(data))


def write_from_skopeo(out, keys):
    plain = tar()
    public = lambda name: keys / f"{name}.pub.pem"
    cases = [
        ("", ["rsa2048"]),
        ("+gzip", ["rsa2048"]),
        ("+zstd", ["rsa2048"]),
        ("+gzip", ["p256"]),
        ("+gzip", ["p384"]),
        ("+gzip", ["p521"]),
        ("+gzip", ["rsa2048", "p256", "p521"]),
        ("+gzip", ["p384", "rsa2048-other"]),
    ]
    for kind, names in cases:
        layer, annotations, media_type = skopeo(kind, plain, map(public, names))
        annotations = {k: v for k, v in annotations.items() if ".enc." in k}
        for name in names:
            from_kind = "tar" + kind.replace("+", "-")
            several = "" if len(names) == 1 else f"-of-{len(names)}"
            comment = f"skopeo 1.9.3 encrypted it as {media_type} to {' and '.join(names)}."
            if not kind:
                comment += " It was not compressed before, and is now; the digest is from before."
            out(
                f"ok-skopeo-{from_kind}-{name}{several}",
                "ok",
                [name],
                layer,
                annotations,
                comment,
                digest="layer" if kind else "uncompressed",
                uncompressed=digest(plain),
            )


def private_of(keys, name):
    return serialization.load_pem_private_key((keys / f"{name}.pem").read_bytes(), None)


class Subject:
    """One layer with everything that can be made wrong about it."""

    def __init__(self, keys, name="rsa2048", **options):
        self.plain = tar()
        self.key = private_of(keys, name).public_key()
        self.layer, self.public, self.secret = oc.seal_layer(self.plain)
        self.options = options
        self.edit = lambda message: None
        self.after = lambda annotations: None

    def annotations(self):
        message = oc.jwe_seal(oc.compact(self.secret), [self.key], **self.options)
        self.edit(message)
        annotations = oc.annotations_of(self.public, message)
        self.after(annotations)
        return annotations


def write_from_python(out, keys):
    """What skopeo does not write, but may be written."""

    def ok(name, key, comment, change=lambda subject: None, state="layer", **options):
        subject = Subject(keys, key, **options)
        change(subject)
        plain = digest(subject.plain)
        annotations = subject.annotations()
        out(f"ok-{name}", "ok", [key], subject.layer, annotations, comment, digest=state, uncompressed=plain)

    ok("rsa-oaep-256", "rsa2048", "OAEP with SHA-256.", alg="RSA-OAEP-256")
    ok("ecdh-a128kw", "p256", "A key of 128 bits wraps.", alg="ECDH-ES+A128KW")
    for enc in ("A128GCM", "A192GCM"):
        ok(f"content-{enc.lower()}", "p384", f"The content is encrypted by {enc}.", enc=enc)
    parties = {"apu": oc.b64u(b"Alice"), "apv": oc.b64u(b"Bob")}
    ok("parties", "p256", "The header names both parties, which the KDF takes in.", parties=parties)
    ok("general", "p256", "The general form for one recipient.", general=True)

    def strict(subject):
        subject.edit = lambda message: message.pop("encrypted_key")

    ok("general-strict", "rsa2048", "Without the copy at the top, as in RFC 7516.", strict, general=True)
    ok("aad", "p521", "The JWE has additional authenticated data.", aad=b"more")

    def without_digest(subject):
        del subject.secret["digest"]

    ok("no-digest", "rsa2048", "No digest is named, so nothing can be compared.", without_digest, "none")

    def nonce_in_public(subject):
        subject.public["cipheroptions"] = subject.secret["cipheroptions"]
        subject.secret["cipheroptions"] = None

    ok("nonce-in-public-options", "rsa2048", "ocicrypt looks there first.", nonce_in_public)

    def last_nonce(subject):
        key, nonce = os.urandom(32), bytes([255] * 16)
        subject.layer = oc.ctr(key, nonce, subject.plain)
        mac = hmac.new(key, subject.layer, "sha256").digest()
        subject.public["hmac"] = oc.b64(mac)
        subject.secret["symkey"] = oc.b64(key)
        subject.secret["cipheroptions"]["nonce"] = oc.b64(nonce)

    ok("counter-overflow", "p256", "The second counter block is zero: all 128 bits count.", last_nonce)

    def several_elements(subject):
        def edit(annotations):
            other = oc.jwe_seal(b"{}", [private_of(keys, "rsa2048-other").public_key()])
            annotations[oc.JWE] = f"bm9uZQ==,{oc.b64(oc.compact(other))},{annotations[oc.JWE]}"
            annotations[oc.PROVIDER] = oc.b64(oc.compact({"kid": "kbs:///default/key/kek1"}))

        subject.after = edit

    ok("third-element", "p256", "Before ours are no JWE, and a JWE for somebody else.", several_elements)


def write_wrong(out, keys):
    def wrong(name, expect, comment, change=lambda subject: None, key="rsa2048", reader=None, **options):
        subject = Subject(keys, key, **options)
        change(subject)
        annotations = subject.annotations()
        out(f"{expect}-{name}", expect, [reader or key], subject.layer, annotations, comment)

    write_wrong_layers(wrong)
    write_wrong_options(wrong)
    write_wrong_keys(wrong, keys)
    write_wrong_annotations(wrong)


def write_wrong_layers(wrong):
    def layer(edit):
        def change(subject):
            subject.layer = edit(subject.layer)

        return change

    wrong("flipped-first", "mac", "The first bit is another.", layer(lambda b: bytes([b[0] ^ 1]) + b[1:]))
    wrong("flipped-last", "mac", "The last bit is another.", layer(lambda b: b[:-1] + bytes([b[-1] ^ 1])))
    wrong("truncated", "mac", "The last byte is missing.", layer(lambda b: b[:-1]))
    wrong("extended", "mac", "There is a byte too many.", layer(lambda b: b + b"\0"))
    wrong("empty", "mac", "There is nothing.", layer(lambda b: b""))

    def other_mac(subject):
        subject.public["hmac"] = oc.b64(bytes(32))

    wrong("other", "mac", "The MAC is of something else.", other_mac)

    def other_nonce(subject):
        subject.secret["cipheroptions"]["nonce"] = oc.b64(bytes(16))

    wrong("nonce", "other-digest", "The MAC is right, and the nonce another.", other_nonce)


def write_wrong_options(wrong):
    def public(**fields):
        def change(subject):
            subject.public |= fields

        return change

    def secret(**fields):
        def change(subject):
            subject.secret |= fields

        return change

    wrong("other", "cipher", "Another cipher.", public(cipher="AES_256_GCM"))
    wrong("none", "cipher", "No cipher.", public(cipher=""))
    wrong("terminal", "cipher", "A name that would change a terminal.", public(cipher="\x1b[31mred"))
    wrong("short-mac", "public-options", "Half a MAC.", public(hmac=oc.b64(bytes(16))))
    wrong("no-mac", "public-options", "No MAC.", public(hmac=""))
    wrong("mac-number", "public-options", "A MAC that is no text.", public(hmac=7))
    wrong("short-key", "key-options", "A key of 128 bits.", secret(symkey=oc.b64(bytes(16))))
    wrong("no-nonce", "key-options", "No nonce.", secret(cipheroptions={}))
    wrong("short-nonce", "key-options", "Half a nonce.", secret(cipheroptions={"nonce": oc.b64(bytes(8))}))
    wrong("digest", "key-options", "A digest of SHA-512.", secret(digest="sha512:" + "0" * 128))

    def no_key(subject):
        del subject.secret["symkey"]

    wrong("no-key", "key-options", "No key.", no_key)


def write_wrong_keys(wrong, keys):
    def jwe(edit):
        def change(subject):
            subject.edit = edit

        return change

    def flipped(field, at=0):
        return jwe(lambda message: message.update({field: flip(message[field], at)}))

    def header(edit):
        def change(message):
            fields = json.loads(oc.unb64u(message["protected"]))
            edit(fields)
            message["protected"] = oc.b64u(oc.compact(fields))

        return jwe(change)

    def unprotected(edit):
        """In the general form no tag protects the header of a recipient."""
        return jwe(lambda message: edit(message["recipients"][0]["header"]))

    def epk(**fields):
        return unprotected(lambda h: h["epk"].update(fields))

    wrong("rsa", "no-key", "For another RSA key.", reader="rsa2048-other")
    wrong("ec", "no-key", "For another key on the curve.", key="p256", reader="p256-other")
    wrong("kind", "no-key", "For an RSA key, and the reader has an EC key.", reader="p256")
    wrong("curve", "no-key", "For a key on another curve.", key="p384", reader="p256")
    for field in ("tag", "iv", "ciphertext", "encrypted_key"):
        wrong(f"flipped-{field.replace('_', '-')}-rsa", "no-key", f"Another {field}.", flipped(field))
        comment = f"Another {field}."
        wrong(f"flipped-{field.replace('_', '-')}-ec", "no-key", comment, flipped(field), key="p256")
    for field in ("tag", "iv", "encrypted_key"):
        cut = jwe(lambda m, field=field: m.update({field: oc.b64u(oc.unb64u(m[field])[:-1])}))
        wrong(f"short-{field.replace('_', '-')}", "no-key", f"A {field} that lacks a byte.", cut)
        empty = jwe(lambda m, field=field: m.update({field: ""}))
        wrong(f"empty-{field.replace('_', '-')}", "no-key", f"An empty {field}.", empty, key="p256")
    wrong("protected", "no-key", "The header says the same in other bytes.", header(lambda h: h.update(kid="x")))
    other = unprotected(lambda h: h.update(alg="RSA-OAEP-256"))
    wrong("algorithm-256", "no-key", "The header names the other OAEP.", other, general=True)
    ahead = {"alg": "ECDH-ES+A128KW"}
    wrong("algorithm-a128kw", "no-key", "The header names a shorter key.", unprotected(lambda h: h.update(ahead)), key="p256", general=True)
    wrong("no-algorithm", "no-key", "The header names no algorithm.", header(lambda h: h.pop("alg")))
    wrong("no-content-algorithm", "no-key", "The header names no `enc`.", header(lambda h: h.pop("enc")))
    twice = jwe(lambda m: m.update(header={"alg": "RSA-OAEP"}))
    wrong("algorithm-twice", "no-key", "Two headers name the algorithm.", twice)
    wrong("unsupported-a192kw", "no-key", "A key of 192 bits wraps.", key="p256", alg="ECDH-ES+A192KW")
    cbc = header(lambda h: h.update(enc="A256CBC-HS512"))
    wrong("unsupported-cbc", "no-key", "The content is encrypted by CBC and HMAC.", cbc)
    wrong("zip", "no-key", "The content is compressed.", extra={"zip": "DEF"})
    wrong("crit", "no-key", "An extension has to be understood.", extra={"crit": ["exp"], "exp": 1})
    x = oc.b64u((5).to_bytes(32, "big"))
    wrong("point-off-curve", "no-key", "The ephemeral point is not on the curve.", epk(x=x), key="p256", general=True)
    zero = oc.b64u(bytes(32))
    wrong("point-zero", "no-key", "The ephemeral point is zero.", epk(x=zero, y=zero), key="p256", general=True)
    wrong("point-short", "no-key", "A coordinate lacks a byte.", epk(x=oc.b64u(bytes(31))), key="p256", general=True)
    wrong("epk-curve-name", "no-key", "The ephemeral key names another curve.", epk(crv="P-384"), key="p256", general=True)
    other = oc.jwk(private_of(keys, "p384").public_key())
    wrong("epk-curve", "no-key", "The ephemeral key is on another curve.", epk(**other), key="p256", general=True)
    wrong("epk-kty", "no-key", "The ephemeral key claims another type.", epk(kty="OKP"), key="p256", general=True)
    wrong("no-epk", "no-key", "There is no ephemeral key.", unprotected(lambda h: h.pop("epk")), key="p256", general=True)
    wrong("apv", "no-key", "The header names a recipient that was not there.", unprotected(lambda h: h.update(apv="Qm9i")), key="p256", general=True)
    nobody = jwe(lambda m: m.update(recipients=[]))
    wrong("nobody", "no-key", "There are no recipients.", nobody)


def write_wrong_annotations(wrong):
    def after(edit):
        def change(subject):
            subject.after = edit

        return change

    def scheme(name):
        return after(lambda a: a.update({oc.KEYS + name: a.pop(oc.JWE)}))

    for name in ("pkcs7", "pgp", "pkcs11", "provider.attestation-agent"):
        wrong(name.replace(".", "-"), "scheme", f"Encrypted for scheme {name} only.", scheme(name))
    wrong("no-keys", "not-encrypted", "No key.", after(lambda a: a.pop(oc.JWE)))
    wrong("nothing", "not-encrypted", "No annotation.", after(lambda a: a.clear()))
    wrong("empty-keys", "not-encrypted", "The list of keys is empty.", after(lambda a: a.update({oc.JWE: ""})))
    wrong("missing", "public-options", "No public options.", after(lambda a: a.pop(oc.PUBOPTS)))
    wrong("no-base64", "public-options", "No base64.", after(lambda a: a.update({oc.PUBOPTS: "*"})))
    wrong("no-json", "public-options", "No JSON.", after(lambda a: a.update({oc.PUBOPTS: oc.b64(b"{")})))
    wrong("no-base64", "no-key", "A key that is no base64.", after(lambda a: a.update({oc.JWE: "*"})))
    wrong("no-json", "no-key", "A key that is no JSON.", after(lambda a: a.update({oc.JWE: oc.b64(b"{")})))
    many = after(lambda a: a.update({oc.JWE: ",".join(["e30="] * 64 + [a[oc.JWE]])}))
    wrong("keys", "too-much", "65 wrapped keys.", many)

    def many_recipients(message):
        one = {"encrypted_key": "AAAA"}
        message.update(recipients=[one] * 65)

    def change(subject):
        subject.edit = many_recipients

    wrong("recipients", "too-much", "65 recipients of one JWE.", change)


def write(folder):
    for old in folder.glob("*.txt"):
        old.unlink()
    out, keys = Writer(folder), folder / "keys"
    write_from_skopeo(out, keys)
    write_from_python(out, keys)
    write_wrong(out, keys)


if __name__ == "__main__":
    write(pathlib.Path(sys.argv[1]))
