"""The poster benches: their make-up, what is scored and what is counted as missing, tables, studies."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace

import pytest
from PIL import Image

from posterkit.datagen.prompts import THEMES
from posterkit.evaluation.bench_rows import CRAFT, OMNI, as_typed, bench_rows, postercraft_rows, posteromni_rows
from posterkit.evaluation.poster_bench import PosterBench, PosterJudge, compare, open_poster_judge, read_report
from posterkit.evaluation.poster_tables import as_markdown, differences_as_markdown, published
from posterkit.evaluation.study_page import count_votes, write_study
from posterkit.prompts import quoted_texts
from posterkit.rewards.reliability import REPORT as JUDGE_REPORT
from posterkit.rewards.reward import RewardResult
from posterkit.sizing import Size
from posterkit.tasks import TASKS

SMALL = Size(192, 288)


class Constant:
    """Gives every poster one score."""

    def __init__(self, value: float) -> None:
        self.name, self.value, self.asked = "constant", value, 0

    def __call__(self, images, requests):
        self.asked += len(images)
        return [RewardResult(self.value)] * len(images)


class Mean(Constant):
    """Scores a poster by its first pixel."""

    def __call__(self, images, requests):
        return [RewardResult(image.convert("L").getpixel((0, 0)) / 255) for image in images]


def judge(completion=None, aesthetics=None) -> PosterJudge:
    return PosterJudge("fixture", "", completion or Constant(0.5), aesthetics or Mean(0))


def posters(folder, rows, grey=lambda number: 40 * number):
    folder.mkdir()
    for number, row in enumerate(rows):
        Image.new("RGB", (64, 96), (grey(number),) * 3).save(folder / f"{row.id}.png")
    return folder


def test_the_whole_bench_has_the_published_make_up():
    rows = posteromni_rows(1020)
    assert Counter(row.language for row in rows) == {"zh": 540, "en": 480}
    assert set(Counter((row.language, row.theme) for row in rows).values()) == {90, 80}
    assert Counter(row.group for row in rows) == dict.fromkeys(TASKS, 170)
    assert len({row.id for row in rows}) == 1020


def test_any_beginning_is_balanced_and_the_same_whatever_comes_behind():
    few = posteromni_rows(204)
    assert [row.id for row in few] == [row.id for row in posteromni_rows(1020)[:204]]
    assert Counter(row.language for row in few) == {"zh": 108, "en": 96}
    assert set(Counter(row.group for row in few).values()) == {34}
    themes = Counter(row.theme for row in few)
    assert set(themes) == set(THEMES) and max(themes.values()) - min(themes.values()) <= 2


def test_every_task_gets_the_references_that_it_takes():
    counts = set()
    for row in posteromni_rows(72, size=SMALL):
        request = row.request()
        request.check()
        assert len(request.images) in TASKS[row.group].references
        assert (request.mask is not None) == (row.group == "filling")
        assert request.size == (Size(288, 192) if row.group == "rescaling" else SMALL)
        if row.group == "id_driven":
            counts.add(len(request.images))
    assert 1 in counts and len(counts) > 1


def test_what_a_poster_bears_is_expected_of_its_rearrangement_and_not_typed_again():
    row = next(row for row in posteromni_rows(12, size=SMALL) if row.group == "rescaling")
    assert row.request().texts and as_typed(row.request()).texts is None
    other = next(row for row in posteromni_rows(12, size=SMALL) if row.group == "id_driven")
    assert as_typed(other.request()).texts == other.request().texts


def test_a_row_is_drawn_the_same_twice():
    first, second = (posteromni_rows(4, seed=3, size=SMALL)[3].request() for _ in range(2))
    assert first.prompt == second.prompt and first.seed == second.seed
    assert all((a == b).all() for a, b in zip(first.references, second.references, strict=True))


def test_prompts_have_three_lengths_and_quote_their_texts():
    rows = postercraft_rows(30)
    lengths = {name: [len(row.request().prompt.split()) for row in rows if row.group == name]
               for name in ("short", "medium", "long")}  # fmt: skip
    assert [len(found) for found in lengths.values()] == [10, 10, 10]
    assert max(lengths["short"]) < min(lengths["medium"]) and max(lengths["medium"]) < min(lengths["long"])
    for row in rows:
        request = row.request()
        assert set(quoted_texts(request.prompt)) == set(request.texts)


def test_a_bench_cannot_have_more_rows_than_were_published():
    with pytest.raises(ValueError, match="has 100 rows, asked for 101"):
        bench_rows(CRAFT, 101, 0, SMALL)


def test_finished_posters_are_scored_and_missing_ones_are_counted_and_never_zero(tmp_path):
    bench = PosterBench(OMNI, 6, size=SMALL)
    folder = posters(tmp_path / "theirs", bench.rows[:4])
    (folder / f"{bench.rows[4].id}.png").write_bytes(b"no picture")
    report = bench.run(judge(), tmp_path / "out", posters=folder)
    assert report["by"] == "theirs" and report["rows"] == 6 and report["failed"] == 2
    assert report["faults"]["no poster"] == 1 and len(report["faults"]) == 2
    whole = report["cells"]["all"]["overall"]
    assert whole["completion"] == {"mean": 3.0, "low": 3.0, "high": 3.0, "count": 4}
    assert whole["aesthetics"]["mean"] == pytest.approx(1 + 4 * (0 + 40 + 80 + 120) / 4 / 255, abs=1e-3)
    assert read_report(tmp_path / "out") == json.loads(json.dumps(report))


def test_overall_is_the_mean_of_the_tasks_as_the_paper_has_it(tmp_path):
    bench = PosterBench(OMNI, 8, size=SMALL, weight=0)
    shades = {row.id: 40 * number for number, row in enumerate(bench.rows)}
    folder = posters(tmp_path / "theirs", bench.rows)
    report = bench.run(judge(), tmp_path / "out", posters=folder)
    by_task = {
        task: [1 + 4 * min(shades[row.id], 255) / 255 for row in bench.rows if row.group == task] for task in TASKS
    }
    means = [sum(values) / len(values) for values in by_task.values() if values]
    assert report["cells"]["all"]["overall"]["overall"]["mean"] == pytest.approx(sum(means) / len(means), abs=1e-3)


def test_what_is_scored_is_not_scored_again_and_a_drawn_poster_is_kept(tmp_path):
    bench, asked, drawn = PosterBench(CRAFT, 3, size=SMALL), Constant(0.5), []

    def draw(request):
        drawn.append(request.id)
        if len(drawn) == 2:
            raise ValueError("the endpoint died")
        return type("Finished", (), {"image": Image.new("RGB", SMALL)})

    first = bench.run(judge(asked), tmp_path / "out", draw)
    assert first["failed"] == 1 and first["faults"] == {"the endpoint died": 1} and asked.asked == 2
    again = bench.run(judge(asked), tmp_path / "out", draw)
    assert again["failed"] == 0 and asked.asked == 3 and len(drawn) == 4
    assert len(list((tmp_path / "out" / "posters").glob("*.png"))) == 3


def test_another_judge_or_another_system_takes_another_folder(tmp_path):
    bench = PosterBench(CRAFT, 2, size=SMALL)
    folder = posters(tmp_path / "a", bench.rows)
    bench.run(judge(), tmp_path / "out", posters=folder)
    with pytest.raises(ValueError, match="holds a bench with judge 'fixture', now it is 'other'"):
        bench.run(replace(judge(), name="other"), tmp_path / "out", posters=folder)
    with pytest.raises(ValueError, match="holds no poster of this bench"):
        bench.run(judge(), tmp_path / "empty", posters=tmp_path / "nowhere")


def test_a_judge_that_gives_every_poster_one_score_is_named(tmp_path):
    bench = PosterBench(CRAFT, 3, size=SMALL)
    report = bench.run(judge(), tmp_path / "out", posters=posters(tmp_path / "a", bench.rows))
    assert report["notes"] == ["fixture gives every poster the same completion (3.00); it tells nothing"]


def test_a_model_that_was_never_measured_or_that_follows_pictures_is_no_judge(tmp_path):
    folder = tmp_path / "vlm"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"architectures": ["Qwen2_5_VLForConditionalGeneration"]}))
    with pytest.raises(ValueError, match="was never measured; posterkit bench judge"):
        open_poster_judge(str(folder))
    figures = {"acc_none": {"mean": 0.9}, "follow": {"mean": 0.6}}
    report = {"version": 1, "spec": str(folder), "complete": True, "tracks": {"pictures": figures}}
    (folder / JUDGE_REPORT).write_text(json.dumps(report))
    with pytest.raises(ValueError, match=r"judge over the bounds: .* follows 60% of misleading pictures"):
        open_poster_judge(str(folder))
    with pytest.raises(ValueError, match="gives no answers"):
        open_poster_judge("text")


@pytest.mark.slow
def test_paired_differences_need_the_same_rows_and_judge(tmp_path):
    bench, reports = PosterBench(CRAFT, 4, size=SMALL), []
    for name, more in (("dark", 0), ("light", 51)):
        folder = posters(tmp_path / name, bench.rows, lambda number, more=more: 20 * number + more)
        reports.append(bench.run(judge(), tmp_path / f"out-{name}", posters=folder))
    found = compare(reports[1], reports[0])
    assert found["aesthetics"] == {"mean": pytest.approx(0.8), "low": pytest.approx(0.8), "high": pytest.approx(0.8),
                                   "count": 4}  # fmt: skip
    assert "| aesthetics | +0.800 | +0.800 to +0.800 | 4 | significant |" in differences_as_markdown("a", "b", found)
    with pytest.raises(ValueError, match="they do not compare"):
        compare(reports[0], {**reports[1], "judge": "another"})


def test_the_tables_name_the_judge_and_have_the_published_rows(tmp_path):
    bench = PosterBench(OMNI, 6, size=SMALL)
    report = bench.run(judge(), tmp_path / "out", posters=posters(tmp_path / "ours", bench.rows))
    table = as_markdown([report])
    assert "| **ours** | fixture | " in table
    assert "| PosterOmni | Gemini-2.5-Pro, 1,020 instructions | 4.76/4.72 |" in table


def test_published_rows_average_to_their_printed_overall():
    for name, row in published(OMNI)["rows"].items():
        values = [float(cell.split("/")[0]) for cell in row]
        if name != "OmniGen2":  # whose columns do not, in the paper itself
            assert sum(values[:6]) / 6 == pytest.approx(values[6], abs=0.015), name


def votes(folder, name, study, winners, question="overall"):
    path = folder / f"{name}.json"
    said = [{"row": f"r{number}", "question": question, "winner": winner} for number, winner in enumerate(winners)]
    path.write_text(json.dumps({"study": study, "voter": name, "votes": said}))
    return path


def test_votes_are_counted_by_question_with_intervals_over_rows(tmp_path):
    files = [votes(tmp_path, "ann", "s", ["first", "first", "tie", "second"]), votes(tmp_path, "ben", "s", ["first"])]
    found = count_votes(files)["overall"]
    assert (found["win"]["mean"], found["tie"]["mean"], found["lose"]["mean"]) == (0.6, 0.2, 0.2)
    assert found["votes"] == 5 and found["win"]["count"] == 4
    assert found["win"]["low"] < 0.6 < found["win"]["high"]


def test_a_voters_last_word_counts_and_foreign_votes_are_refused(tmp_path):
    first = votes(tmp_path, "ann", "s", ["first"])
    later = tmp_path / "later.json"
    later.write_text(first.read_text().replace('"winner": "first"', '"winner": "second"'))
    assert count_votes([first, later])["overall"]["lose"]["mean"] == 1.0
    with pytest.raises(ValueError, match="votes of study other, not of s"):
        count_votes([first, votes(tmp_path, "ben", "other", ["tie"])])
    with pytest.raises(ValueError, match="a vote must have a row"):
        count_votes([votes(tmp_path, "cid", "s", ["nobody"])])
    row = json.loads(first.read_text())["votes"][0]["row"]
    assert count_votes([first], "s", {row})["overall"]["votes"] == 1
    with pytest.raises(ValueError, match=f"a vote on row '{row}', which this study does not show"):
        count_votes([first], "s", {"another"})


def test_a_study_page_is_blind_whole_and_safe_against_its_prompts(tmp_path):
    request = replace(postercraft_rows(1, size=SMALL)[0].request(), prompt='</script><b>"BOO"</b>')
    pictures = [Image.new("RGB", (32, 48), color) for color in ("red", "blue")]
    pairs = {f"row{number}": (request, *pictures) for number in range(12)}
    study = write_study(tmp_path / "study.html", ("secret-a", "secret-b"), pairs)
    page = (tmp_path / "study.html").read_text()
    assert "secret" not in page and "</script><b>" not in page and "http" not in page.replace("http-equiv", "")
    content = json.loads(page.partition('type="application/json">')[2].partition("</script>")[0])
    assert content["id"] == study and len(content["pairs"]) == 12
    assert {pair["left_is"] for pair in content["pairs"]} == {"first", "second"}
    assert content["pairs"][0]["prompt"] == request.prompt
