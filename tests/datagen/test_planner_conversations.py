import json
import re
from random import Random

import pytest

from posterkit.datagen.planned_requests import planned_requests
from posterkit.datagen.planner_conversations import KINDS, conversation
from posterkit.layout.ground import Ground
from posterkit.layout.html_form import grid_of, on_grid
from posterkit.layout.planners.questions import STAGES, asked_ids, read_boxes
from posterkit.layout.planners.retrieval_planner import shipped_index

PLANNED, INDEX = list(planned_requests(12)), shipped_index()


@pytest.mark.parametrize("kind", KINDS)
def test_an_answer_is_read_back_as_one_of_the_good_layouts(kind):
    for number, one in enumerate(PLANNED):
        said = conversation(one, kind, INDEX, 2, Random(number))
        ground, grid = Ground(one.request), grid_of(one.request.size)
        boxes, words = read_boxes(said.answer, one.request, ground, "answer")
        cells = {at: on_grid(box, one.request.size, grid) for at, box in boxes.items()}
        good = []
        for layout in one.layouts:
            own = {e.index: on_grid(e.box, one.request.size, grid) for e in layout if e.role != "cta"}
            good.append(all(cells[at] == own[at] for at in own if at in cells))
        assert any(good) and sorted(boxes) == asked_ids(one.request, ground)
        assert bool(words) == (kind in ("coarse", "position"))
        assert said.question.count("<html>") == 2


def test_a_position_question_shows_the_sizes_that_its_answer_keeps():
    for number, one in enumerate(PLANNED):
        said = conversation(one, "position", INDEX, 1, Random(number))
        now = json.loads(re.search(r"The layout so far: (\[.*\])", said.question)[1])
        then = json.loads(said.answer)["boxes"]
        for before, after in zip(now, then, strict=True):
            assert abs(before["w"] - after["w"]) <= 1 and abs(before["h"] - after["h"]) <= 1
    assert any(task[:30] in said.question for task in STAGES.values())


def test_the_same_lot_gives_the_same_conversation():
    one, other = (conversation(PLANNED[0], "size", INDEX, 2, Random(5)) for _ in range(2))
    assert one == other
