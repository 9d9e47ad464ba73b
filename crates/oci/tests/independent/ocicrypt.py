"""Independent implementation of ocicrypt's encrypted layers, over PyPI's `cryptography`.

Written from RFC 7516, RFC 7518 and what skopeo writes, to be held against the Rust crate.

    python ocicrypt.py    answer JSON lines from stdin on stdout

A request is {"op":"encrypt","keys":[pem],"plain":base64} with public keys, or
{"op":"decrypt","keys":[pem],"annotations":{},"layer":base64} with private ones.
An answer is {"layer":base64,"annotations":{}}, {"plain":base64,"digest":text} or {"error":text}.
"""

import base64
import hashlib
import hmac
import json
import os
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

PUBOPTS = "org.opencontainers.image.enc.pubopts"
KEYS = "org.opencontainers.image.enc.keys."
JWE = KEYS + "jwe"
PROVIDER = KEYS + "provider.attestation-agent"
CIPHER = "AES_256_CTR_HMAC_SHA256"
CURVES = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


class LayerError(Exception):
    """A layer that does not open."""


def b64(data):
    return base64.b64encode(data).decode()


def b64u(data):
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


def unb64u(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def compact(value):
    return json.dumps(value, separators=(",", ":")).encode()


# JWE


def oaep(digest):
    return padding.OAEP(padding.MGF1(digest()), digest(), None)


def concat_kdf(agreed, header, bits):
    """RFC 7518, section 4.6.2."""
    fields = [header["alg"].encode(), unb64u(header.get("apu", "")), unb64u(header.get("apv", ""))]
    other = b"".join(len(field).to_bytes(4, "big") + field for field in fields)
    text = (1).to_bytes(4, "big") + agreed + other + bits.to_bytes(4, "big")
    return hashlib.sha256(text).digest()[: bits // 8]


def curve_name(key):
    return next(name for name, curve in CURVES.items() if curve.name == key.curve.name)


def jwk(key):
    numbers = key.public_numbers()
    size = (key.curve.key_size + 7) // 8
    x, y = (b64u(n.to_bytes(size, "big")) for n in (numbers.x, numbers.y))
    return {"kty": "EC", "crv": curve_name(key), "x": x, "y": y}


def from_jwk(epk):
    x, y = (int.from_bytes(unb64u(epk[n]), "big") for n in "xy")
    return ec.EllipticCurvePublicNumbers(x, y, CURVES[epk["crv"]]).public_key()


def wrap(key, cek, alg=None, parties=None):
    """The header and the encrypted key for one recipient."""
    if isinstance(key, rsa.RSAPublicKey):
        alg = alg or "RSA-OAEP"
        digest = hashes.SHA1 if alg == "RSA-OAEP" else hashes.SHA256
        return {"alg": alg}, key.encrypt(cek, oaep(digest))
    own = ec.generate_private_key(key.curve)
    header = {"alg": alg or "ECDH-ES+A256KW", "epk": jwk(own.public_key()), **(parties or {})}
    agreed = own.exchange(ec.ECDH(), key)
    return header, aes_key_wrap(concat_kdf(agreed, header, int(header["alg"][-5:-2])), cek)


def unwrap(key, header, encrypted):
    if isinstance(key, rsa.RSAPrivateKey):
        digest = {"RSA-OAEP": hashes.SHA1, "RSA-OAEP-256": hashes.SHA256}[header["alg"]]
        return key.decrypt(encrypted, oaep(digest))
    agreed = key.exchange(ec.ECDH(), from_jwk(header["epk"]))
    return aes_key_unwrap(concat_kdf(agreed, header, int(header["alg"][-5:-2])), encrypted)


def jwe_seal(plain, keys, *, enc="A256GCM", alg=None, parties=None, extra=None, aad=None, general=False):
    cek, iv = os.urandom(int(enc[1:4]) // 8), os.urandom(12)
    wrapped = [wrap(key, cek, alg, parties) for key in keys]
    if len(wrapped) == 1 and not general:
        message = {"protected": {**wrapped[0][0], "enc": enc, **(extra or {})}}
    else:
        recipients = [{"header": h, "encrypted_key": b64u(k)} for h, k in wrapped]
        message = {"protected": {"enc": enc, **(extra or {})}, "recipients": recipients}
    message["protected"] = b64u(compact(message["protected"]))
    bound = message["protected"]
    if aad is not None:
        message["aad"] = b64u(aad)
        bound += "." + message["aad"]
    sealed = AESGCM(cek).encrypt(iv, plain, bound.encode())
    message |= {"encrypted_key": b64u(wrapped[0][1]), "iv": b64u(iv)}
    message |= {"ciphertext": b64u(sealed[:-16]), "tag": b64u(sealed[-16:])}
    return message


def jwe_open(message, keys):
    common = json.loads(unb64u(message["protected"]))
    flattened = [{"header": {}, "encrypted_key": message.get("encrypted_key")}]
    bound = message["protected"] + ("." + message["aad"] if "aad" in message else "")
    sealed = unb64u(message["ciphertext"]) + unb64u(message["tag"])
    for recipient in message.get("recipients", flattened):
        header = {**common, **recipient.get("header", {})}
        for key in keys:
            try:
                cek = unwrap(key, header, unb64u(recipient["encrypted_key"]))
                return AESGCM(cek).decrypt(unb64u(message["iv"]), sealed, bound.encode())
            except (ValueError, KeyError, InvalidUnwrap, InvalidTag):
                continue
    raise LayerError("no key")


# Layers


def ctr(key, nonce, data):
    context = Cipher(algorithms.AES(key), modes.CTR(nonce)).encryptor()
    return context.update(data) + context.finalize()


def seal_layer(plain, digest=None):
    """The encrypted layer, its public options and its key options."""
    key, nonce = os.urandom(32), os.urandom(16)
    layer = ctr(key, nonce, plain)
    mac = hmac.new(key, layer, "sha256").digest()
    digest = digest or "sha256:" + hashlib.sha256(plain).hexdigest()
    secret = {"symkey": b64(key), "digest": digest, "cipheroptions": {"nonce": b64(nonce)}}
    return layer, {"cipher": CIPHER, "hmac": b64(mac), "cipheroptions": {}}, secret


def annotations_of(public, *messages):
    jwe = ",".join(b64(compact(message)) for message in messages)
    return {PUBOPTS: b64(compact(public)), JWE: jwe}


def encrypt(plain, keys):
    layer, public, secret = seal_layer(plain)
    return layer, annotations_of(public, jwe_seal(compact(secret), keys))


def decrypt(layer, annotations, keys):
    public = json.loads(base64.b64decode(annotations[PUBOPTS]))
    for element in annotations[JWE].split(","):
        try:
            secret = json.loads(jwe_open(json.loads(base64.b64decode(element)), keys))
            break
        except LayerError:
            continue
    else:
        raise LayerError("no key")
    key = base64.b64decode(secret["symkey"])
    mac = hmac.new(key, layer, "sha256").digest()
    if not hmac.compare_digest(mac, base64.b64decode(public["hmac"])):
        raise LayerError("mac")
    options = {**(secret["cipheroptions"] or {}), **(public["cipheroptions"] or {})}
    return ctr(key, base64.b64decode(options["nonce"]), layer), secret["digest"]


# Answers


def answer(request):
    try:
        if request["op"] == "encrypt":
            keys = [serialization.load_pem_public_key(k.encode()) for k in request["keys"]]
            layer, annotations = encrypt(base64.b64decode(request["plain"]), keys)
            return {"layer": b64(layer), "annotations": annotations}
        keys = [serialization.load_pem_private_key(k.encode(), None) for k in request["keys"]]
        layer = base64.b64decode(request["layer"])
        plain, digest = decrypt(layer, request["annotations"], keys)
        return {"plain": b64(plain), "digest": digest}
    except LayerError as error:
        return {"error": str(error)}


def main():
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))))


if __name__ == "__main__":
    main()
