"""Independent implementation of key backups, version 1.

Written from the section "Key backups" of docs/formats/ces.md alone, to be held
against the Rust crate.

    python ces_backup.py vectors DIR          write the vector files into DIR and check them
    python ces_backup.py check DIR            check the vector files in DIR
    python ces_backup.py open PASSPHRASE      open the backup on stdin: one line per key,
                                              the key in hex, a space, and its label
"""

import base64
import hashlib
import pathlib
import re
import sys

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

BEGIN = "-----BEGIN PROPELLER CES KEYS-----"
END = "-----END PROPELLER CES KEYS-----"
MAGIC = b"PRPLCEK"
TEXT_MAX = 65536
LINE = 64
HEAD = 44
ENTRY = 56
TAG = 16
CHECK = 16
LABEL = re.compile(rb"[a-z0-9._-]*\0*\Z")


class BackupError(Exception):
    """A backup that does not open; `code` says why."""

    def __init__(self, code):
        super().__init__(code)
        self.code = code


def backup_key(passphrase, salt, log_n):
    return hashlib.scrypt(
        passphrase, salt=salt, n=1 << log_n, r=8, p=1, maxmem=(1 << 31) - 2, dklen=32
    )


def check_of(content):
    return hashlib.sha256(content).digest()[:CHECK]


# Writing


def seal(keys, passphrase, salt, log_n, head=None):
    if head is None:
        head = MAGIC + bytes([1, log_n, 8, 1, len(keys)]) + salt
    plain = b"".join(key + label.encode().ljust(24, b"\0") for key, label in keys)
    sealed = AESGCM(backup_key(passphrase, salt, log_n)).encrypt(bytes(12), plain, head)
    return head + sealed


def with_check(content):
    return content + check_of(content)


