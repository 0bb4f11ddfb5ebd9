import json

import numpy as np
import pytest

from posterkit.layout import THINGS, Box, Element, ElementRequest, Layout, LayoutRequest
from posterkit.layout.conversion import convert
from posterkit.layout.exemplars import Exemplar, read_exemplars, write_exemplars
from posterkit.layout.retrieval import ExemplarIndex
from posterkit.layout.similarity import LayoutScan, labelled, ltsim_distance
from posterkit.lettering import ROLES


def test_the_shipped_exemplars_have_every_role_and_shape():
    shipped = read_exemplars()
    assert len(shipped) >= 100 and len({one.id for one in shipped}) == len(shipped)
    assert {element.role for one in shipped for element in one.layout} == {*ROLES, *THINGS}
    aspects = [one.layout.width / one.layout.height for one in shipped]
    assert all(
        sum(low < aspect < high for aspect in aspects) >= 15
        for low, high in ((0.5, 0.6), (0.6, 0.8), (0.9, 1.1), (1.3, 1.6))
    )
    assert {one.licence for one in shipped} == {"CC0-1.0"} and all(one.source for one in shipped)


def test_no_two_shipped_exemplars_are_alike():
    boxes = [labelled(one.layout) for one in read_exemplars()]
    scan = LayoutScan(boxes)
    for at, one in enumerate(boxes):
        ((_, distance),) = scan.nearest(one, 1, left_out=[at])
        assert distance > 0.01


def test_exemplars_come_back_from_their_file(tmp_path):
    elements = (Element(0, "", "title", Box(10, 20, 60, 40), "left"), Element(1, "", "logo", Box(0, 0, 25, 50)))
    one = Exemplar(
        "mine/1", Layout(100, 200, elements), (Box(50, 100, 100, 150),), "a jazz night", "mine", "CC-BY-4.0"
    )
    assert write_exemplars([one], tmp_path / "mine.jsonl") == 1
    assert read_exemplars(tmp_path / "mine.jsonl") == (one,)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no exemplars"), ("[]", "is no exemplar"), ('{"id": 1, "size": [10, 10], "elements": []}', "is no"),
        ('{"id": 1, "size": [10, 10], "elements": [["title", 0, 0, 9, 1]]}', "as shares"), ("{", "not JSON"),
    ],
)  # fmt: skip
def test_a_bad_exemplar_is_one_line(tmp_path, text, said):
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        read_exemplars(path)
    assert str(caught.value).startswith(str(path)) and "\n" not in str(caught.value)


def _index():
    def exemplar(name, *elements, caption="", source=""):
        placed = tuple(Element(i, "", role, Box(*box)) for i, (role, *box) in enumerate(elements))
        return Exemplar(name, Layout(100, 100, placed), (), caption, source or name)

    return ExemplarIndex([
        exemplar("top", ("title", 10, 5, 90, 20), ("subject", 20, 30, 80, 95), caption="a lighthouse by the sea"),
        exemplar("bottom", ("title", 10, 80, 90, 95), ("subject", 20, 5, 80, 70), caption="a guitar", source="shop"),
        exemplar("busy", ("title", 10, 5, 90, 20), ("logo", 80, 80, 95, 95), ("body", 10, 80, 60, 95), source="shop"),
    ])  # fmt: skip


def _titled(**fields):
    elements = (ElementRequest("title", "Jazz"), ElementRequest("subject"))
    return LayoutRequest(100, 100, elements, **fields)


def test_the_first_pass_goes_by_labels_saliency_and_words():
    index = _index()
    assert [one.id for one in index.for_request(_titled())][-1] == "busy"
    assert index.for_request(_titled(content=(Box(20, 0, 80, 60),)), 1)[0].id == "bottom"
    assert index.for_request(_titled(content=(Box(20, 40, 80, 100),)), 1)[0].id == "top"
    assert index.for_request(_titled(description="an old guitar"), 1)[0].id == "bottom"
    assert index.for_request(_titled(description="the sea at night"), 1)[0].id == "top"


def test_the_second_pass_goes_by_ltsim_to_the_draft():
    index = _index()
    drafts = [index.exemplars[at].layout for at in range(3)]
    for draft, one in zip(drafts, index.exemplars, strict=True):
        distances = [ltsim_distance(labelled(draft), labelled(other.layout)) for other in index.exemplars]
        assert [found.id for found in index.like(draft, 3)] == [index.exemplars[at].id for at in np.argsort(distances)]
        assert index.like(draft, 1) == [one]


def test_what_is_left_out_is_not_found():
    index = _index()
    assert [one.id for one in index.for_request(_titled(), left_out={"shop"})] == ["top"]
    assert [one.id for one in index.like(index.exemplars[1].layout, 3, left_out={"shop"})] == ["top"]
    assert [one.id for one in index.like(index.exemplars[0].layout, 1, left_out={"top"})] == ["bottom"]


