"""The report page of a set."""

from __future__ import annotations

import json
import re

import pytest
from PIL import Image

from posterkit.datagen.engine import Drop, Flow, run_flow
from posterkit.datagen.report import scripts, write_report
from posterkit.datasets import SyntheticPosters
from posterkit.datasets.sample_files import encode_sample
from posterkit.tasks import TASKS

TASK_NAMES = ("text", *TASKS)
SOURCE = SyntheticPosters(seed=4, size=(64, 96))


class Turn:
    """The tasks in turn; every eighth item is no picture."""

    def __getitem__(self, number: int):
        if number % 8 == 7:
            return Drop("unreadable", "<b>no</b> picture", Image.new("RGB", (64, 64)), fault=True)
        return SOURCE.sample(number, task=TASK_NAMES[number % 8])


@pytest.mark.parametrize("layout", ["folder", "webdataset"])
def test_the_page_counts_what_is_there_and_shows_every_task_and_every_reason(tmp_path, layout):
    run_flow(Flow(Turn(), 32, (), encode_sample, {}), tmp_path / "set", layout=layout)
    page = write_report(tmp_path / "set", tmp_path / "page" / "report.html", samples=14).read_text()
    assert "28 samples" in page and page.count('class="tag"') == 14
    for task in TASK_NAMES:
        assert page.count(f'<span class="tag">{task}</span>') == 2
        assert re.search(rf'title="{task}">{task}</b><span style="width:100%"></span><i>4</i>', page)
    assert '<td class="n">32</td><td class="n">28</td><td class="lost">unreadable 4</td>' in page
    assert page.count("&lt;b&gt;no&lt;/b&gt; picture") == 4 and "<b>no" not in page


def test_words_in_a_set_are_never_markup(tmp_path):
    sample = SOURCE.sample(0, task="text")
    sample.caption = '<script>alert("x")</script>'
    row, files = encode_sample(sample)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "samples.jsonl").write_text(json.dumps(row) + "\n")
    page = write_report(tmp_path, tmp_path / "report.html").read_text()
    assert "<script>" not in page and "&lt;script&gt;" in page


def test_scripts_are_told_by_their_letters():
    assert scripts(["JAZZ 8 pm", "Ночь", "φως", "咖啡 ひ"]) == {"Latin", "Cyrillic", "Greek", "Han", "Hiragana"}
    assert scripts(["12:30", ""]) == set()


def test_an_empty_set_has_no_page(tmp_path):
    (tmp_path / "samples.jsonl").write_text("")
    with pytest.raises(ValueError, match="the set has no rows"):
        write_report(tmp_path, tmp_path / "report.html")
