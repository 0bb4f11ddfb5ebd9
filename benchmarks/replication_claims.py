"""What is claimed about training, where it was published, and which arms of the replication would show it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Claim:
    """A published claim as a difference between two arms.

    Attributes:
        text: what it says, as a row of the table.
        source: where it is published, and how large it is there.
        measure: what is compared; `others@task` is read off the curve at equal task loss.
        arm, than: the difference is the first's measure less the second's.
        sign: +1 or -1, what the claim says of the difference.
    """

    text: str
    source: str
    measure: str
    arm: str
    than: str
    sign: int


_CRAFT, _OMNI = "PosterCraft table 1: +.064 to +.068", "PosterOmni's ablation"
_UNSAID = "no figure"


def _of_groups(text: str, published: str, arm: str, than: str, sign: int, *groups: str) -> list[Claim]:
    """The claim for each task group, by the pictures and by the loss; lower is better of both."""
    groups = groups or ("local", "global")
    return [
        Claim(f"{text}, {group} tasks", published, f"{kind}{group}", arm, than, sign)
        for group in groups
        for kind in ("", "loss_")
    ]


def _of_edits(text: str, published: str, arm: str, than: str) -> list[Claim]:
    """The claim by what rules say of the posters, and by how far they lie from those asked for."""
    far = [Claim(f"{text}, {group} tasks", published, group, arm, than, -1) for group in ("local", "global")]
    return [Claim(text, published, "worth", arm, than, 1), *far]


def _of_texts(text: str, published: str, arm: str, than: str) -> list[Claim]:
    """The claim by template matching and by OCR; higher is better of both."""
    return [Claim(text, published, measure, arm, than, 1) for measure in ("letters", "ocr")]


_RL = "PosterOmni: 4.76 / 4.20 against"
_CASCADE = "PosterCraft's ablation, no figure"
TUNING = (
    Claim("stage 1 raises text accuracy over the base", _CRAFT, "letters", "stage1", "postercraft", 1),
    Claim("the same, read by OCR", _CRAFT, "ocr", "stage1", "postercraft", 1),
    Claim("region-aware SFT writes better than plain SFT", _UNSAID, "letters", "region_sft", "plain_sft", 1),
    Claim("region-aware SFT has better backgrounds", _UNSAID, "background", "region_sft", "plain_sft", -1),
    Claim("region-aware SFT has better backgrounds", _UNSAID, "loss_background", "region_sft", "plain_sft", -1),
    Claim("writes better, where captions misread a quarter of the letters", "our probe", "letters",
          "region_sft_misread", "plain_sft_misread", 1),
    Claim("better backgrounds, with such captions", "our probe", "background", "region_sft_misread",
          "plain_sft_misread", -1),
    *_of_groups("the local expert falls on", f"{_OMNI}: -.65", "expert_local", "posteromni", 1, "global"),
    *_of_groups("the global expert falls on", f"{_OMNI}: -.93", "expert_global", "posteromni", 1, "local"),
    *_of_groups("the local expert above joint on its own", f"{_OMNI}: +.15", "expert_local", "joint", -1, "local"),
    *_of_groups("the global expert above joint on its own", f"{_OMNI}: +.24", "expert_global", "joint", -1, "global"),
    Claim("LoPT forgets less than end to end at equal task loss", "LoPT: GSM8K 72.1 against 46.6", "others@task",
          "lopt_input", "end_to_end", -1),
    Claim("LoPT to its anchor forgets less than end to end", "ours", "others@task", "lopt_anchor", "end_to_end", -1),
    Claim("LoPT forgets less than a frozen first half", "what it has to beat", "others@task", "lopt_input",
          "frozen_half", -1),
    Claim("LoPT, the first half at a fiftieth of the rate, forgets less than end to end", "our probe", "others@task",
          "lopt_input_slow", "end_to_end", -1),
    Claim("the same than a frozen first half", "our probe", "others@task", "lopt_input_slow", "frozen_half", -1),
    Claim("the same to its anchor, than end to end", "our probe", "others@task", "lopt_anchor_slow", "end_to_end",
          -1),
    Claim("the same to its anchor, than a frozen first half", "our probe", "others@task", "lopt_anchor_slow",
          "frozen_half", -1),
    Claim("a frozen first half forgets less than end to end", "no figure", "others@task", "frozen_half",
          "end_to_end", -1),
)  # fmt: skip
REWARDS = (
    *_of_texts("stage 3 by NFT writes better than stage 2", f"{_RL} 4.43 / 3.89", "nft", "before_reward"),
    *_of_texts("stage 3 by DPO writes better than stage 2", _UNSAID, "dpo", "before_reward"),
    *_of_texts("NFT writes better than DPO at equal samples", _UNSAID, "nft", "dpo"),
    *_of_texts("NFT writes better than GRPO at equal samples", f"{_RL} 4.65 / 4.08", "nft", "grpo"),
    Claim("NFT does not pay with the background", "our probe", "background", "nft", "before_reward", -1),
    Claim("NFT does not pay with diversity", "our probe", "diversity", "nft", "before_reward", 1),
    *_of_texts("stage 4's redrawn posters write better than the drafts", _CASCADE, "reflect", "dpo"),
    Claim("the better of draft and redraw above the better of two drafts", "our probe", "kept", "reflect",
          "best_of_2", 1),
    Claim("redrawing does not pay with the background", "our probe", "background", "reflect", "dpo", -1),
    *_of_texts("the whole cascade writes better than without stage 1", _CASCADE, "reflect", "reflect_without_1"),
    *_of_texts("better than without stage 2", _CASCADE, "reflect", "reflect_without_2"),
    *_of_texts("better than without stage 3", _CASCADE, "reflect", "reflect_without_3"),
    Claim("unedited negatives teach to tell doing nothing", f"{_RL} 4.64 / 4.03 after RL", "unedited", "reward_model",
          "reward_model_without_unedited", 1),
    *(Claim(f"the prompt helps to tell a poster for {what}", f"{_RL} 4.67 / 4.09 after RL", kind, "reward_model",
            "reward_model_without_prompt", 1)
      for kind, what in (("wrong_task", "another task"), ("candidates", "the same wish"))),
)  # fmt: skip
_STUDENT, _REWARDED, _GENERIC, _LEARNED = (
    f"bases/{name}" for name in ("distilled", "before_reward", "rl_generic", "rl_learned")
)
BASES = (  # on three bases, two seeds each
    *_of_groups("distilled above the base that it starts from", "our probe", _STUDENT, "bases/posteromni", -1),
    *_of_groups("distilled above joint", f"{_OMNI}: +.06, +.10", _STUDENT, "bases/joint", -1),
    *_of_groups("distilled above joint with the student's steps besides", f"{_OMNI}: +.06, +.10", _STUDENT,
                "bases/joint_longer", -1),
    *_of_groups("the text term helps", f"{_OMNI}: +.04, +.07", _STUDENT, "bases/distilled_no_text", -1),
    Claim("the text term keeps the letters", _UNSAID, "letters", _STUDENT, "bases/distilled_no_text", 1),
    Claim("the text term keeps the letters", _UNSAID, "loss_title", _STUDENT, "bases/distilled_no_text", -1),
    *_of_groups("linear merging below distilling", _UNSAID, "bases/merged_linear", _STUDENT, 1),
    *_of_groups("SVD merging below distilling", _UNSAID, "bases/merged_svd", _STUDENT, 1),
    *_of_edits("RL by a task-aware reward above the student", f"{_RL} 4.43 / 3.89", "bases/rl_rules", _REWARDED),
    *_of_edits("RL by a task-aware reward above the base", "our probe", "bases/rl_rules", "bases/base_rewarded"),
    *_of_edits("RL by a task-aware reward above a generic one", f"{_RL} 4.58 / 3.97", "bases/rl_rules", _GENERIC),
    *_of_edits("RL by a reward model above the student", f"{_RL} 4.43 / 3.89", _LEARNED, _REWARDED),
    *_of_edits("RL by a reward model above one without unedited negatives", f"{_RL} 4.64 / 4.03", _LEARNED,
               "bases/rl_without_unedited"),
    *_of_edits("RL by a reward model above one without the prompt", f"{_RL} 4.67 / 4.09", _LEARNED,
               "bases/rl_without_prompt"),
    *(Claim(f"RL by a {what} does not pay with diversity", "our probe", "diversity", arm, _REWARDED, 1)
      for what, arm in (("task-aware reward", "bases/rl_rules"), ("reward model", _LEARNED))),
)  # fmt: skip
TABLES = {"Fine-tuning": TUNING, "Rewards and reflection": REWARDS, "PosterOmni's student, on three bases": BASES}
WATCHED = {  # arms that learn from rewards: what each began as, and its own reward where it is among the measures
    **dict.fromkeys(("nft", "grpo"), ("before_reward", "letters")),
    "bases/rl_rules": (_REWARDED, "worth"),
    **dict.fromkeys((_GENERIC, _LEARNED, "bases/rl_without_unedited", "bases/rl_without_prompt"), (_REWARDED, None)),
}
SIDES = {"letters": 1, "worth": 1, "background": -1, "local": -1, "global": -1, "diversity": 1}  # and what is better
CLAIMS = TUNING + REWARDS + BASES
