"""The detoxifier: a language model that writes a harmful line anew, harmless (MLLM-Protector).

    python train/detoxifier.py --config configs/mini/detoxifier.yaml
    posterkit generate "a fox" --text "We do not serve women" --safety rewrite --rewriter runs/mini/detoxifier/model

It learns from the pairs of `data_tools/build_safety.py`, or a folder of PKU-SafeRLHF, in the rewriter's own words, so
that training and use ask alike. Only answers count:

    L = - E mean_t log p(harmless_t | policy, harmful line, harmless_<t)

With `init_from` null a small Qwen2 over byte pairs is made; else it is a transformers folder, with a LoRA where the
config says so. `heldout.json` has what its answers to held-out lines are worth by the same checks as any rewriter's:
kept (placeholders, prices, dates, script and length are), harmless (the detectors find nothing any more), and both.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from posterkit.datagen.safety_lines import HarmPairs, read_pairs
from posterkit.image_io import written_whole
from posterkit.llm.client import AnswerError
from posterkit.llm.local import LocalModel
from posterkit.safety.detectors import DEFAULT, open_detector
from posterkit.safety.detectors.detector import Verdict
from posterkit.safety.policies import open_policies
from posterkit.safety.rewriting import CannotRewrite, ModelRewriter
from posterkit.training.adapters.language import LanguageAdapter
from posterkit.training.config import Count, parse_config
from posterkit.training.errors import setting_up
from posterkit.training.language_model import LanguageModelConfig, open_trainable
from posterkit.training.loading.detox_lines import DetoxLine, detox_batches, detox_lines, line_tokenizer
from posterkit.training.run import Run


@dataclass
class PairsConfig:
    """
    Attributes:
        path: a set of pairs; null makes `count` of them.
        count: half of them is held out.
    """

    path: str | None = None
    count: Count = 9600


@dataclass
class DetoxifierConfig(LanguageModelConfig):
    """
    Attributes:
        pairs: what it learns from.
        model: of a model made here: fields of transformers' Qwen2Config.
        heldout_lines: that are written anew at the end.
    """

    pairs: PairsConfig = field(default_factory=PairsConfig)
    model: dict[str, Any] = field(default_factory=dict)
    heldout_lines: Count = 60


def main() -> None:
    config = parse_config(DetoxifierConfig)
    run = Run(config)
    with setting_up():
        train, heldout = open_lines(config)
        model = open_model(config, train)

    for batch in run.steps(model, detox_batches(train, model, run)):
        batch = batch.to(run.device)
        with run.autocast():
            loss = model.answer_loss(batch).mean()
        run.backward(loss)

    run.finish(model)
    if run.accelerator.is_main_process and run.step == config.max_steps:
        folder = run.folder / ("ema" if config.ema_decay else "model")
        rewriter = ModelRewriter(LocalModel(str(folder), device=run.device, temperature=0.0, max_new_tokens=96))
        found = worth(rewriter, heldout[: config.heldout_lines])
        with written_whole(run.folder / "heldout.json") as file:
            file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        run.print(", ".join(f"{name} {found[name]:.0%}" for name in ("kept", "harmless", "both")))


def open_lines(config: DetoxifierConfig) -> tuple[list[DetoxLine], list[DetoxLine]]:
    """The lines to learn from, and those held out."""
    own = HarmPairs(config.seed)
    pairs = [*read_pairs(config.pairs.path)] if config.pairs.path else [own[i] for i in range(config.pairs.count)]
    train, heldout = (detox_lines(pairs, split, config.seed) for split in ("train", "heldout"))
    if not train or not heldout:
        raise ValueError(f"pairs.path {config.pairs.path}: there is nothing to {'hold out' if train else 'train on'}")
    return train, heldout


def open_model(config: DetoxifierConfig, lines: Sequence[DetoxLine]) -> LanguageAdapter:
    """The model, and in it what trains."""
    if config.init_from is None:
        model = LanguageAdapter.from_config(config.model, line_tokenizer(lines))
    else:
        model = open_trainable(LanguageAdapter.from_folder, config)
    model.kind = "detoxifier"
    model.use = (
        'from posterkit.safety.gate import open_gate\n\ngate = open_gate("rewrite", rewriter="path/to/this/folder")'
    )
    return model


def worth(rewriter: ModelRewriter, lines: Sequence[DetoxLine]) -> dict[str, Any]:
    """Shares of the lines whose new words are kept, harmless, and both; and every answer."""
    policies = open_policies()
    by_name, detector = {policy.name: policy for policy in policies}, open_detector(DEFAULT, policies)
    rows = []
    for one in lines:
        verdict = Verdict(1.0, True, one.category, "", "heldout")
        try:
            answer, fault = rewriter(one.harmful, verdict, by_name.get(one.category or ""), 1), ""
        except (CannotRewrite, AnswerError) as error:
            answer, fault = "", str(error)
        harmless = bool(answer) and not detector(answer).harmful
        rows.append({"line": one.harmful, "answer": answer, "fault": fault, "kept": not fault, "harmless": harmless})
    shares = {name: sum(row[name] for row in rows) / len(rows) for name in ("kept", "harmless")}
    both = sum(row["kept"] and row["harmless"] for row in rows) / len(rows)
    return {"lines": len(rows), **shares, "both": both, "answers": rows}


if __name__ == "__main__":
    main()
