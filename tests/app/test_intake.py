"""Rows of any kind become plans or one line of error, and nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from posterkit.app.intake import Intake, Sent, wanted_formats
from posterkit.app.limits import Limits
from posterkit.app.service_errors import ServiceError, service_error
from posterkit.batch.row_keys import ROW_KEYS

NAMES = ("a.png", "../a.png", "/etc/passwd", "data:image/png;base64,AAAA", "a3", "auto")
words = st.one_of(st.text(max_size=20), st.sampled_from(NAMES))
values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-5, 70_000), st.floats(allow_nan=True), words),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(words, inner, max_size=2)),
    max_leaves=6,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.dictionaries(st.sampled_from([*ROW_KEYS, "image_url"]), values, max_size=5))
def test_any_row_becomes_plans_or_one_line(maker, tmp_path, row):
    intake = Intake(maker, Limits(pixels=2**20))
    try:
        plans, _ = intake.plans(Sent(dict(row), tmp_path))
    except (ServiceError, ValueError) as error:
        said = service_error(error, tmp_path)
        assert said.status == 400 and "\n" not in str(said) and str(tmp_path) not in str(said)
    else:
        assert plans[0].finished.area <= 2**20


def test_formats_are_known_in_any_spelling():
    assert wanted_formats(["PNG", ".pdf", "jpeg", "png"]) == ("png", "pdf", "jpg")
    with pytest.raises(ServiceError, match="'exe' is unknown"):
        wanted_formats(["exe"])


def test_names_of_uploads_stay_apart_and_plain():
    sent = Sent({}, Path("folder"))
    assert [sent.free_name(name) for name in ("a.png", "C:\\x\\a.png", "/y/a.png")] == ["a.png", "a-2.png", "a-3.png"]
    for name in ("", "..", "_poster-1.png", "a\0b.png", "x" * 200):
        with pytest.raises(ServiceError, match="no plain file name"):
            sent.free_name(name)
