"""Signed posters, read by the library that signs them and by a reader of our own that shares nothing with it."""

from __future__ import annotations

from pathlib import Path

import cbor2
import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from jumbf import is_signed, manifests
from PIL import Image
from signing_keys import KINDS, write_signing_key

from posterkit.generate.edit_finished import edit_poster
from posterkit.generate.metadata import is_foreign, read_record, record_id
from posterkit.generate.record import FinishedPoster, typeset_record, write_poster
from posterkit.lettering import Lettering
from posterkit.prompts import PosterBrief
from posterkit.safety.content_credentials import check_signing_key, read_credentials
from posterkit.safety.provenance import COMPOSITE, MADE, has_credentials, read_marks
from posterkit.schema import PosterRequest
from posterkit.typeset.export_options import ExportOptions, SigningKey
from posterkit.typeset.exporters import SIGNED, check_export
from posterkit.typeset.poster import typeset

ROW = {"task": "text", "prompt": "a secret fox", "texts": ["FOX"], "images": [], "mask": None}
MODEL = {"name": "/home/me/models/FLUX.1-schnell", "revision": "x", "transformer": None, "lora": None}


@pytest.fixture(scope="module")
def key(tmp_path_factory) -> tuple[ExportOptions, str]:
    chain, private, authority = write_signing_key(tmp_path_factory.mktemp("key"))
    return ExportOptions(signing=SigningKey(chain, private)), authority


def finished(**row) -> FinishedPoster:
    image = Image.new("RGB", (160, 224), "navy")
    poster = typeset(image, PosterBrief(texts=["FOX"]))
    record = {
        "id": "0123456789abcdef", "posterkit": "0.1.0", "row": ROW | row, "model": MODEL, "typeset": [{"text": "FOX"}],
    }  # fmt: skip
    return FinishedPoster(PosterRequest("a fox"), poster.image.convert("RGB"), record, image, 0, poster, [])


@pytest.mark.parametrize("ending", SIGNED)
def test_every_form_that_can_be_signed_says_how_it_was_made_and_keeps_its_record(ending, key, tmp_path):
    how, authority = key
    path = tmp_path / f"p{ending}"
    finished().save(path, how=how)
    found = read_credentials(path, authority)
    assert found is not None and found.state == "Trusted" and found.signer == "A designer"
    assert found.actions == ("c2pa.created", "c2pa.edited") and found.source_types == (MADE,)
    assert read_credentials(path).state == "Valid"  # type: ignore[union-attr]  # nobody vouches for the authority
    marks = read_marks(path)
    assert marks is not None and marks.source_type == MADE
    if ending in (".png", ".svg", ".pdf"):
        assert record_id(path) == "0123456789abcdef"


def test_a_reader_that_shares_nothing_with_the_signer_verifies_the_signature_and_the_pixels(key, tmp_path):
    how, authority = key
    path, root = tmp_path / "p.png", x509.load_pem_x509_certificate(authority.encode())
    finished().save(path, how=how)
    assert is_signed(path, root)
    (boxes,) = manifests(path).values()
    (created, edited) = cbor2.loads(boxes["c2pa.actions.v2"])["actions"]
    assert created["digitalSourceType"].endswith("/trainedAlgorithmicMedia") and edited["action"] == "c2pa.edited"
    assert created["description"] == "drawn by the model FLUX.1-schnell"
    other = x509.load_pem_x509_certificate(write_signing_key(tmp_path / "other")[2].encode())
    with pytest.raises((InvalidSignature, ValueError)):
        is_signed(path, other)


def test_a_manifest_holds_neither_prompt_nor_folders(key, tmp_path):
    finished().save(tmp_path / "p.png", how=key[0])
    (boxes,) = manifests(tmp_path / "p.png").values()
    content = b"".join(boxes.values())
    assert b"secret" not in content and b"/home" not in content


def test_a_changed_file_is_said_to_have_changed(key, tmp_path):
    how, authority = key
    path = tmp_path / "p.png"
    finished().save(path, how=how)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content)
    assert read_credentials(path, authority).state == "Invalid"  # type: ignore[union-attr]
    assert not is_signed(path, x509.load_pem_x509_certificate(authority.encode()))


