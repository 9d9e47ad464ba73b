"""Image signatures in Python, written from docs/formats/image-signatures.md and the sources that
it cites, to check the Rust code against. ECDSA and Poly1305 are those of the package
`cryptography`, scrypt is hashlib's; Salsa20 is written out here from its specification.

Without arguments: one JSON request per line, one JSON answer per line.
`sign.py generate FOLDER` writes the vectors anew, with new keys. They are test keys.
"""

import base64
import hashlib
import json
import os
import pathlib
import struct
import sys

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, poly1305, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

ECDSA = ec.ECDSA(hashes.SHA256())
SIGNATURE = "dev.cosignproject.cosign/signature"
CERTIFICATE = "dev.sigstore.cosign/certificate"


def salsa20_core(state, add):
    """The 20 rounds (Salsa20 specification, D. J. Bernstein, 2005)."""
    x = list(state)

    def quarter(a, b, c, d):
        for to, one, two, by in ((b, a, d, 7), (c, b, a, 9), (d, c, b, 13), (a, d, c, 18)):
            total = (x[one] + x[two]) & 0xFFFFFFFF
            x[to] ^= ((total << by) | (total >> (32 - by))) & 0xFFFFFFFF

    for _ in range(10):
        quarter(0, 4, 8, 12), quarter(5, 9, 13, 1), quarter(10, 14, 2, 6), quarter(15, 3, 7, 11)
        quarter(0, 1, 2, 3), quarter(5, 6, 7, 4), quarter(10, 11, 8, 9), quarter(15, 12, 13, 14)
    return [(a + b) & 0xFFFFFFFF for a, b in zip(x, state)] if add else x


