"""Content credentials (C2PA 2.x): a signed manifest of who made a poster, how, and from which pictures.

    sign_poster("poster.png", record, SigningKey(Path("chain.pem"), Path("key.pem")))
    read_credentials("poster.png").state

The manifest is written last, since its signature holds for the file's bytes. Manifests of the pictures that a poster
was made from are carried over in it. Nothing is fetched from the network. Needs posterkit[c2pa].
"""

# pyright: standard
from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import posterkit
from posterkit.image_io import MAX_BYTES
from posterkit.messages import error_line, one_line
from posterkit.safety.provenance import CODES, MADE, kept_pixels, marks_of
from posterkit.typeset.export_options import SigningKey
from posterkit.typeset.exporters import SIGNED

_MIME = {
    **SIGNED, ".gif": "image/gif", ".tif": "image/tiff", ".tiff": "image/tiff", ".heic": "image/heic",
    ".heif": "image/heif", ".avif": "image/avif",
}  # fmt: skip
_NO_NETWORK = {"remote_manifest_fetch": False, "ocsp_fetch": False}
_RELATIONS = ("parentOf", "componentOf", "inputTo")
_ANY = "composite"  # IPTC's term: of several elements, any of which may be a machine's
_CURVES = {"secp256r1": "es256", "secp384r1": "es384", "secp521r1": "es512"}


@dataclass(frozen=True)
class Credentials:
    """What a file's manifest says, and whether it still holds.

    Attributes:
        state: "Trusted", "Valid" (of a signer that is not on the reader's list), or "Invalid" (the file has changed).
        signer: the name in the certificate.
        generator: the program that wrote the manifest.
        actions: what was done, as C2PA's names, in order.
        source_types: IPTC's terms of these actions.
        ingredients: titles and relations of the pictures that it was made from; with `True` where one has a manifest.
    """

    state: str
    signer: str
    generator: str
    actions: tuple[str, ...]
    source_types: tuple[str, ...]
    ingredients: tuple[tuple[str, str, bool], ...]


@dataclass(frozen=True)
class _Ingredient:
    path: Path
    name: str  # by which actions refer to it
    relation: str  # parentOf: it was changed; componentOf: it stands on the poster; inputTo: the model saw it


def check_signing_key(key: SigningKey) -> None:
    """Raise ValueError where a key cannot sign: no such file, no PEM, not the certificate's, or of an unknown kind."""
    _signer(key)


def sign_poster(path: str | Path, record: dict[str, Any], key: SigningKey, parent: Path | None = None) -> None:
    """Sign a finished file in place.

    Args:
        record: with its pictures' paths as they can be read from here.
        parent: the poster that this one was edited from.

    Raises:
        ValueError: the key cannot sign, or the file has a form that carries no manifest.
    """
    import c2pa

    path = Path(path)
    if path.suffix.lower() not in SIGNED:
        raise ValueError(f"{path}: {path.suffix} carries no content credentials; {', '.join(SIGNED)} do")
    signer, mime = _signer(key), SIGNED[path.suffix.lower()]
    sources = list(_sources(record, parent))
    signed = path.with_name(f"{path.name}.signed")
    try:
        builder = c2pa.Builder(_manifest(record, sources, path.name), _context())
        for source in sources:
            said = {"title": source.path.name, "relationship": source.relation, "label": source.name}
            with source.path.open("rb") as file:
                builder.add_ingredient(said, _MIME[source.path.suffix.lower()], file)
        with path.open("rb") as file, signed.open("w+b") as target:
            builder.sign(signer, mime, file, target)
        os.replace(signed, path)
    except c2pa.C2paError as fault:
        raise ValueError(f"{path}: cannot be signed ({one_line(str(fault), 200)})") from None
    finally:
        signed.unlink(missing_ok=True)


def read_credentials(path: str | Path, anchors: str | None = None) -> Credentials | None:
    """The manifest of a file; None where it has none.

    Args:
        anchors: certificates of authorities that are trusted, in PEM; None trusts nobody.

    Raises:
        ValueError: posterkit[c2pa] is not installed, or the manifest is damaged.
    """
    try:
        import c2pa
    except ImportError:
        raise ValueError("content credentials need c2pa-python; pip install posterkit[c2pa]") from None
    mime = _MIME.get(Path(path).suffix.lower())
    if mime is None:
        return None
    try:
        with open(path, "rb") as file:
            reader = c2pa.Reader.try_create(mime, file, context=_context(anchors))
            if reader is None:
                return None
            manifest, state = reader.get_active_manifest() or {}, reader.get_validation_state()
    except (c2pa.C2paError, OSError) as fault:
        raise ValueError(f"{path}: its content credentials cannot be read ({error_line(fault)})") from None
    actions = [
        action for one in manifest.get("assertions", ()) if one["label"].startswith("c2pa.actions")
        for action in one["data"]["actions"]
    ]  # fmt: skip
    signed_by, programs = manifest.get("signature_info", {}), manifest.get("claim_generator_info", ())
    return Credentials(
        state or "Invalid", signed_by.get("common_name") or signed_by.get("issuer", ""),
        " ".join(str(programs[0].get(word, "")) for word in ("name", "version")).strip() if programs else "",
        tuple(action["action"] for action in actions),
        tuple(str(one["digitalSourceType"]).rpartition("/")[2] for one in actions if one.get("digitalSourceType")),
        tuple((str(one.get("title", "")), one.get("relationship", ""), "active_manifest" in one)
              for one in manifest.get("ingredients", ())),
    )  # fmt: skip