def armour(data):
    lines = [data[at : at + LINE // 4 * 3] for at in range(0, len(data), LINE // 4 * 3)]
    return "\n".join([BEGIN, *(base64.b64encode(line).decode() for line in lines), END, ""])


# Reading


def strip_armour(text):
    if len(text.encode()) > TEXT_MAX:
        raise BackupError("long")
    lines = [line.strip() for line in text.split("\n")]
    lines = [line for line in lines if line]
    if not lines or lines[0] != BEGIN:
        raise BackupError("not-a-backup")
    if END not in lines:
        raise BackupError("cut")
    if lines[-1] != END or lines.count(END) != 1:
        raise BackupError("line")
    body = lines[1:-1]
    data = b""
    for number, line in enumerate(body):
        last = number + 1 == len(body)
        if len(line) != LINE and not (last and len(line) < LINE):
            raise BackupError("line")
        try:
            decoded = base64.b64decode(line, validate=True)
        except ValueError:
            raise BackupError("line") from None
        # Python passes over bits that the padding makes superfluous.
        if base64.b64encode(decoded).decode() != line:
            raise BackupError("line")
        data += decoded
    return data


def open_backup(text, passphrase):
    data = strip_armour(text)
    content, check = data[:-CHECK], data[-CHECK:]
    if len(data) < CHECK or check_of(content) != check:
        raise BackupError("damaged")
    if len(content) < HEAD or content[:7] != MAGIC:
        raise BackupError("not-a-backup")
    version, log_n, r, p, count = content[7:12]
    if version != 1:
        raise BackupError("version")
    if not 10 <= log_n <= 20 or (r, p) != (8, 1):
        raise BackupError("cost")
    if count == 0 or len(content) != HEAD + ENTRY * count + TAG:
        raise BackupError("length")
    head, sealed = content[:HEAD], content[HEAD:]
    key = backup_key(passphrase, head[12:], log_n)
    try:
        plain = AESGCM(key).decrypt(bytes(12), sealed, head)
    except InvalidTag:
        raise BackupError("passphrase") from None
    keys = []
    for at in range(0, len(plain), ENTRY):
        secret, label = plain[at : at + 32], plain[at + 32 : at + ENTRY]
        if not LABEL.match(label):
            raise BackupError("label")
        keys.append((secret, label.rstrip(b"\0").decode()))
    return keys


# Vectors

PASSPHRASE = "correct horse battery staple"


def value(name, what, length):
    return hashlib.sha256(f"ces-backup {name} {what}".encode()).digest()[:length]


def case(name, expect, comment, labels=("production", ""), log_n=10, passphrase=PASSPHRASE,
         head=None, content=None, data=None, text=None, other=None):
    """One vector; each argument from `head` on changes what its stage gives."""
    keys = [(value(name, f"key {i}", 32), label) for i, label in enumerate(labels)]
    salt = value(name, "salt", 32)
    first = MAGIC + bytes([1, log_n, 8, 1, len(keys)]) + salt
    made = seal(keys, passphrase.encode(), salt, log_n, head(first) if head else first)
    made = with_check(content(made) if content else made)
    made = armour(data(made) if data else made)
    made = text(made) if text else made
    lines = [f"expect: {expect}", f"passphrase: {other or passphrase}"]
    if expect == "ok":
        lines += [f"key: {key.hex()} {label}".rstrip() for key, label in keys]
    lines += [f"comment: {comment}", "", ""]
    return name, "\n".join(lines) + made


def put(at, values):
    return lambda data: data[:at] + bytes(values) + data[at + len(values):]


def flip(at):
    return lambda data: put(at, [data[at] ^ 1])(data)


def without_line(number):
    def change(text):
        lines = text.split("\n")
        del lines[number]
        return "\n".join(lines)
    return change


def cases():
    yield case("ok-two", "ok", "Two keys, one with a label.")
    yield case("ok-one", "ok", "One key without a label.", labels=[""])
    yield case("ok-longest-label", "ok", "A label that fills its field.", labels=["abcdefghijklmnopqrstuv-9"])
    yield case("ok-many", "ok", "Forty keys, over many lines.", labels=["test"] * 40)
    yield case("ok-default-cost", "ok", "The cost that writers take.", log_n=17)
    yield case("ok-unicode", "ok", "A passphrase whose bytes are UTF-8.", passphrase="pässwörter gehören dazu")
    yield case("ok-white-space", "ok", "Lines of another system, indented, with empty ones between.",
               text=lambda text: "\r\n" + text.replace("\n", "\r\n\r\n  "))
    yield case("passphrase-other", "passphrase", "Another passphrase.", other=PASSPHRASE + "s")
    yield case("passphrase-space", "passphrase", "A passphrase with a space after it.",
               passphrase=PASSPHRASE + " .", other=PASSPHRASE + " ,")
    yield case("passphrase-forged-salt", "passphrase", "A salt that was changed, with a check that matches.",
               content=flip(20))
    yield case("passphrase-forged-tag", "passphrase", "A tag that was changed, with a check that matches.",
               content=lambda data: flip(len(data) - 1)(data))
    yield case("damaged-magic", "damaged", "A bit of the magic.", data=flip(0))
    yield case("damaged-count", "damaged", "A bit of the number of keys.", data=flip(11))
    yield case("damaged-salt", "damaged", "A bit of the salt.", data=flip(30))
    yield case("damaged-keys", "damaged", "A bit of a sealed key.", data=flip(50))
    yield case("damaged-check", "damaged", "A bit of the check.", data=lambda data: flip(len(data) - 1)(data))
    yield case("damaged-lost-line", "damaged", "A line is lost.", text=without_line(2))
    yield case("damaged-lost-last-line", "damaged", "The last line of base64 is lost.", text=without_line(-3))
    yield case("damaged-empty", "damaged", "Nothing between the first and the last line.",
               text=lambda _: f"{BEGIN}\n{END}\n")
    yield case("cut-no-end", "cut", "The last line is lost.", text=without_line(-2))
    yield case("cut-in-a-line", "cut", "Cut within a line.", text=lambda text: text[:120])
    yield case("cut-in-the-end", "cut", "Cut within the last line.", text=lambda text: text[:-5])
    yield case("line-character", "line", "A character that base64 does not have.",
               text=lambda text: text[:40] + "*" + text[41:])
    yield case("line-short", "line", "A line that lost its end.", text=lambda text: text[:90] + text[94:])
    yield case("line-after-the-end", "line", "Something after the last line.", text=lambda text: text + "AAAA\n")
    yield case("line-superfluous-bits", "line", "Bits that the padding makes superfluous are not zero.",
               text=superfluous)
    yield case("not-a-backup-other-first-line", "not-a-backup", "Another first line.",
               text=lambda text: text.replace("CES KEYS", "KEYS"))
    yield case("not-a-backup-magic", "not-a-backup", "Another magic, with a check that matches.",
               content=put(0, b"PRPLCES"))
    yield case("not-a-backup-short", "not-a-backup", "Too short for a head, with a check that matches.",
               content=lambda data: data[:43])
    yield case("version-2", "version", "A later version.", content=put(7, [2]))
    yield case("cost-log-n-9", "cost", "N is lower than anybody uses.", content=put(8, [9]))
    yield case("cost-log-n-21", "cost", "N asks for 2 GiB.", content=put(8, [21]))
    yield case("cost-log-n-255", "cost", "N is beyond all numbers.", content=put(8, [255]))
    yield case("cost-r", "cost", "r asks for 4 GiB.", content=put(9, [255]))
    yield case("cost-p", "cost", "p asks for 255 times the time.", content=put(10, [255]))
    yield case("length-none", "length", "No keys.", labels=[])
    yield case("length-more", "length", "More keys than there are.", content=put(11, [3]))
    yield case("length-rest", "length", "A byte too many.", content=lambda data: data + b"\0")
    yield case("label-upper-case", "label", "A label in upper case.", labels=["Production"])
    yield case("label-after-zero", "label", "A label with something after a zero.", labels=["a\0b"])


def superfluous(text):
    lines = text.split("\n")
    at = -3
    bare = lines[at].rstrip("=")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    changed = alphabet[alphabet.index(bare[-1]) + 1]
    lines[at] = bare[:-1] + changed + lines[at][len(bare):]
    return "\n".join(lines)


def parse(content):
    head, _, text = content.partition("\n\n")
    fields = [line.partition(": ")[::2] for line in head.split("\n")]
    keys = [tuple((line + " ").split(" ")[:2]) for name, line in fields if name == "key"]
    fields = dict(fields)
    return fields["expect"], fields["passphrase"], keys, text


def check_dir(directory):
    names = sorted(pathlib.Path(directory).glob("*.txt"))
    for path in names:
        expect, passphrase, keys, text = parse(path.read_bytes().decode())
        try:
            got = [(key.hex(), label) for key, label in open_backup(text, passphrase.encode())]
            outcome = "ok"
        except BackupError as error:
            got, outcome = [], error.code
        assert outcome == expect, f"{path.name}: {outcome}, not {expect}"
        assert got == keys, f"{path.name}: other keys"
        assert path.name.startswith(expect), path.name
    assert names, "no vectors"
    print(f"{len(names)} vectors hold")


def main():
    command, argument = (sys.argv[1:] + [None, None])[:2]
    if len(sys.argv) != 3 or command not in ("vectors", "check", "open"):
        sys.exit(__doc__)
    if command == "open":
        for key, label in open_backup(sys.stdin.read(), argument.encode()):
            print(key.hex(), label)
        return
    if command == "vectors":
        for name, content in cases():
            (pathlib.Path(argument) / f"{name}.txt").write_bytes(content.encode())
    check_dir(argument)


if __name__ == "__main__":
    main()
