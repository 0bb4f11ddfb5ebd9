"""A language model that trains on conversations: questions, and the answers that it should give."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import AutoModelForCausalLM, Qwen2Config, Qwen2ForCausalLM

from posterkit.llm.local import open_tokenizer, with_chat_template
from posterkit.rewards.models.reward_model import merged_lora, put_lora
from posterkit.training.plan_tokenizer import plan_tokenizer


class LanguageAdapter:
    """A causal language model and its tokenizer.

    Attributes:
        module: the model.
        lora: the LoRA's rank, alpha and targets; None where all weights train.

    Args:
        tokenizer: with a chat template.
        module: its weights in any dtype.
    """

    kind = "planner"  # for the card, as `use` and `what_trains` are
    use = (
        "from posterkit.layout.planners.planner_names import open_planner\n\n"
        'planner = open_planner("cot:path/to/this/folder")'
    )

    def __init__(self, tokenizer: Any, module: Any) -> None:
        self.tokenizer, self.module = tokenizer, module
        self.lora: dict[str, Any] | None = None

    @classmethod
    def from_config(cls, config: dict[str, Any], tokenizer: Any = None) -> LanguageAdapter:
        """A fresh Qwen2; `config` holds Qwen2Config's fields, and without a tokenizer it reads the plan language."""
        tokenizer = tokenizer or plan_tokenizer()
        settings = Qwen2Config(
            **{"tie_word_embeddings": True, **config}, vocab_size=len(tokenizer), bos_token_id=None,
            eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
        )  # fmt: skip
        return cls(tokenizer, Qwen2ForCausalLM(settings))

    @classmethod
    def from_folder(cls, source: str, dtype: torch.dtype = torch.float32) -> LanguageAdapter:
        """A transformers folder or a hub id, safetensors only.

        Raises:
            OSError, ValueError: there is no such model, or its tokenizer has no chat template.
        """
        tokenizer = with_chat_template(open_tokenizer(source), source)
        return cls(tokenizer, AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, use_safetensors=True, trust_remote_code=False))  # fmt: skip

    @property
    def what_trains(self) -> str:
        return f"LoRA of rank {self.lora['rank']}" if self.lora else "all weights"

    def add_lora(self, rank: int, alpha: float, targets: Sequence[str], dora: bool = False) -> None:
        """Freeze the weights and put a LoRA on them; ValueError where a target fits no layer."""
        put_lora(self.module, rank, alpha, targets, dora)
        self.lora = {"rank": rank, "alpha": alpha, "targets": sorted(targets), "dora": dora}

    def read(self, system: str, question: str, answer: str) -> dict[str, Tensor]:
        """One conversation: ids `(L,)`, and which of them are the answer and its end `(L,)`."""
        messages = [{"role": "system", "content": system}, {"role": "user", "content": question}]
        asked = self.tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True
        )["input_ids"]
        said = [*self.tokenizer.encode(answer, add_special_tokens=False), self.tokenizer.eos_token_id]
        ids = torch.tensor([*asked, *said])
        return {"ids": ids, "answer": torch.arange(len(ids)) >= len(asked)}

    def collate(self, rows: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Rows of `read` as one batch, padded on the right: ids with -1."""
        return {
            "ids": pad_sequence([row["ids"] for row in rows], batch_first=True, padding_value=-1),
            "answer": pad_sequence([row["answer"] for row in rows], batch_first=True),
        }

    def answer_loss(self, batch: dict[str, Tensor]) -> Tensor:
        """The mean negative log-likelihood of the answers' tokens, their ends included, for each sample: `(B,)`."""
        return -self.log_probs(batch).sum(1) / batch["answer"][:, 1:].sum(1)

    def log_probs(self, batch: dict[str, Tensor], temperature: float = 1.0) -> Tensor:
        """The log-likelihood of each token of the answers, `(B, L - 1)` float32; 0 at other tokens."""
        ids, known = batch["ids"], batch["ids"] >= 0
        states = self.module.model(input_ids=ids.masked_fill(~known, 0), attention_mask=known.long(), use_cache=False)[
            0
        ]
        said = batch["answer"][:, 1:]  # a state predicts the token behind it
        logits = self.module.lm_head(states[:, :-1][said])
        with torch.autocast(ids.device.type, enabled=False):
            each = -F.cross_entropy(logits.float() / temperature, ids[:, 1:][said], reduction="none")
            return torch.zeros(said.shape, device=ids.device).masked_scatter(said, each)

    @torch.no_grad()
    def sample(
        self, system: str, questions: Sequence[str], each: int, generator: torch.Generator, *,
        temperature: float = 1.0, top_p: float = 1.0, most: int = 512,
    ) -> list[dict[str, Tensor]]:  # fmt: skip
        """Answers as rows of `read`, `each` of them for a question, in a row; questions are read once.

        Args:
            generator: on the CPU; the same state gives the same answers.
            temperature: above 0; divides the logits.
            top_p: only the likeliest tokens, which together have so much probability.
            most: tokens; an answer that is cut there has no end.
        """
        asked = [row["ids"][~row["answer"]] for row in (self.read(system, one, "") for one in questions)]
        longest = max(map(len, asked))
        ids = torch.stack([F.pad(one, (longest - len(one), 0), value=-1) for one in asked])
        training = self.module.training
        self.module.eval()  # blocks that keep no activations in training keep no keys and values either
        try:
            answers = self._continued(
                ids.to(self.module.device),
                each,
                lambda logits: drawn_tokens(logits / temperature, top_p, generator),
                most,
            )
        finally:
            self.module.train(training)
        rows = []
        for at, answer in enumerate(answers):
            question, answer = asked[at // each], answer[answer >= 0]
            ids = torch.cat([question, answer])
            rows.append({"ids": ids, "answer": torch.arange(len(ids)) >= len(question)})
        return rows

    def _continued(self, ids: Tensor, each: int, choose: Callable[[Tensor], Tensor], most: int) -> Tensor:
        """Answers `(B each, T)` on the CPU; -1 behind their ends.

        Args:
            ids: questions `(B, L)`, padded on the left with -1.
            choose: a token of each row `(B,)` for its logits `(B, V)`, float32.
        """
        known = (ids >= 0).long()
        places = (known.cumsum(1) - 1).clamp(min=0)
        made = self.module(
            input_ids=ids.clamp(min=0), attention_mask=known, position_ids=places, use_cache=True, logits_to_keep=1
        )
        cache, logits = made.past_key_values, made.logits[:, -1].repeat_interleave(each, 0)
        cache.batch_repeat_interleave(each)
        known, place = known.repeat_interleave(each, 0), places[:, -1:].repeat_interleave(each, 0)
        said, done = [], torch.zeros(len(known), dtype=torch.bool, device=ids.device)
        while True:
            token = choose(logits.float()).masked_fill(done, -1)
            said.append(token)
            done |= token == self.tokenizer.eos_token_id
            if done.all() or len(said) == most:
                return torch.stack(said, 1).cpu()
            known, place = F.pad(known, (0, 1), value=1), place + 1
            logits = self.module(
                input_ids=token.clamp(min=0)[:, None], attention_mask=known, position_ids=place, past_key_values=cache,
                use_cache=True,
            ).logits[:, -1]  # fmt: skip

    def words(self, row: dict[str, Tensor]) -> str:
        """What the answer of a row says."""
        return self.tokenizer.decode(row["ids"][row["answer"]].tolist(), skip_special_tokens=True)

    def save(self, folder: str | Path) -> None:
        """Write a transformers folder with the LoRA merged, which `posterkit.llm.local.LocalModel` opens.

        Weights that train in full are written in bfloat16, to be read as float32.
        """
        if self.lora:
            merged_lora(self.module).save_pretrained(folder)
        else:
            tied = self.module._tied_weights_keys if self.module.config.tie_word_embeddings else ()
            halves = {name: weight.detach().bfloat16() for name, weight in self.module.state_dict().items()
                      if name not in tied}  # fmt: skip
            self.module.save_pretrained(folder, state_dict=halves)
            path = Path(folder) / "config.json"
            config = {**json.loads(path.read_text(encoding="utf-8")), "dtype": "float32"}
            path.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
        self.tokenizer.save_pretrained(folder)


def drawn_tokens(logits: Tensor, top_p: float, generator: torch.Generator) -> Tensor:
    """A token of each row `(B,)`, by the inverse of its distribution function at one random number of the generator.

    Args:
        logits: `(B, V)` float32.
        top_p: only the likeliest tokens, which together have so much probability, are drawn.
    """
    chances, tokens = logits.softmax(-1).sort(descending=True)
    below = chances.cumsum(-1)
    last = (below < top_p).sum(-1, keepdim=True).clamp(max=logits.shape[1] - 1)
    at = torch.rand(len(logits), 1, generator=generator).to(logits) * below.gather(1, last)
    return tokens.gather(1, torch.searchsorted(below, at, right=True).minimum(last))[:, 0]