def test_there_must_be_exemplars_to_search():
    with pytest.raises(ValueError, match="no exemplars"):
        ExemplarIndex([])


# data sets of others, in the forms that they are published in


def _pku(folder):
    rows = ["poster_path,total_elem,cls_elem,box_elem", 'train/0.png,4,1,"[10, 20, 500, 120]"',
            'train/0.png,4,1,"[20, 600, 200, 630]"', 'train/0.png,4,2,"[400, 10, 500, 60]"',
            'train/0.png,4,3,"[0, 10, 513, 130]"', 'train/0.png,4,0,"[0, 0, 0, 0]"']  # fmt: skip
    (folder / "train_csv_9973.csv").write_text("\n".join(rows))


def _coco(folder, nested):
    boxes = [([10, 20, 300, 100], 2), ([10, 400, 100, 20], 2), ([300, 10, 80, 40], 1)]
    annotations = [{"bbox": box, "category_id": kind, "image_id": 7} for box, kind in boxes]
    document = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 400, "height": 600}],
        "annotations": [annotations] if nested else annotations,
        "categories": [{"id": 1, "name": "text"}, {"id": 2, "name": "figure"}],
    }
    (folder / "layout_train.json").write_text(json.dumps(document))


def _rico(folder):
    root = {"bounds": [0, 0, 1440, 2560], "children": [
        {"bounds": [0, 84, 1440, 280], "componentLabel": "Toolbar", "children": [
            {"bounds": [40, 100, 140, 200], "componentLabel": "Icon"}]},
        {"bounds": [0, 280, 1440, 2560], "children": [None]},
    ]}  # fmt: skip
    (folder / "123.json").write_text(json.dumps(root))


def _webui(folder):
    places = {"image": [0, 0, 1200, 600], "title": [100, 650, 500, 80]}
    elements = [{"type": kind, "position": place} for kind, place in places.items()]
    page = {"text": "A page for a bakery.", "canvas_width": 1200, "elements": elements}
    (folder / "train.json").write_text(json.dumps([page]))


def _postercopilot(folder):
    layers = [
        ("type", 90, 1137, 620, 209),
        ("type", 104, 1389, 592, 46),
        ("image", 0, 0, 800, 986),
        ("image", 0, 0, 800, 1600),
    ]
    document = {"canvas_size": {"width": 800, "height": 1600}, "layers": [
        {"image_id": i, "category": kind, "x": x, "y": y, "w": w, "h": h, "order": i}
        for i, (kind, x, y, w, h) in enumerate(layers)]}  # fmt: skip
    (folder / "layout.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("kind", "write", "size", "roles"),
    [
        ("pku", _pku, (513, 750), ["title", "subtitle", "underlay", "logo"]),
        ("cgl", lambda folder: _coco(folder, True), (400, 600), ["title", "subtitle", "logo"]),
        ("publaynet", lambda folder: _coco(folder, False), (400, 600), ["paragraph", "figure", "figure"]),
        ("rico", _rico, (1440, 2560), ["Toolbar", "Icon"]),
        ("webui", _webui, (1200, 1200), ["title", "image"]),
        ("postercopilot", _postercopilot, (800, 1600), ["title", "subtitle", "image"]),
    ],
)
def test_layouts_of_a_data_set_become_exemplars(tmp_path, kind, write, size, roles):
    write(tmp_path)
    (one,) = convert(tmp_path, kind, "CC-BY-SA-4.0")
    assert one.layout.size == size and [element.role for element in one.layout] == roles
    assert one.source.startswith(f"{kind}/") and one.licence == "CC-BY-SA-4.0"
    assert ExemplarIndex([one]).like(one.layout, 1) == [one]


def test_the_largest_text_of_a_poster_is_its_title(tmp_path):
    _pku(tmp_path)
    (one,) = convert(tmp_path, "pku")
    assert [element.box for element in one.layout][:2] == [Box(10, 20, 500, 120), Box(20, 600, 200, 630)]


@pytest.mark.parametrize(
    ("kind", "name", "text", "said"),
    [
        ("pkü", "a.csv", "", "unknown kind"), ("pku", "a.json", "", r"has no \*\.csv"),
        ("pku", "a.csv", "poster_path\n0.png", "not in the form of pku"),
        ("cgl", "layout.json", "{}", "not in the form"),
        ("rico", "1.json", "[1]", "not in the form"), ("webui", "a.json", "{", "not JSON"),
    ],
)  # fmt: skip
def test_a_folder_that_is_none_is_one_line(tmp_path, kind, name, text, said):
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=said) as caught:
        list(convert(tmp_path, kind))
    assert "\n" not in str(caught.value)