def _sources(record: dict[str, Any], parent: Path | None) -> Iterator[_Ingredient]:
    """The pictures that a poster was made from, those that can carry a manifest and are still there."""
    row = record["row"]
    if parent is not None:
        yield _Ingredient(parent, "parent", "parentOf")
        return
    changed = row["task"] in ("typeset", "extending", "filling") and (row["task"] == "typeset" or kept_pixels(row))
    files = [one.get("path") for one in row.get("images", ())]
    relation = "parentOf" if changed else "componentOf" if kept_pixels(row) else "inputTo"
    found = [(path, relation if number == 0 or not changed else "inputTo") for number, path in enumerate(files)]
    if isinstance(row.get("draft"), dict):
        found.append((row["draft"].get("path"), "inputTo"))
    if logo := row.get("lettering", {}).get("logo"):
        found.append((logo.get("path"), "componentOf"))
    for number, (path, relation) in enumerate(found):
        file = Path(path or "")
        if file.suffix.lower() in _MIME and file.is_file() and file.stat().st_size <= MAX_BYTES:
            yield _Ingredient(file, f"source-{number}", relation)


def _manifest(record: dict[str, Any], sources: list[_Ingredient], title: str) -> dict[str, Any]:
    return {
        "claim_generator_info": [{"name": "posterkit", "version": posterkit.__version__}],
        "title": title,
        "assertions": [{"label": "c2pa.actions.v2", "data": {"actions": list(_actions(record, sources))}}],
    }


def _actions(record: dict[str, Any], sources: list[_Ingredient]) -> Iterator[dict[str, Any]]:
    """What was done, in order: a changed picture is opened and edited, any other poster created; then texts and logo.

    Neither the prompt nor the texts are in it.
    """
    row, by = record["row"], {"softwareAgent": {"name": "posterkit", "version": posterkit.__version__}}
    of = {relation: [one.name for one in sources if one.relation == relation] for relation in _RELATIONS}
    source_type = marks_of(record).source_type
    if of["parentOf"]:
        yield {"action": "c2pa.opened", "parameters": {"ingredientIds": of["parentOf"]}}
    if "edited" in record:
        yield {"action": "c2pa.edited", **by, "description": "other words in its texts"}
        return
    if row["task"] != "typeset":
        yield {
            "action": "c2pa.edited" if of["parentOf"] else "c2pa.created",
            "digitalSourceType": f"{CODES}{source_type or MADE}",
            "description": f"drawn by the model {_model_name(record)}",
            **by, **({"parameters": {"ingredientIds": of["inputTo"]}} if of["inputTo"] else {}),
        }  # fmt: skip
    elif not of["parentOf"]:  # its picture cannot carry a manifest, or is gone
        yield {"action": "c2pa.created", "digitalSourceType": f"{CODES}{source_type or _ANY}", **by}
    if of["componentOf"]:
        yield {"action": "c2pa.placed", "parameters": {"ingredientIds": of["componentOf"]}, **by}
    if record.get("typeset"):
        yield {"action": "c2pa.edited", **by, "description": "texts set in fonts"}


def _model_name(record: dict[str, Any]) -> str:
    """Without the folders that it lies in on its user's machine."""
    name = str(record.get("model", {}).get("name", ""))
    return Path(name).name if os.path.isabs(name) else name


def _context(anchors: str | None = None) -> Any:
    import c2pa

    said: dict[str, Any] = {"builder": {"thumbnail": {"enabled": False}}, "verify": {**_NO_NETWORK}}
    return c2pa.Context(c2pa.Settings.from_dict(said | ({"trust": {"trust_anchors": anchors}} if anchors else {})))


def _signer(key: SigningKey) -> Any:
    try:
        import c2pa
        from cryptography import x509
        from cryptography.hazmat.primitives.serialization import load_pem_private_key
    except ImportError:
        raise ValueError("signing needs c2pa-python; pip install posterkit[c2pa]") from None
    content = {}
    for path in (key.certificates, key.key):
        try:
            content[path] = path.read_bytes()
        except OSError as error:
            raise ValueError(f"{path}: cannot be read ({error.strerror})") from None
    try:
        chain = x509.load_pem_x509_certificates(content[key.certificates])
    except ValueError:
        raise ValueError(f"{key.certificates}: holds no certificates in PEM form") from None
    try:
        private: Any = load_pem_private_key(content[key.key], password=None)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"{key.key}: holds no private key in PEM form without a password ({error_line(error)})"
        ) from None
    if private.public_key() != chain[0].public_key():
        raise ValueError(f"{key.key}: is not the key of the first certificate in {key.certificates}")
    info = c2pa.C2paSignerInfo(_algorithm(private, key.key), content[key.certificates], content[key.key], None)
    try:
        return c2pa.Signer.from_info(info)
    except c2pa.C2paError as fault:
        raise ValueError(f"{key.certificates}: cannot sign ({one_line(str(fault), 200)})") from None


def _algorithm(private: Any, path: Path) -> str:
    from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

    if isinstance(private, ec.EllipticCurvePrivateKey) and private.curve.name in _CURVES:
        return _CURVES[private.curve.name]
    if isinstance(private, ed25519.Ed25519PrivateKey):
        return "ed25519"
    if isinstance(private, rsa.RSAPrivateKey):
        return "ps256"
    raise ValueError(f"{path}: C2PA takes keys of P-256, P-384, P-521, Ed25519 and RSA")