@pytest.mark.parametrize(
    ("row", "actions", "source_types", "relation"),
    [
        ({"task": "extending"}, ("c2pa.opened", "c2pa.edited", "c2pa.edited"), (COMPOSITE,), "parentOf"),
        ({"task": "style_driven"}, ("c2pa.created", "c2pa.edited"), (MADE,), "inputTo"),
        ({"task": "id_driven", "preserve": True}, ("c2pa.created", "c2pa.placed", "c2pa.edited"), (COMPOSITE,),
         "componentOf"),
    ],
)  # fmt: skip
def test_references_are_ingredients_by_what_became_of_them(row, actions, source_types, relation, key, tmp_path):
    how, authority = key
    photo, path = tmp_path / "photo.jpg", tmp_path / "p.png"
    Image.new("RGB", (64, 64), "olive").save(photo)
    finished(images=[{"path": str(photo), "sha256": "0"}], **row).save(path, how=how)
    found = read_credentials(path, authority)
    assert found is not None and (found.actions, found.source_types) == (actions, source_types)
    assert found.ingredients == (("photo.jpg", relation, False),) and found.state == "Trusted"


def test_a_manifest_on_an_input_is_carried_over_and_still_holds(key, tmp_path):
    how, authority = key
    source, path = tmp_path / "made.png", tmp_path / "again.png"
    finished().save(source, how=how)
    poster = typeset(Image.open(source).convert("RGB"), PosterBrief(texts=["HELLO"]))
    write_poster(poster, path, typeset_record(source, poster, ["HELLO"], Lettering()), how)
    found = read_credentials(path, authority)
    assert found is not None and found.state == "Trusted"
    assert found.actions == ("c2pa.opened", "c2pa.edited") and found.ingredients == (("made.png", "parentOf", True),)
    ours, theirs = manifests(source), manifests(path)
    assert (
        len(theirs) == 2
        and next(iter(ours)) == next(iter(theirs))
        and next(iter(theirs.values())) == ours[next(iter(ours))]
    )
    marks = read_marks(path)
    assert marks is not None and (marks.source_type, marks.inputs) == (MADE, (MADE,))


def test_an_edited_poster_was_made_from_the_old_one(key, tmp_path):
    how, authority = key
    for name in ("p.svg", "p.png"):
        image = Image.new("RGB", (160, 224), "navy")
        Image.new("RGB", (160, 224), "navy").save(tmp_path / "photo.png")
        poster = typeset(image, PosterBrief(texts=["FOX"]))
        record = typeset_record(tmp_path / "photo.png", poster, ["FOX"], Lettering())
        write_poster(poster, tmp_path / name, record, how)
        new = tmp_path / f"edited-{name}"
        edit_poster(tmp_path / name, ["OWL"], how=how).save(new)
        found = read_credentials(new, authority)
        assert found is not None and found.state == "Trusted" and found.ingredients == ((name, "parentOf", True),)
        assert read_record(new)["edited"]["texts"] == ["OWL"]
        unsigned = tmp_path / f"unsigned-{name}"
        edit_poster(tmp_path / name, ["OWL"]).save(unsigned)
        assert not has_credentials(unsigned) and read_credentials(unsigned) is None


def test_a_signed_poster_is_posterkits_own_however_long_its_manifest_is(key, tmp_path):
    path, photos = tmp_path / "p.png", [tmp_path / f"{number}.png" for number in range(16)]
    for photo in photos:
        finished().save(photo, how=key[0])
    finished(images=[{"path": str(photo), "sha256": "0"} for photo in photos], task="style_driven").save(
        path, how=key[0]
    )
    assert path.read_bytes().find(b"iTXtposterkit") > 2**16
    assert not is_foreign(path) and record_id(path)


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_key_signs(kind, tmp_path):
    chain, private, authority = write_signing_key(tmp_path / kind, kind)
    finished().save(tmp_path / "p.png", how=ExportOptions(signing=SigningKey(chain, private)))
    assert read_credentials(tmp_path / "p.png", authority).state == "Trusted"  # type: ignore[union-attr]


def test_what_cannot_sign_is_one_line(tmp_path):
    chain, private, _ = write_signing_key(tmp_path / "a")
    _, other, _ = write_signing_key(tmp_path / "b")
    (tmp_path / "x.pem").write_text("nothing")
    for first, second, said in (
        (chain, other, "is not the key of the first certificate"),
        (tmp_path / "x.pem", private, "no certificates"),
        (chain, tmp_path / "x.pem", "no private key"),
        (tmp_path / "gone.pem", private, "cannot be read"),
    ):
        with pytest.raises(ValueError, match=said) as error:
            check_signing_key(SigningKey(Path(first), Path(second)))
        assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match="carries no content credentials"):
        check_export("p.psd", ExportOptions(signing=SigningKey(chain, private)))


def test_a_file_without_a_manifest_has_none(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "p.png")
    assert read_credentials(tmp_path / "p.png") is None
