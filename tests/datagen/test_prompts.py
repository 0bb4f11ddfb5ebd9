"""The prompt front end: libraries, prompts from them, a model's wording, and candidates for each prompt."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import tiny_flux
from chat_server import chat, reply, says, servers
from PIL import Image, ImageDraw
from tiny_clip import save_clip

from posterkit import typeset
from posterkit.critic import open_critic
from posterkit.datagen.best_of_n import (
    Candidate,
    FilteredCandidates,
    check_agreement,
    check_texts,
    drop_no_posters,
    fault_of,
    keep_best,
    text_recall,
)
from posterkit.datagen.drawing import Draw, DrawnPosters, ModelAt
from posterkit.datagen.engine import Drop
from posterkit.datagen.lazy_models import open_image_text_model, open_judge
from posterkit.datagen.prompts import (
    THEMES,
    PosterPrompts,
    check_count,
    language_of,
    open_writer,
    rewrite_prose,
    text_like,
    with_article,
    without_text_sentences,
    word_list,
)
from posterkit.datagen.requests import TEXT, SetRequest, read_requests
from posterkit.datasets import PosterDataset
from posterkit.datasets.sample_files import encode_sample
from posterkit.datasets.validation import validate
from posterkit.llm.client import AnswerError
from posterkit.pipelines.postercraft import PosterCraftPipeline
from posterkit.pipelines.segmenters import open_segmenter
from posterkit.prompts import PosterBrief, quoted_texts
from posterkit.rewards.models.image_text import ImageTextModel
from posterkit.schema import DrawnText
from posterkit.sizing import Size

ROOT = Path(__file__).parents[2]
PROMPTS = PosterPrompts(0)


def test_the_libraries_have_substance_and_nothing_twice():
    entities, styles = word_list("entities"), word_list("styles")[""]
    assert set(entities) == set(THEMES) and min(map(len, entities.values())) >= 40 and len(styles) >= 30
    titles = word_list("titles")
    assert set(titles) == {f"{theme} {kind}" for theme in THEMES for kind in ("titles", "subtitles")}
    for pairs in (*entities.values(), styles, *titles.values(), *word_list("looks").values()):
        for column in (0, 1):
            words = [pair[column] for pair in pairs]
            assert len(set(words)) == len(words) and all(word == word.strip() and word for word in words)


def test_every_chinese_entry_is_chinese_and_no_english_one_is():
    foreign = {"DNA", "DJ", "OK", "K", "Y"}
    for name in ("entities", "styles", "titles", "looks"):
        for pairs in word_list(name).values():
            for english, chinese in pairs:
                assert english.isascii()
                assert any("\u4e00" <= letter <= "\u9fff" for letter in chinese)
                latin = "".join(letter if letter.isascii() and letter.isalpha() else " " for letter in chinese).split()
                assert set(latin) <= foreign, chinese


def test_prompts_quote_their_texts_and_name_entity_and_style():
    for number in range(600):
        one = PROMPTS[number]
        assert tuple(quoted_texts(one.prompt)) == one.texts and "{" not in one.prompt and "~" not in one.prompt
        assert one.entity.lower() in one.prompt.lower() and one.style in one.prompt
        assert language_of(one.prompt) == one.language and one.colors in one.prompt


def test_languages_and_themes_take_turns_and_no_prompt_comes_twice():
    drawn = [PROMPTS[number] for number in range(12000)]
    assert len({one.prompt for one in drawn}) == len(drawn)
    assert set(Counter((one.language, one.theme) for one in drawn).values()) == {1000}
    assert len({(one.theme, one.entity, one.style) for one in drawn if one.language == "en"}) == 6000


def test_a_pair_that_comes_again_has_another_composition():
    only = PosterPrompts(0, ("en",), ("food",))
    pairs = len(word_list("entities")["food"]) * len(word_list("styles")[""])
    first, again = only[5], only[5 + pairs]
    assert (first.entity, first.style) == (again.entity, again.style) and first.composition != again.composition


def test_a_prompt_follows_from_seed_and_number_alone_and_splits_share_no_pair():
    assert PosterPrompts(0)[77] == PROMPTS[77] != PosterPrompts(1)[77]
    splits: dict[tuple[str, str], set[str]] = {}
    english = PosterPrompts(0, ("en",))
    for number in range(25000):
        one = english[number]
        splits.setdefault((one.entity, one.style), set()).add(one.split)
    assert all(len(found) == 1 for found in splits.values())
    held = sum("heldout" in found for found in splits.values()) / len(splits)
    assert 0.03 < held < 0.07  # one in twenty was asked for
    assert all(PosterPrompts(0, heldout=0)[number].split == "train" for number in range(200))


def test_more_prompts_than_there_are_is_an_error():
    only = PosterPrompts(0, ("zh",), ("food",))
    check_count(only, only.most)
    with pytest.raises(ValueError, match=f"there are {only.most} different prompts"):
        check_count(only, only.most + 1)
    with pytest.raises(ValueError, match="unknown theme 'sport'"):
        PosterPrompts(0, themes=("sport",))


@pytest.mark.parametrize(
    ("noun", "said"),
    [("umbrella", "an umbrella"), ("ukiyo-e poster", "a ukiyo-e poster"), ("old oak", "an old oak"),
     ("~ running shoes", "running shoes"), ("Y2K poster", "a Y2K poster"), ("acoustic guitar", "an acoustic guitar")],
)  # fmt: skip
def test_articles(noun, said):
    assert with_article(noun) == said


def test_what_is_asked_of_a_model_that_leaves_texts_to_type():
    assert (
        without_text_sentences('A cat sits. The title reads "MEOW. NOW".  Blue light.') == "A cat sits.  Blue light."
    )
    assert without_text_sentences("一只猫。标题“喵”。蓝色。") == "一只猫。蓝色。"
    assert without_text_sentences('"ALL OF IT"') == ""
    assert without_text_sentences("A 3.5 m wall") == "A 3.5 m wall"


def test_another_text_is_about_as_long_and_in_the_same_language():
    from random import Random

    for text in ("JAZZ NIGHT", "Open daily from 8 am", "爵士之夜"):
        other = text_like(text, True, Random(0))
        assert other.casefold() != text.casefold() and abs(len(other) - len(text)) <= 6
        assert language_of(other) == language_of(text) and other.isupper() == text.isupper()


def test_a_model_words_the_prompt_and_keeps_its_texts():
    draft = PROMPTS[0]
    better = f'A richer scene. "{draft.texts[0]}" above, "{draft.texts[1]}" below.'
    with servers() as start:
        server = start(says(better))
        made = rewrite_prose(draft, partial(open_writer, server.url, "wise"))
        (_, _, body) = server.asked[0]
    assert made.prompt == better and made.texts == draft.texts and "wise" in made.by and made.why_not is None
    assert draft.prompt in body["messages"][1]["content"]


def test_a_model_that_changes_a_text_is_not_listened_to():
    draft = PROMPTS[0]
    with servers() as start:
        made = rewrite_prose(draft, partial(open_writer, start(says('Only "SALE" now.')).url, "wise"))
    assert made.prompt == draft.prompt and made.by == "rules" and "lacks the text" in (made.why_not or "")


def test_a_writer_without_an_answer_costs_the_row():
    with servers() as start:
        server = start(lambda handler, body: reply(handler, b"no", 400))
        with pytest.raises(AnswerError, match="status 400"):
            rewrite_prose(PROMPTS[0], partial(open_writer, server.url, "wise"))


def run(tool: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "data_tools" / tool), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def content(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.mark.slow
def test_the_tool_writes_the_same_prompts_with_one_worker_and_with_two(tmp_path):
    for name, workers in (("one", 1), ("two", 2)):
        made = run("build_prompts.py", "--out", tmp_path / name, "--count", 90, "--workers", workers, "--shard", 40)
        assert made.returncode == 0, made.stderr
    assert content(tmp_path / "one") == content(tmp_path / "two")
    rows = [json.loads(line) for line in (tmp_path / "one/prompts.jsonl").read_text("utf-8").splitlines()]
    assert len(rows) == 90 and rows[7]["prompt"] == PROMPTS[7].prompt and rows[7]["texts"] == list(PROMPTS[7].texts)
    assert {"id", "prompt", "texts", "theme", "language", "entity", "style", "split", "by"} <= rows[0].keys()
    again = run("build_prompts.py", "--out", tmp_path / "one", "--count", 90, "--shard", 40)
    assert again.returncode == 0 and content(tmp_path / "one") == content(tmp_path / "two")


@pytest.mark.slow
def test_a_writer_that_fails_now_and_then_makes_exit_code_one(tmp_path):
    def echo(handler, body):
        asked = body["messages"][1]["content"].split("Prompt: ")[1].split("\n\nTexts:")[0]
        reply(handler, chat(asked + " More light.")) if "food" not in asked else reply(handler, b"no", 400)

    with servers() as start:
        made = run("build_prompts.py", "--out", tmp_path / "out", "--count", 12, "--languages", "en", "--writer",
                   start(echo).url, "--writer-model", "wise", "--workers", 1, "--threads", 4)  # fmt: skip
    assert made.returncode == 1, made.stderr
    rows = [json.loads(line) for line in (tmp_path / "out/prompts.jsonl").read_text("utf-8").splitlines()]
    assert all(row["prompt"].endswith("More light.") and "wise" in row["by"] for row in rows) and 8 <= len(rows) <= 11


def poster(*texts: str) -> Image.Image:
    made = Image.new("RGB", (320, 480), (236, 228, 210))
    ImageDraw.Draw(made).ellipse((90, 220, 230, 360), fill=(200, 60, 40))
    return typeset(made, PosterBrief(texts=list(texts)), archetype="top-stack").image if texts else made


def a_request(prompt: str, name: str = "p1", **more) -> SetRequest:
    return SetRequest(prompt, id=name, caption=prompt, **more)


def drawn(*pictures: Image.Image) -> DrawnPosters:
    return DrawnPosters(a_request("A red disc."), pictures, tuple(range(len(pictures))), ((),) * len(pictures))


def sifted(*pictures: Image.Image, prompt='A red disc. It says "HELLO WORLD".') -> FilteredCandidates:
    return FilteredCandidates(a_request(prompt), tuple(map(Candidate, pictures)))


NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (480, 320, 3), dtype=np.uint8))


@pytest.mark.parametrize(
    ("picture", "why"),
    [(Image.new("RGB", (320, 480), "navy"), "blank"), (NOISE, "noise"), (poster(), None),
     (Image.linear_gradient("L").convert("RGB"), "no subject")],
)  # fmt: skip
def test_pictures_that_are_no_posters_are_named(picture, why):
    assert fault_of(picture, [], open_segmenter("rules")) == why


def test_the_early_filter_keeps_what_is_left_and_drops_a_prompt_without_any():
    found = drop_no_posters(drawn(NOISE, poster(), NOISE))
    assert isinstance(found, FilteredCandidates) and len(found.candidates) == 1 and found.lost == {"noise": 2}
    lost = drop_no_posters(drawn(NOISE, NOISE, Image.new("RGB", (320, 480))))
    assert isinstance(lost, Drop) and lost.reason == "noise" and lost.detail == "blank 1, noise 2"
    assert lost.picture is not None


@pytest.mark.slow
def test_the_text_filter_asks_for_the_words_of_the_prompt():
    keep = partial(check_texts, open_critic=partial(open_critic, "rules"), least=0.7)
    found = keep(sifted(poster(), poster("HELLO WORLD"), poster("GOODBYE MOON")))
    assert (
        isinstance(found, FilteredCandidates)
        and len(found.candidates) == 1
        and found.lost == {"no text": 1, "wrong text": 1}
    )
    assert found.candidates[0].scores["text recall"] == 1.0
    assert "".join(text.text for text in found.candidates[0].texts).replace(" ", "") == "HELLOWORLD"
    assert isinstance(keep(sifted(poster("GOODBYE"))), Drop)
    assert isinstance(
        keep(sifted(poster("GOODBYE"), prompt="A red disc.")), FilteredCandidates
    )  # nothing was asked for


def test_chinese_is_compared_letter_by_letter():
    assert text_recall(("爵士之夜",), ["爵士之", "夜"]) == 1.0
    assert text_recall(("爵士之夜",), ["爵土之夜"]) == 0.75
    assert text_recall(("JAZZ NIGHT",), ["jazz"]) == 0.5


def test_the_image_text_filter_keeps_what_the_model_says_fits(tmp_path):
    folder = str(save_clip(tmp_path / "clip"))
    item = sifted(poster(), NOISE)
    said = ImageTextModel(folder).score([poster(), NOISE], [item.request.prompt] * 2)
    between = sum(said) / 2
    found = check_agreement(item, partial(open_image_text_model, folder), between)
    assert isinstance(found, FilteredCandidates) and found.lost == {"does not fit its prompt": 1}
    assert found.candidates[0].scores["agreement"] == pytest.approx(max(said), abs=1e-4)
    assert isinstance(check_agreement(item, partial(open_image_text_model, folder), 1.1), Drop)


def test_the_best_candidate_becomes_a_finished_poster():
    texts = (DrawnText("HELLO WORLD", (20, 20, 300, 90)),)
    weak, strong = (Candidate(poster(), texts, {"agreement": score}) for score in (0.1, 0.3))
    request = a_request('A disc. "HELLO WORLD".', theme="nature", split="heldout")
    item = FilteredCandidates(request, (weak, strong, weak), Counter(noise=1), {"agreement": {"by": "clip"}})
    made = keep_best(item, partial(open_judge, "rules"), "CC0-1.0", "tiny")
    assert made.task == "text" and made.caption == 'A disc. "HELLO WORLD".' and made.split == "heldout"
    assert made.judged["agreement"] == {"by": "clip", "said": 0.3}
    assert made.judged["candidates"] == {"by": "tiny", "said": {"drawn": 4, "noise": 1}}
    assert [(region.role, region.text) for region in made.regions] == [("major", "HELLO WORLD")]
    json.dumps(encode_sample(made)[0])


@pytest.mark.slow
def test_without_an_image_text_model_a_judge_ranks():
    made = keep_best(sifted(NOISE, poster("HELLO WORLD")), partial(open_judge, "rules"), "", "tiny")
    assert (made.target == np.asarray(poster("HELLO WORLD"))).all()
    assert made.judged["worth"]["by"].startswith("text+aesthetics+agreement ")


@pytest.fixture(scope="module")
def flux(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flux")
    PosterCraftPipeline(**tiny_flux.components(), native_area=64 * 96).save_pretrained(folder)
    return str(folder)


def draw(flux: str, count: int, typeset: bool = False) -> Draw:
    return Draw(ModelAt(flux, device="cpu"), count, 0, steps=1, typeset=typeset, batch=1, finish=Size(128, 192))


def test_a_candidate_hangs_on_its_own_seed_alone(flux):
    two, three = (draw(flux, count)(a_request('A disc. "HI".')) for count in (2, 3))
    assert isinstance(two, DrawnPosters) and isinstance(three, DrawnPosters) and len(three.images) == 3
    pictures = [np.asarray(picture) for picture in (*two.images, *three.images)]
    assert pictures[0].shape == (192, 128, 3)
    assert (pictures[0] == pictures[2]).all() and (pictures[1] == pictures[3]).all()
    assert (pictures[0] != pictures[1]).any()


def test_typeset_candidates_carry_the_asked_texts_and_their_boxes(flux):
    made = draw(flux, 1, typeset=True)(a_request('A disc. It says "HELLO".'))
    assert isinstance(made, DrawnPosters)
    ((text,),) = made.texts
    x0, y0, x1, y1 = text.box or (0, 0, 0, 0)
    assert text.text == "HELLO" and 0 <= x0 < x1 <= 128 and 0 <= y0 < y1 <= 192
    lost = draw(flux, 1, typeset=True)(a_request("x", "p2", texts=("endless " * 60,)))
    assert isinstance(lost, Drop) and lost.reason == "texts do not fit"


def test_prompts_of_any_maker_are_read_with_the_texts_that_they_name(tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text('{"prompt": "A \\"HI\\""}\n{"id": "b", "prompt": "B", "texts": ["HO"], "style": "retro"}\n')
    first, second = read_requests(file, TEXT)[0], read_requests(file, TEXT)[1]
    assert isinstance(first, SetRequest) and isinstance(second, SetRequest)
    assert (first.id, FilteredCandidates(first, ()).texts) == ("prompt-000001", ("HI",))
    assert (second.id, FilteredCandidates(second, ()).texts, second.style) == ("b", ("HO",), "retro")


@pytest.mark.slow
def test_candidates_of_mini_become_posters_that_the_six_tasks_start_from(tmp_path):
    run("build_prompts.py", "--out", tmp_path / "prompts", "--count", 4, "--workers", 1)
    for name, workers in (("one", 1), ("two", 2)):
        made = run("draw_candidates.py", tmp_path / "prompts", "--out", tmp_path / name, "--steps", 6, "--finish",
                   "256x384", "--workers", workers, "--shard", 2, "--clip", save_clip(tmp_path / "clip"),
                   "--agreement", -1)  # fmt: skip
        assert made.returncode == 0, made.stderr
    assert content(tmp_path / "one") == content(tmp_path / "two")
    assert validate(tmp_path / "one").faults == []
    posters = list(PosterDataset(tmp_path / "one", tasks=("text",)))
    assert len(posters) >= 2 and all(one.target.shape == (384, 256, 3) and len(one.texts) == 2 for one in posters)
    assert set(posters[0].judged) == {"text recall", "agreement", "candidates"}
    made = run("build_omni.py", tmp_path / "one", "--out", tmp_path / "omni", "--painter", "none", "--workers", 1)
    assert made.returncode == 0, made.stderr
    assert validate(tmp_path / "omni").faults == []


@pytest.mark.slow
def test_a_picture_model_is_no_candidate_maker(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"prompt": "A"}\n')
    made = run("draw_candidates.py", tmp_path / "p.jsonl", "--out", tmp_path / "out", "--model",
               ROOT / "posterkit/mini/posteromni")  # fmt: skip
    assert made.returncode == 2 and "does not draw text" in made.stderr and "Traceback" not in made.stderr


@pytest.mark.slow
def test_a_judge_that_reads_nothing_is_no_filter_of_texts(tmp_path):
    (tmp_path / "p.jsonl").write_text('{"prompt": "A"}\n')
    made = run("draw_candidates.py", tmp_path / "p.jsonl", "--out", tmp_path / "out", "--judge", "rules-blind")
    assert made.returncode == 2 and "reads no text" in made.stderr and not (tmp_path / "out").exists()
