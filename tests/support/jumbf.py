"""Reads and verifies a C2PA manifest without the library that wrote it: JUMBF, CBOR, COSE (ISO 19566-5, RFC 9052)."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cbor2
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

_X5CHAIN = 33


def manifests(png: Path) -> dict[str, dict[str, bytes]]:
    """Manifests of a PNG by label, in their order; each the content of its boxes by label."""
    content = b"".join(data for kind, data in _chunks(png.read_bytes()) if kind == b"caBX")
    ((_, store),) = _boxes(content)
    return {label: dict(_leaves(body)) for label, body in map(_super, (b for _, b in list(_boxes(store))[1:]))}


def is_signed(png: Path, authority: x509.Certificate) -> bool:
    """Whether the last manifest's signature and hash hold for the file, by a certificate of an authority.

    Raises:
        InvalidSignature: the certificate or the claim is not signed so.
    """
    boxes = list(manifests(png).values())[-1]
    protected, unprotected, _, signature = cbor2.loads(boxes["c2pa.signature"]).value
    headers = {**unprotected, **cbor2.loads(protected)}
    chain = headers.get(_X5CHAIN, headers.get("x5chain"))
    certificate = x509.load_der_x509_certificate(chain if isinstance(chain, bytes) else chain[0])
    certificate.verify_directly_issued_by(authority)
    signed = cbor2.dumps(["Signature1", protected, b"", boxes["c2pa.claim.v2"]])
    key: Any = certificate.public_key()
    half = len(signature) // 2
    r, s = (int.from_bytes(part, "big") for part in (signature[:half], signature[half:]))
    key.verify(utils.encode_dss_signature(r, s), signed, ec.ECDSA(hashes.SHA256()))
    return _assertions_hold(boxes) and _pixels_hold(png.read_bytes(), cbor2.loads(boxes["c2pa.hash.data"]))


def _assertions_hold(boxes: dict[str, bytes]) -> bool:
    """Whether the claim names each assertion that is there; their own hashes cover the whole boxes."""
    claim = cbor2.loads(boxes["c2pa.claim.v2"])
    named = {
        one["url"].rpartition("/")[2] for one in claim["created_assertions"] + claim.get("gathered_assertions", [])
    }
    return named == set(boxes) - {"c2pa.claim.v2", "c2pa.signature"}


def _pixels_hold(content: bytes, binding: dict[str, Any]) -> bool:
    kept, at = b"", 0
    for gap in sorted(binding["exclusions"], key=lambda gap: gap["start"]):
        kept, at = kept + content[at : gap["start"]], gap["start"] + gap["length"]
    return hashlib.sha256(kept + content[at:]).digest() == binding["hash"]


def _chunks(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 8
    while at < len(content):
        (length,) = struct.unpack_from(">I", content, at)
        yield content[at + 4 : at + 8], content[at + 8 : at + 8 + length]
        at += 12 + length


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind, content[at + 8 : at + length]
        at += length


def _super(body: bytes) -> tuple[str, bytes]:
    """A superbox's label, and what follows its description."""
    (length, _) = struct.unpack_from(">I4s", body)
    return body[8 + 17 : length].split(b"\0")[0].decode(), body[length:]


def _leaves(body: bytes) -> Iterator[tuple[str, bytes]]:
    for kind, content in _boxes(body):
        if kind != b"jumb":
            continue
        label, inside = _super(content)
        parts = list(_boxes(inside))
        if all(part == b"jumb" for part, _ in parts):
            yield from _leaves(inside)
        else:
            yield label, parts[0][1]
