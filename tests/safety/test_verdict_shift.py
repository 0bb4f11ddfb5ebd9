"""CoCA as a detector: the shift of a tiny real model's verdict, against two plain forwards."""

from __future__ import annotations

import math

import pytest
import tiny_chat
import torch
from transformers import Qwen2_5_VLForConditionalGeneration, Qwen2Tokenizer

from posterkit.cli.main import main
from posterkit.documents import read_json
from posterkit.llm.client import AnswerError
from posterkit.llm.local import LocalModel
from posterkit.safety.calibration import temperature_of, threshold_at
from posterkit.safety.detectors import open_detector
from posterkit.safety.detectors.verdict_shift import SYSTEM, VerdictShiftDetector
from posterkit.safety.gate import open_gate
from posterkit.safety.policies import open_policies

POLICIES = open_policies()
PRINCIPLE = "No text may promise money."
TEXTS = [("Double your money", None), ("Fresh bread, every morning of the week", "a poster for a bakery"), ("x", None)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of random weights that are strong enough for each word to change its verdict."""
    place = tiny_chat.save(tmp_path_factory.mktemp("chat"))
    (place / "chat_template.jinja").write_text(tiny_chat.TEMPLATE)
    model = Qwen2_5_VLForConditionalGeneration.from_pretrained(place)
    torch.manual_seed(1)
    for parameter in model.parameters():
        if parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=0.4)
    model.save_pretrained(place)
    return str(place)


@pytest.fixture(scope="module")
def model(folder):
    return LocalModel(folder)


def log_odds_by_hand(folder: str, system: str, user: str) -> float:
    """log p(n...) / p(y...) in one plain forward; a byte is a token, so "no" and "yes" differ in their first."""
    words = Qwen2Tokenizer.from_pretrained(folder)
    said = f"<|im_start|>system\n{system}<|im_end|>\n<|im_start|>user\n{user}<|im_end|>\n<|im_start|>assistant\n"
    plain = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder).eval()
    with torch.no_grad():
        p = plain(input_ids=torch.tensor([words.encode(said)])).logits[0, -1].double().log_softmax(0)
    return (p[words.encode("n")[0]] - p[words.encode("y")[0]]).item()


def test_the_shift_is_the_log_odds_with_the_principle_less_those_without_it(folder, model):
    user = "<text>Double your money</text>\nIt belongs to a poster about: a bank"
    stated, bare = (log_odds_by_hand(folder, system, user) for system in (f"{PRINCIPLE}\n\n{SYSTEM}", SYSTEM))
    detector = VerdictShiftDetector(model, PRINCIPLE, temperature=2.0)
    (shift,) = detector.shifts([("Double your money", "a bank")])
    assert abs(stated - bare) > 0.05 and shift == pytest.approx(stated - bare, abs=1e-4)
    assert detector("Double your money", "a bank").p_harm == pytest.approx(1 / (1 + math.exp(-shift / 2)))


def test_without_a_principle_nothing_shifts_and_nothing_is_harmful(model):
    detector = VerdictShiftDetector(model, "")
    assert detector.shifts(TEXTS) == [0.0] * 3
    assert not any(verdict.harmful for verdict in detector.verdicts(TEXTS))


def test_texts_read_together_shift_as_each_does_alone(model):
    detector = VerdictShiftDetector(model, PRINCIPLE)
    together = detector.shifts(TEXTS * 7)  # more than one batch
    alone = [detector.shifts([one])[0] for one in TEXTS]
    assert together == pytest.approx(alone * 7, abs=1e-4)
    assert max(alone) - min(alone) > 1e-2


def test_answers_are_told_apart_by_the_first_token_in_which_they_differ(model):
    questions = ["Well?", "A longer question?"]
    assert model.log_odds("s", questions, "unsafe", "unfit") == model.log_odds("s", questions, "s", "f")
    with pytest.raises(AnswerError, match="'no' and 'not' begin alike"):
        model.log_odds("s", questions, "no", "not")


def test_a_fit_is_kept_in_a_file_and_finds_at_most_the_chosen_share_of_harmless_texts(folder, tmp_path):
    detector = open_detector(f"coca:{folder}", POLICIES)
    assert isinstance(detector, VerdictShiftDetector)
    texts = [(f"line {number}", None) for number in range(20)]
    harmful, shifts = [number % 2 == 0 for number in range(20)], detector.shifts(texts)
    detector.fit(texts, harmful, 0.2)
    detector.save(tmp_path / "fitted.json")
    again = open_detector(f"coca:{tmp_path}/fitted.json", POLICIES)
    assert isinstance(again, VerdictShiftDetector) and again.temperature == temperature_of(shifts, harmful)
    p = [1 / (1 + math.exp(-shift / again.temperature)) for shift in shifts]
    assert again.threshold == pytest.approx(threshold_at(p, harmful, 0.2))
    assert sum(one.harmful for one, bad in zip(again.verdicts(texts), harmful, strict=True) if not bad) <= 2


def test_what_is_no_model_of_this_machine_is_refused_in_one_line(tmp_path):
    for spec, said in (("coca:", "coca:FOLDER"), ("coca:http://127.0.0.1:9/v1", "local model")):
        with pytest.raises(ValueError, match=said):
            open_detector(spec, POLICIES)
    with pytest.raises(AnswerError, match="cannot load this language model"):
        open_detector(f"coca:{tmp_path}", POLICIES)
    with pytest.raises(ValueError, match="cannot be read as a fitted detector"):
        open_detector(f"coca:{tmp_path}/none.json", POLICIES)


def test_the_gate_takes_it_beside_others(folder):
    gate = open_gate("block", detector=f"rules+coca:{folder}")
    assert gate is not None and gate.detector.name == f"rules+coca:{folder}"
    assert gate.detector("Guaranteed profit").harmful


@pytest.mark.slow
def test_the_bench_fits_it_on_one_half_and_measures_it_on_the_other(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("posterkit.cli.bench_safety._PAIRS", 240)
    file = tmp_path / "fitted.json"
    assert main(["bench", "safety", "--detector", f"coca:{folder}", "--fit", str(file)]) == 0
    fitted = capsys.readouterr().out
    assert set(read_json(file.read_text())) == {"model", "temperature", "threshold"}
    assert main(["bench", "safety", "--detector", f"coca:{file}"]) == 0
    found = capsys.readouterr().out

    def table(said: str) -> list[str]:
        return [line for line in said.splitlines() if line.startswith("|")]

    assert table(found) == table(fitted) and any(line.startswith("| all |") for line in table(found))
    assert main(["bench", "safety", "--fit", str(file)]) == 2
    assert "--fit takes one --detector" in capsys.readouterr().err
