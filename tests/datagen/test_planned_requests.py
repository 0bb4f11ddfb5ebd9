import pytest

from posterkit.datagen.planned_requests import planned_requests, read_planned, write_planned
from posterkit.layout.faults import find_faults, hard_count
from posterkit.layout.ground import Ground


@pytest.fixture(scope="module")
def planned():
    return list(planned_requests(24))


def test_plans_hold_every_element_and_have_no_hard_fault(planned):
    for one in planned:
        assert 1 <= len(one.layouts) <= 4
        for layout in one.layouts:
            assert [(e.role, e.text) for e in layout] == [(e.role, e.text) for e in one.request.elements]
            assert not hard_count(find_faults(layout, one.request))


def test_requests_vary_in_shape_and_some_have_a_subject_to_place(planned):
    assert len({one.request.size for one in planned}) > 10
    placed = [one for one in planned if any(e.role == "subject" for e in one.request.elements)]
    shown = [one for one in planned if Ground(one.request).subject_box is not None]
    assert placed and shown and not any(one in shown for one in placed)
    assert all(one.request.picture is None for one in planned)


def test_the_same_seeds_give_the_same_and_a_file_gives_them_back(planned, tmp_path):
    path = tmp_path / "plans.jsonl"
    assert write_planned(planned_requests(4), path) == 4
    for one, other in zip(read_planned(path), planned, strict=False):
        assert one.request.elements == other.request.elements and len(one.layouts) == len(other.layouts)
        for a, b in zip(one.layouts[0], other.layouts[0], strict=True):
            assert a.box == pytest.approx(b.box, abs=0.01) and a.align == b.align


def test_a_line_that_is_no_planned_request_is_named(tmp_path):
    path = tmp_path / "plans.jsonl"
    path.write_text('{"request": {}}\n')
    with pytest.raises(ValueError, match=r"plans.jsonl:1: is no planned request"):
        read_planned(path)