def salsa20_state(key, middle):
    sigma, k, m = (struct.unpack("<%dI" % (len(b) // 4), b) for b in (b"expand 32-byte k", key, middle))
    return [sigma[0], *k[:4], sigma[1], *m, sigma[2], *k[4:], sigma[3]]


def xsalsa20(key, nonce, length):
    x = salsa20_core(salsa20_state(key, nonce[:16]), add=False)
    subkey = struct.pack("<8I", *(x[i] for i in (0, 5, 10, 15, 6, 7, 8, 9)))
    stream = b""
    for block in range(length // 64 + 1):
        state = salsa20_state(subkey, nonce[16:] + struct.pack("<Q", block))
        stream += struct.pack("<16I", *salsa20_core(state, add=True))
    return stream[:length]


def xor(a, b):
    return bytes(x ^ y for x, y in zip(a, b))


def secretbox(key, nonce, plain):
    stream = xsalsa20(key, nonce, 32 + len(plain))
    body = xor(plain, stream[32:])
    return poly1305.Poly1305.generate_tag(stream[:32], body) + body


def secretbox_open(key, nonce, sealed):
    stream = xsalsa20(key, nonce, 32 + len(sealed) - 16)
    poly1305.Poly1305.verify_tag(stream[:32], sealed[16:], sealed[:16])
    return xor(sealed[16:], stream[32:])


def b64(data):
    return base64.b64encode(data).decode()


def scrypt(passphrase, salt, n, r, p):
    return hashlib.scrypt(passphrase, salt=salt, n=n, r=r, p=p, dklen=32, maxmem=256 << 20)


def pem(label, data):
    text = b64(data)
    lines = [text[i : i + 64] for i in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN %s-----" % label, *lines, "-----END %s-----" % label, ""])


def seal(der, passphrase, n=65536, label="ENCRYPTED SIGSTORE PRIVATE KEY", **changes):
    """A private key as cosign writes it; `changes` replace what the JSON says."""
    salt, nonce = os.urandom(32), os.urandom(24)
    sealed = {
        "kdf": {"name": "scrypt", "params": {"N": n, "r": 8, "p": 1}, "salt": b64(salt)},
        "cipher": {"name": "nacl/secretbox", "nonce": b64(nonce)},
        "ciphertext": b64(secretbox(scrypt(passphrase, salt, n, 8, 1), nonce, der)),
    }
    for path, value in changes.items():
        *folders, last = path.split("__")
        place = sealed
        for folder in folders:
            place = place[folder]
        place[last] = value
    return pem(label, json.dumps(sealed, separators=(",", ":")).encode())


def unseal(text, passphrase):
    sealed = json.loads(base64.b64decode("".join(text.split("-----")[2].split())))
    kdf, params = sealed["kdf"], sealed["kdf"]["params"]
    key = scrypt(passphrase, base64.b64decode(kdf["salt"]), params["N"], params["r"], params["p"])
    return secretbox_open(
        key, base64.b64decode(sealed["cipher"]["nonce"]), base64.b64decode(sealed["ciphertext"])
    )


def pkcs8(key, encoding=serialization.Encoding.DER):
    return key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())


def spki(key, encoding=serialization.Encoding.PEM):
    return key.public_bytes(encoding, serialization.PublicFormat.SubjectPublicKeyInfo)


def payload(identity, digest, kind="cosign container image signature", **more):
    critical = {
        "identity": {"docker-reference": identity},
        "image": {"docker-manifest-digest": digest},
        "type": kind,
        **more,
    }
    return json.dumps({"critical": critical, "optional": None}, separators=(",", ":"))


def answer(request):
    if request["op"] == "verify":
        key = serialization.load_pem_public_key(request["key"].encode())
        try:
            key.verify(base64.b64decode(request["signature"]), request["payload"].encode(), ECDSA)
        except InvalidSignature:
            return {"ok": False}
        says = json.loads(request["payload"])["critical"]
        return {"ok": True, "identity": says["identity"]["docker-reference"],
                "manifest": says["image"]["docker-manifest-digest"], "type": says["type"]}
    if request["op"] == "sign":
        der = unseal(request["key"], request["passphrase"].encode())
        key = serialization.load_der_private_key(der, None)
        text = payload(request["identity"], request["manifest"])
        return {"payload": text, "signature": b64(key.sign(text.encode(), ECDSA))}
    if request["op"] == "fresh":
        key = ec.generate_private_key(ec.SECP256R1())
        return {"public": spki(key.public_key()).decode(),
                "private": seal(pkcs8(key), request["passphrase"].encode(), request["n"])}
    raise ValueError(request["op"])


class Vectors:
    """Writes vectors: a JSON file each, and the keys beside them."""

    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        (self.folder / "keys").mkdir(parents=True, exist_ok=True)

    def key(self, name, text):
        (self.folder / "keys" / name).write_text(text if isinstance(text, str) else text.decode())

    def private_key(self, name, expect, text, passphrase=None):
        self.key(name + ".key", text)
        self.write("key-" + name, {"expect": expect, "private": name + ".key", "passphrase": passphrase})

    def write(self, name, value):
        path = self.folder / (name + ".json")
        path.write_text(json.dumps(value, indent=1, ensure_ascii=True) + "\n")


def generate(folder):
    out = Vectors(folder)
    ours, stranger = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    generate_keys(out, ours)
    out.key("stranger.pub", spki(stranger.public_key()))
    generate_signatures(out, ours, stranger)


def generate_keys(out, key):
    der, word = pkcs8(key), b"correct horse"
    sec1 = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL,
                             serialization.NoEncryption()).decode()
    out.key("ours.pub", spki(key.public_key()))
    fingerprint = hashlib.sha256(spki(key.public_key(), serialization.Encoding.DER)).hexdigest()
    ok = "ok sha256:" + fingerprint
    curve = pem("EC PARAMETERS", bytes.fromhex("06082a8648ce3d030107"))
    out.private_key("ok-sigstore", ok, seal(der, word), "correct horse")
    out.private_key("ok-sigstore-owasp", ok, seal(der, word, 131072), "correct horse")
    out.private_key("ok-cosign", ok, seal(der, word, 32768, "ENCRYPTED COSIGN PRIVATE KEY"), "correct horse")
    out.private_key("ok-empty-passphrase", ok, seal(der, b""), "")
    out.private_key("ok-pkcs8", ok, pkcs8(key, serialization.Encoding.PEM))
    out.private_key("ok-sec1", ok, sec1)
    out.private_key("ok-sec1-after-parameters", ok, curve + sec1)
    out.private_key("passphrase-wrong", "Passphrase", seal(der, word), "correct mule")
    out.private_key("passphrase-missing", "NoPassphrase", seal(der, word))
    out.private_key("passphrase-needless", "NotEncrypted", pkcs8(key, serialization.Encoding.PEM), "x")
    flipped = bytearray(base64.b64decode(json.loads(base64.b64decode(
        "".join(seal(der, word).split("-----")[2].split())))["ciphertext"]))
    flipped[20] ^= 1
    out.private_key("ciphertext-flipped", "Passphrase", seal(der, word, ciphertext=b64(flipped)), "correct horse")
    out.private_key("ciphertext-shorter-than-its-tag", "Passphrase", seal(der, word, ciphertext="AAAA"), "correct horse")
    out.private_key("scrypt-100-gigabytes", "Scrypt", seal(der, word, kdf__params__N=1 << 27), "correct horse")
    out.private_key("scrypt-weak", "Scrypt", seal(der, word, 1024), "correct horse")
    out.private_key("scrypt-not-a-power-of-two", "Scrypt", seal(der, word, kdf__params__N=65535), "correct horse")
    out.private_key("scrypt-wide-blocks", "Scrypt", seal(der, word, kdf__params__r=1 << 30), "correct horse")
    out.private_key("scrypt-in-parallel", "Scrypt", seal(der, word, kdf__params__p=1 << 30), "correct horse")
    out.private_key("scrypt-negative", "Sealed", seal(der, word, kdf__params__N=-1), "correct horse")
    out.private_key("another-kdf", "Sealed", seal(der, word, kdf__name="pbkdf2"), "correct horse")
    out.private_key("another-cipher", "Sealed", seal(der, word, cipher__name="none"), "correct horse")
    out.private_key("nonce-short", "Sealed", seal(der, word, cipher__nonce=b64(bytes(12))), "correct horse")
    out.private_key("salt-not-base64", "Sealed", seal(der, word, kdf__salt="%%%%"), "correct horse")
    out.private_key("sealed-not-json", "Sealed", pem("ENCRYPTED SIGSTORE PRIVATE KEY", b"{"), "correct horse")
    out.private_key("sealed-not-a-key", "Malformed", seal(b"not a key", word), "correct horse")
    no_end = seal(der, word).replace("-----END", "-----FIN")
    out.private_key("sealed-without-end", "NotPem", no_end, "correct horse")
    out.private_key("not-pem", "NotPem", "ssh-ed25519 AAAA\n")
    plain = pkcs8(key, serialization.Encoding.PEM).decode()
    out.private_key("two-keys", "Several", plain + sec1)
    out.private_key("key-and-certificate", "Several", plain + pem("CERTIFICATE", b"x"))
    out.private_key("longer-than-any-key", "TooLong", "#" * 65536 + "\n" + plain)
    out.key("two-keys.pub", spki(key.public_key()).decode() * 2)
    out.write("key-two-keys-public", {"expect": "Several", "public": "two-keys.pub"})
    out.private_key("public-for-private", "Label", spki(key.public_key()))
    encrypted = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                  serialization.BestAvailableEncryption(b"x"))
    out.private_key("encrypted-by-openssl", "Label", encrypted, "x")
    for name, other in (
        ("p384", ec.generate_private_key(ec.SECP384R1())),
        ("p521", ec.generate_private_key(ec.SECP521R1())),
        ("secp256k1", ec.generate_private_key(ec.SECP256K1())),
        ("ed25519", ed25519.Ed25519PrivateKey.generate()),
        ("rsa", rsa.generate_private_key(65537, 2048)),
    ):
        out.private_key(name, "Algorithm", pkcs8(other, serialization.Encoding.PEM))
        out.key(name + ".pub", spki(other.public_key()))
        out.write("key-" + name + "-public", {"expect": "Algorithm", "public": name + ".pub"})
    out.key("certificate.pub", pem("CERTIFICATE", b"x"))
    out.write("key-certificate-public", {"expect": "Label", "public": "certificate.pub"})
    point = key.public_key().public_bytes(serialization.Encoding.X962, serialization.PublicFormat.UncompressedPoint)
    out.key("bare-point.pub", pem("PUBLIC KEY", point))
    out.write("key-bare-point-public", {"expect": "Malformed", "public": "bare-point.pub"})
    out.key("off-curve.pub", pem("PUBLIC KEY", spki(key.public_key(), serialization.Encoding.DER)[:-1] + b"\0"))
    out.write("key-off-curve-public", {"expect": "Malformed", "public": "off-curve.pub"})
    out.write("key-ours-public", {"expect": ok, "public": "ours.pub"})


def generate_signatures(out, ours, stranger):
    digest, other = ("sha256:" + hashlib.sha256(x).hexdigest() for x in (b"image", b"other image"))
    repository = "registry.example/team/app"

    def sign(key, text):
        return b64(key.sign(text.encode(), ECDSA))

    def candidate(text, signature, **more):
        annotations = {} if signature is None else {SIGNATURE: signature}
        annotations.update(more.pop("annotations", {}))
        return {"payload": text, "annotations": annotations, **more}

    def vector(name, expect, *candidates, repository=repository, trusted=("ours",), **more):
        out.write(name, {"expect": expect, "manifest": digest, "repository": repository,
                         "trusted": list(trusted), "candidates": list(candidates), **more})

    def signed(text, key=ours, **more):
        return candidate(text, sign(key, text), **more)

    good = payload(repository, digest)
    right = signed(good)
    vector("ok", "ok", right)
    vector("ok-tagged", "ok", signed(payload(repository + ":1.0", digest)))
    vector("ok-any-repository", "ok", signed(payload("elsewhere.example/x", digest)), repository=None)
    vector("ok-second-key", "ok", right, trusted=("stranger", "ours"))
    vector("ok-after-strangers", "ok", signed(good, stranger), candidate(good, None), candidate("{", "%"), right)
    vector("ok-after-another-image", "ok", signed(payload(repository, other)), right)
    vector("ok-optional-claims", "ok", signed(good.replace("null", '{"creator":"x","timestamp":1}')))
    vector("ok-spaced", "ok", signed(json.dumps(json.loads(good), indent=3)))
    vector("ok-hundred", "ok", *[candidate(good, None)] * 99, right)
    vector("not-signed", "NotSigned")
    vector("too-many", "TooMany", right, *[candidate(good, None)] * 100)
    vector("stranger", "SomebodyElse 1 0", signed(good, stranger))
    vector("stranger-no-trust", "SomebodyElse 1 0", right, trusted=())
    vector("stranger-keyless", "SomebodyElse 2 1", signed(good, stranger),
           signed(good, stranger, annotations={CERTIFICATE: "-----BEGIN CERTIFICATE-----"}))
    vector("stranger-hostile-claim", "SomebodyElse 1 0",
           signed(payload("\x1b[2J\r\nok\u202e" + "x" * 5000, digest), stranger))
    vector("flipped-payload-byte", "SomebodyElse 1 0", candidate(good.replace("team", "teal"), sign(ours, good)))
    swapped = candidate(good.replace(digest, other), sign(ours, good))
    vector("flipped-digest", "SomebodyElse 1 0", swapped)
    der = bytearray(base64.b64decode(sign(ours, good)))
    der[10] ^= 1
    vector("flipped-signature-byte", "SomebodyElse 1 0", candidate(good, b64(der)))
    vector("empty-signature", "SomebodyElse 1 0", candidate(good, ""))
    raw = bytes(64)
    vector("zero-signature", "SomebodyElse 1 0", candidate(good, b64(raw)))
    vector("zero-signature-in-asn1", "SomebodyElse 1 0", candidate(good, b64(bytes.fromhex("3006020100020100"))))
    vector("trailing-signature-byte", "SomebodyElse 1 0", candidate(good, b64(base64.b64decode(sign(ours, good)) + b"\0")))
    vector("base64-garbage", "Unusable NotBase64", candidate(good, "not base64!"))
    vector("base64-with-newline", "Unusable NotBase64", candidate(good, sign(ours, good) + "\n"))
    vector("long-signature", "Unusable SignatureTooLong", candidate(good, "A" * 1028))
    vector("no-annotation", "Unusable NoSignature", candidate(good, None))
    vector("ten-megabytes", "Unusable PayloadTooLong", candidate(
        good, sign(ours, good + " " * (10 << 20)), spaces=10 << 20))
    vector("one-byte-too-long", "Unusable PayloadTooLong", candidate(
        good, sign(ours, good + " " * (65537 - len(good))), spaces=65537 - len(good)))
    vector("ok-longest", "ok", candidate(
        good, sign(ours, good + " " * (65536 - len(good))), spaces=65536 - len(good)))
    vector("other-image", "OtherImage", signed(payload(repository, other)))
    vector("other-repository", "OtherRepository", signed(payload("registry.example/team/app2", digest)))
    vector("other-repository-hostile", "OtherRepository", signed(payload("\x1b[2J\n" + "y" * 5000, digest)))
    vector("other-repository-empty", "OtherRepository", signed(payload("", digest)))
    vector("nearest-is-told", "OtherRepository", signed(good, stranger), signed("[]"),
           signed(payload("x/y", digest)), signed(payload(repository, other)))
    for name, text in (
        ("not-json", "image"),
        ("empty", ""),
        ("cut", good[:-1]),
        ("trailing", good + "{}"),
        ("no-digest", json.dumps({"critical": {"identity": {"docker-reference": repository}, "image": {},
                                               "type": "cosign container image signature"}})),
        ("sha512", payload(repository, "sha512:" + "0" * 128)),
        ("upper-case-digest", payload(repository, "sha256:" + digest[7:].upper())),
        ("another-type", payload(repository, digest, "atomic container signature")),
        ("hostile-type", payload(repository, digest, "\x1b]0;x\x07" + "z" * 5000)),
        ("unknown-critical", payload(repository, digest, until="2030")),
        ("unknown-beside-critical", good.replace('"optional"', '"necessary":1,"optional"')),
        ("digest-twice", good.replace('"image":{', '"image":{"docker-manifest-digest":"%s",' % other)),
        ("deep", '{"critical":' + "[" * 30000),
    ):
        vector("malformed-" + name, "Malformed", signed(text))


def main():
    if sys.argv[1:2] == ["generate"]:
        generate(sys.argv[2])
        return
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), flush=True)


main()
