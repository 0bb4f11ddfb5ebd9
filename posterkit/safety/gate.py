"""The gate: every text on its way to a poster is allowed, warned of, written anew, or blocked.

    gate = open_gate("rewrite")
    decision = gate.check("Guaranteed profit with shares", "copy")
    print(decision.action, decision.text)

A text that is allowed passes byte for byte.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image

from posterkit.llm.client import AnswerError
from posterkit.messages import one_line
from posterkit.prompts.quotes import in_quotes, quotes
from posterkit.safety.decision import MODES, SURFACES, WRITTEN, GateDecision, Refused
from posterkit.safety.detectors import DEFAULT, HarmDetector, Verdict, open_detector
from posterkit.safety.pictures import PictureDetector, embedded_words, open_picture_detector
from posterkit.safety.policies import SafetyPolicy, open_policies, shipped_policies
from posterkit.safety.rewriting import CannotRewrite, Rewriter, TemplateRewriter, open_rewriter
from posterkit.schema import ImageSource, PosterRequest, picture_of

# words are looked at and nothing is changed; reading pictures by OCR takes a second each
DEFAULT_MODES = "off,prompt=warn,copy=warn,critic=warn"
ROUNDS = 2  # rewrites of one text
_PICTURE = "the picture itself"


def parse_modes(spec: str) -> dict[str, str]:
    """A mode for each surface: `warn` for all, `warn,finished=block,references=off` for some.

    Raises:
        ValueError: there are no words, or a word is neither a mode nor a surface and a mode.
    """
    modes: dict[str, str] = dict.fromkeys(SURFACES, "off")
    words = [part.strip() for part in spec.split(",") if part.strip()]
    if not words:
        raise ValueError(f"safety {spec!r} names no mode; there are {', '.join(MODES)}")
    for word in words:
        surface, equals, mode = word.partition("=")
        if not equals:
            surface, mode = "", word
        for value, known, what in ((mode, MODES, "mode"), (surface or SURFACES[0], SURFACES, "surface")):
            if value not in known:
                near = difflib.get_close_matches(value, known, 1)
                meant = f" (did you mean {near[0]}?)" if near else ""
                raise ValueError(f"safety {spec!r}: unknown {what} {value!r}{meant}; there are {', '.join(known)}")
        modes |= {surface: mode} if surface else dict.fromkeys(SURFACES, mode)
    return modes


class SafetyGate:
    """Checks texts, requests and pictures.

    Args:
        modes: by surface, see `parse_modes`.
        picture: looks at pictures themselves; without one they are not checked, and every decision says so.
        read: the texts on a picture; OCR.
    """

    def __init__(
        self, modes: Mapping[str, str], detector: HarmDetector, policies: Sequence[SafetyPolicy],
        rewriter: Rewriter | None = None, picture: PictureDetector | None = None,
        read: Callable[[Image.Image], Sequence[str]] | None = None,
    ) -> None:  # fmt: skip
        self.modes, self.detector, self.picture = dict(modes), detector, picture
        self.policies = {policy.name: policy for policy in policies}
        self.rewriter, self._read = rewriter or TemplateRewriter(), read or _read_by_ocr

    def active(self, surface: str) -> bool:
        """Whether anything happens on a surface."""
        return self.modes[surface] != "off"

    def check(self, text: str, surface: str, context: str | None = None) -> GateDecision:
        """The decision about one text.

        A detector that fails blocks where the mode is rewrite or block, and is a warning where it is warn.

        Args:
            context: the brief that a poster's copy belongs to.
        """
        mode = self.modes[surface]
        if mode == "off" or not text.strip():
            return GateDecision(surface, "allow", 0.0, None, "", "", text)
        try:
            verdict = self.detector(text, context)
        except AnswerError as fault:
            action = "warn" if mode == "warn" else "block"
            failed = (self.detector.name,)
            return GateDecision(surface, action, 0.0, None, f"not checked: {fault}", "", text, unchecked=failed)
        if not self._counts(verdict):
            return GateDecision(surface, "allow", verdict.p_harm, None, "", "", text)
        return self._decide(verdict, text, surface, context)

    def check_request(self, request: PosterRequest) -> tuple[PosterRequest, list[GateDecision]]:
        """The request as it may be made, and every decision about its words; of pictures see `check_picture`.

        Raises:
            Refused: a text is blocked.
        """
        known: dict[tuple[str, str], GateDecision] = {}  # an expansion quotes what its prompt quotes

        def passed(text: str, surface: str, context: str | None = None) -> str:
            if (text, surface) not in known:
                known[text, surface] = self.check(text, surface, context)
            return known[text, surface].text

        changes: dict[str, Any] = {}
        for name in ("prompt", "expanded"):
            if words := getattr(request, name):
                changes[name] = self._prompt(words, passed)
        about = _outside_quotes(request.prompt).strip() or None
        if request.texts:
            changes["texts"] = tuple(passed(text, "copy", about) for text in request.texts)
        if request.feedback:
            changes["feedback"] = tuple(tuple(passed(said, "critic") for said in one) for one in request.feedback)
        if mark := request.lettering.visible_mark:
            changes["lettering"] = replace(request.lettering, visible_mark=passed(mark, "copy", about))
        decisions = list(known.values())
        if any(one.action == "block" for one in decisions):
            raise Refused(decisions)
        changed = {name: value for name, value in changes.items() if value != getattr(request, name)}
        if "texts" in changed:
            now: dict[str, str] = dict(zip(request.texts or (), changed["texts"], strict=True))
            moved = tuple((now.get(text, text), role) for text, role in request.lettering.marks)
            changed["lettering"] = replace(changed.get("lettering", request.lettering), marks=moved)
        return (replace(request, **changed) if changed else request), decisions

    def check_picture(self, image: ImageSource, surface: str) -> GateDecision:
        """The decision about a picture: the texts on it, words in its file, and the picture where a detector is there.

        What stands in a picture cannot be written anew, so that rewrite blocks as block does.
        """
        if not self.active(surface):
            return GateDecision(surface, "allow", 0.0, None, "", "", "")
        picture = picture_of(image)
        words = [*self._read(picture), *(embedded_words(image) if isinstance(image, str | Path) else ())]
        decision = self.check("\n".join(words), surface)
        if self.picture is None:
            return replace(decision, unchecked=(*decision.unchecked, _PICTURE))
        verdict = self.picture(picture)
        if verdict.harmful and decision.action == "allow":
            return self._decide(verdict, decision.original, surface, None)
        return decision

    def _prompt(self, words: str, passed: Callable[..., str]) -> str:
        """A prompt: what it quotes is copy, with the rest as its context."""
        around = _outside_quotes(words)
        written, end = "", 0
        for quote in quotes(words):
            text = passed(quote.text, "copy", around.strip() or None)
            written += words[end : quote.start]
            written += words[quote.start : quote.end] if text == quote.text else in_quotes(text)
            end = quote.end
        words = written + words[end:]
        outside = _outside_quotes(words)
        prose = passed(outside, "prompt")
        if prose == outside:
            return words
        quoted = " ".join(in_quotes(quote.text) for quote in quotes(words))
        return " ".join(part for part in (" ".join(prose.split()), quoted) if part)

    def _counts(self, verdict: Verdict) -> bool:
        """Whether it is harmful by a policy that holds; a category that no policy speaks of counts."""
        left_out = {policy.name for policy in shipped_policies()} - self.policies.keys()
        return verdict.harmful and verdict.category not in left_out

    def _decide(self, verdict: Verdict, text: str, surface: str, context: str | None) -> GateDecision:
        mode = self.modes[surface]
        decision = GateDecision(surface, "warn", verdict.p_harm, verdict.category, verdict.why, verdict.by, text)
        if mode == "warn":
            return decision
        if mode == "block" or surface not in WRITTEN:
            return replace(decision, action="block")
        current, why, rounds = text, "", 0
        for rounds in range(1, ROUNDS + 1):
            try:
                current = self.rewriter(current, verdict, self.policies.get(verdict.category or ""), rounds)
                verdict = self.detector(current, context)
            except (CannotRewrite, AnswerError) as fault:
                why = one_line(str(fault))
                continue
            if not self._counts(verdict):
                return replace(decision, action="rewrite", rewritten=current, rounds=rounds)
            why = f"still harmful after {rounds} rewrites" if rounds > 1 else "still harmful after a rewrite"
        return replace(decision, action="block", reason=f"{decision.reason}; {why}", rounds=rounds)


def _outside_quotes(words: str) -> str:
    """The prompt with blanks in place of quoted texts."""
    for quote in quotes(words):
        words = words[: quote.start] + " " * (quote.end - quote.start) + words[quote.end :]
    return words


def _read_by_ocr(picture: Image.Image) -> list[str]:
    from posterkit.metrics.poster_reader import open_poster_reader

    return [found.text for found in open_poster_reader().texts(picture)]


def open_gate(
    modes: str = DEFAULT_MODES, *, detector: str = DEFAULT, policies: Iterable[str] = (), rewriter: str = "template",
    brands: Sequence[str] = (), device: str = "cpu", read: Callable[[Image.Image], Sequence[str]] | None = None,
) -> SafetyGate | None:  # fmt: skip
    """A gate; None where it is off on every surface.

    Args:
        modes: see `parse_modes`.
        detector: see `open_detector`.
        policies: house rules beside the shipped policies, see `open_policies`.
        rewriter: see `open_rewriter`.
        brands: names that a rewriter must keep.
        read: the texts on a picture; None means OCR.

    Raises:
        AnswerError: a model cannot be loaded.
        ValueError: there is no such mode, detector, policy or rewriter.
    """
    by_surface = parse_modes(modes)
    if set(by_surface.values()) == {"off"}:
        return None
    chosen = open_policies(policies)
    seen = any(by_surface[surface] != "off" for surface in ("references", "finished"))
    return SafetyGate(
        by_surface, open_detector(detector, chosen, device), chosen, open_rewriter(rewriter, brands, device),
        open_picture_detector() if seen else None, read,
    )  # fmt: skip
