"""Opens the judge that a bench measures: rules, a vision-language model, or a reward model."""

from __future__ import annotations

import re
from dataclasses import dataclass

from posterkit.critic import RULES
from posterkit.llm.client import Images, LanguageModel, Schema
from posterkit.llm.open_model import open_vision_language_model
from posterkit.rewards import open_reward
from posterkit.rewards.models.vision_language import VisionLanguageReward
from posterkit.rewards.reliability import fingerprint_of
from posterkit.rewards.reward import Reward
from posterkit.rewards.specs import kind_of

_TOKENS = 256  # of an answer; a few words are asked for
_SENTENCE = re.compile(r"[^.]+(?:\.(?=\d)[^.]+)*\.?")
_WORD = re.compile(r"\b(?!which|what|where|does)[^\W_]{3,}")  # the others stand in any sentence


@dataclass(frozen=True)
class Judge:
    """What a bench asks."""

    name: str  # in the report
    spec: str  # what it was opened by, as `--reward` takes it
    fingerprint: str  # of its weights; empty where they are not on this machine
    answers: LanguageModel | None  # answers questions in words; None where it gives numbers alone
    reward: Reward | None  # scores the texts of a poster; None where it gives none


class BriefReader:
    """Answers a question with the sentence of the brief that shares most of its words; it sees no picture.

    What the rules critic answers by: a suggestion cannot move it.
    """

    name = RULES

    def ask(self, system: str, user: str, images: Images = (), schema: Schema | None = None) -> str:
        brief = user.partition("Brief: ")[2].partition("\n")[0]
        question = set(_WORD.findall(user.rpartition("Question: ")[2].casefold()))
        sentences = [one.strip() for one in _SENTENCE.findall(brief)]
        return max(sentences, key=lambda one: len(question.intersection(_WORD.findall(one.casefold()))))


def open_judge(spec: str, model: str | None = None, device: str = "cpu") -> Judge:
    """A judge by the spec of a reward.

    Args:
        spec: "rules"; the folder or hub id of a vision-language model, or the URL of an endpoint that serves one;
            any other reward, which gives scores and no answers.
        model: the model's name at an endpoint.
        device: where a local model runs.

    Raises:
        ValueError, OSError: as `posterkit.rewards.open_reward`, or the model cannot be loaded or reached.
    """
    if spec == RULES:
        return Judge(RULES, spec, "", BriefReader(), open_reward("text"))
    if not _answers(spec):
        return Judge(spec, spec, fingerprint_of(spec), None, open_reward(spec, model=model, device=device))
    answers = open_vision_language_model(spec, model, device, _TOKENS)
    reward = VisionLanguageReward(answers.name, lambda: answers, "text")
    return Judge(answers.name, spec, fingerprint_of(spec), answers, reward)


def _answers(spec: str) -> bool:
    """Whether it is a model that answers in words."""
    try:
        return kind_of(spec) == "judge"
    except ValueError:  # a part, a sum, a file of weights; or nothing, which `open_reward` says
        return False
