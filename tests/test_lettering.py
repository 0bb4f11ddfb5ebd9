from __future__ import annotations

import pytest

from posterkit.layout import ARCHETYPES
from posterkit.layout.planner import FREE
from posterkit.lettering import LAYOUTS, STYLES, Lettering, parse_box, unmarked
from posterkit.schema import PosterRequest
from posterkit.typeset.fonts import PAIRINGS


def test_the_tables_name_what_the_typesetter_has() -> None:
    assert tuple(PAIRINGS) == STYLES
    assert (*(kind.name for kind in ARCHETYPES), FREE) == LAYOUTS


def test_a_mark_is_taken_off_a_text_and_names_its_role() -> None:
    texts, marks = unmarked(["@title:-70%", "@Body: Sale", "@text: plain", "mail@title:x", "a @title: b"])
    assert texts == ["-70%", "Sale", "plain", "mail@title:x", "a @title: b"]
    assert marks == [("-70%", "title"), ("Sale", "body")]


def test_marks_of_a_request_outlive_a_change_of_it() -> None:
    request = PosterRequest(texts=["@title:-70%", "Winter sale"])
    assert request.texts == ("-70%", "Winter sale")
    assert request.lettering.roles_of(request.texts) == ["title", "auto"]


def test_roles_go_with_the_texts_and_a_mark_wins() -> None:
    lettering = Lettering(roles=("body", "subtitle"), marks=(("B", "title"),))
    assert lettering.roles_of(["A", "B"]) == ["body", "title"]
    with pytest.raises(ValueError, match="2 roles for 3 texts"):
        lettering.roles_of(["A", "B", "C"])


def test_a_box_may_be_in_per_cent_of_the_poster() -> None:
    lettering = Lettering(boxes=(parse_box("10%,20,50%,25%"),))
    assert lettering.boxes_of(["A"], (200, 400)) == [(20.0, 20.0, 100.0, 100.0)]
    with pytest.raises(ValueError, match="is not x0,y0,x1,y1"):
        parse_box("1,2,3")


def test_a_fault_names_the_nearest_known_word() -> None:
    assert Lettering(style="elegnt").faults() == ["unknown style 'elegnt' (did you mean 'elegant'?)"]
    assert "give one of them" in Lettering(layout="swiss", boxes=((0, 0, 1, 1),)).faults()[0]
    with pytest.raises(ValueError, match="unknown layout 'spiral'"):
        PosterRequest("x", lettering=Lettering(layout="spiral")).check()
