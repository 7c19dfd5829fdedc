#!/usr/bin/env python3
"""Writes the exports beside it as Aegis, 2FAS and Google Authenticator write them: none of Fob's code is in it.

It needs the package cryptography, for AES-GCM; the rest is Python's own. What is random in an export is made from
a name here, so that the files come out the same again."""

import base64
import hashlib
import json
import os
import urllib.parse

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

HERE = os.path.dirname(os.path.abspath(__file__))
PASSWORD = "correct horse ü".encode()
BACKUP = b"battery staple"


def random(name, n):
    return hashlib.shake_256(name.encode()).digest(n)


def write(name, text):
    with open(os.path.join(HERE, name), "w", encoding="utf-8") as f:
        f.write(text)


# Aegis

ENTRIES = [
    {"type": "totp", "name": "anna@example.com", "issuer": "Example", "info": {"secret": "JBSWY3DPEHPK3PXP", "algo": "SHA1", "digits": 6, "period": 30}},
    {"type": "totp", "name": "anna", "issuer": "Müller & Söhne", "info": {"secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "algo": "SHA256", "digits": 7, "period": 20}},
    {"type": "totp", "name": "anna", "issuer": "", "info": {"secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "algo": "SHA512", "digits": 8, "period": 50}},
    {"type": "hotp", "name": "James", "issuer": "Air Canada", "info": {"secret": "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", "algo": "SHA1", "digits": 6, "counter": 10300}},
    {"type": "steam", "name": "Sophia", "issuer": "Boeing", "info": {"secret": "JBSWY3DPEHPK3PXP", "algo": "SHA1", "digits": 5, "period": 30}},
    {"type": "yandex", "name": "boris", "issuer": "Yandex", "info": {"secret": "JBSWY3DPEHPK3PXP", "algo": "SHA256", "digits": 8, "period": 30, "pin": "1234"}},
    {"type": "motp", "name": "mo", "issuer": "VPN", "info": {"secret": "JBSWY3DPEHPK3PXP", "algo": "MD5", "digits": 6, "period": 10, "pin": "1234"}},
    {"type": "totp", "name": "old", "issuer": "Cellar", "info": {"secret": "JBSWY3DPEHPK3PXP", "algo": "MD5", "digits": 6, "period": 30}},
]
for i, e in enumerate(ENTRIES):
    e.update(uuid=f"00000000-0000-4000-8000-{i:012}", note="", favorite=False, icon=None, groups=[])
DB = {"version": 3, "entries": ENTRIES, "groups": [], "icons_optimized": True}


def seal(key, name, plain):
    nonce = random(name, 12)
    sealed = AESGCM(key).encrypt(nonce, plain, None)
    return sealed[:-16], {"nonce": nonce.hex(), "tag": sealed[-16:].hex()}


def slot(kind, name, master, password=None, n=1 << 15):
    s = {"type": kind, "uuid": "01234567-89ab-cdef-0123-456789abcdef"}
    key = random(name + " key", 32)
    if password is not None:
        salt = random(name + " salt", 32)
        key = hashlib.scrypt(password, salt=salt, n=n, r=8, p=1, maxmem=1 << 28, dklen=32)
        s.update(n=n, r=8, p=1, salt=salt.hex(), repaired=True, is_backup=False)
    wrapped, params = seal(key, name, master)
    s.update(key=wrapped.hex(), key_params=params)
    return s


master = random("master", 32)
sealed, params = seal(master, "db", json.dumps(DB, indent=4).encode())
# Java's JSON escapes slashes.
aegis = {
    "version": 1,
    "header": {
        "slots": [slot(2, "biometric", master), slot(1, "backup", master, BACKUP, 1 << 14), slot(1, "password", master, PASSWORD)],
        "params": params,
    },
    "db": base64.b64encode(sealed).decode(),
}
write("aegis-encrypted.json", json.dumps(aegis, indent=4).replace("/", r"\/"))
write("aegis-plain.json", json.dumps({"version": 1, "header": {"slots": None, "params": None}, "db": DB}, indent=4, ensure_ascii=False))

# 2FAS


def service(name, secret, **otp):
    otp = {"label": "", "account": "", "source": "Link", **otp}
    if otp["source"] == "Link":
        otp["link"] = f"otpauth://totp/x?secret={secret}"
    return {"name": name, "secret": secret, "updatedAt": 1702934567518, "otp": otp, "order": {"position": 0},
            "icon": {"selected": "Label", "label": {"text": name[:2].upper(), "backgroundColor": "Yellow"}}}


SERVICES = [
    service("Example", "JBSWY3DPEHPK3PXP", account="anna@example.com", label="anna@example.com", issuer="Example", digits=6, period=30, algorithm="SHA1", tokenType="TOTP"),
    service("example.com", "jbsw y3dp ehpk 3pxp", digits=6, period=30, algorithm="SHA1", tokenType="TOTP", source="Manual"),
    service("Work", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", label="Contoso:anna", issuer="Contoso", digits=8, period=60, algorithm="SHA512", tokenType="TOTP"),
    service("Air Canada", "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", account="Benjamin", issuer="Air Canada", digits=7, algorithm="SHA256", counter=50, tokenType="HOTP"),
    service("Boeing", "JBSWY3DPEHPK3PXP", account="Sophia", issuer="Boeing", digits=5, period=30, algorithm="SHA1", tokenType="STEAM"),
    service("Cellar", "JBSWY3DPEHPK3PXP", account="old", issuer="Cellar", digits=6, period=30, algorithm="MD5", tokenType="TOTP"),
]
salt, nonce = random("2fas salt", 256), random("2fas nonce", 12)
key = hashlib.pbkdf2_hmac("sha256", PASSWORD, salt, 10_000, 32)
compact = {"separators": (",", ":"), "ensure_ascii": False}
sealed = AESGCM(key).encrypt(nonce, json.dumps(SERVICES, **compact).encode(), None)
about = {"groups": [], "updatedAt": 1702934732299, "schemaVersion": 4, "appVersionCode": 5000009, "appVersionName": "5.1.0", "appOrigin": "android"}
write("twofas-plain.2fas", json.dumps({"services": SERVICES, **about}, **compact))
write("twofas-encrypted.2fas", json.dumps(
    {"services": [], **about, "servicesEncrypted": ":".join(base64.b64encode(b).decode() for b in (sealed, salt, nonce)), "reference": ""}, **compact))

# Google Authenticator


def varint(n):
    n &= (1 << 64) - 1
    out = bytearray()
    while n > 0x7F:
        out.append(n & 0x7F | 0x80)
        n >>= 7
    return bytes(out) + bytes([n])


def field(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def parameters(secret, name, issuer, algorithm=1, digits=1, kind=2, counter=None):
    out = field(1, secret) + field(2, name) + field(3, issuer) + field(4, algorithm) + field(5, digits) + field(6, kind)
    return out if counter is None else out + field(7, counter)


def part(accounts, size, index, batch):
    message = b"".join(field(1, a) for a in accounts) + field(2, 1) + field(3, size)
    message += field(4, index) if index else b""  # proto3 leaves zeros out
    message += field(5, batch)
    return "otpauth-migration://offline?data=" + urllib.parse.quote(base64.b64encode(message).decode(), safe="")


RFC = b"12345678901234567890"
PARTS = [
    [parameters(b"Hello!\xde\xad\xbe\xef", "Example:anna@example.com", "Example"), parameters(RFC, "anna", "", 2, 2)],
    [parameters(RFC, "James", "Air Canada", 1, 1, 1, 10300), parameters(RFC, "old", "Cellar", 4)],
    [parameters(RFC, "anna", "Müller & Söhne", 3, 2)],
]
write("migration.txt", "".join(part(accounts, 3, i, -1234567) + "\n" for i, accounts in enumerate(PARTS)))
