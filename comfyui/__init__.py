"""Nodes for ComfyUI: plan, draft, draw, typeset and judge a poster. `docs/comfyui.md` says how to install them.

An IMAGE is a float tensor `(B, H, W, C)` in [0, 1], a MASK one of `(B, H, W)`: 1 = make this. Nothing here imports
ComfyUI before a node runs, and nothing of posterkit before one is asked for.
"""

from __future__ import annotations

import json
import warnings
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image

from posterkit.lettering import ALIGNS, PLANNERS, STYLES
from posterkit.sizing import MAX_SIDE, Size
from posterkit.tasks import ANCHORS, TASKS, TEXT

if TYPE_CHECKING:
    from posterkit import PosterMaker

PLAN = "POSTERKIT_PLAN"  # a layout as JSON, see posterkit.layout.json_form
ANY = "any"  # leaves a choice to posterkit
_MOST_SEED = 2**63 - 1

Inputs = dict[str, dict[str, tuple[Any, ...]]]


def _words(default: str, tooltip: str) -> tuple[Any, ...]:
    return "STRING", {"default": default, "multiline": True, "tooltip": tooltip}


def _side(default: int) -> tuple[Any, ...]:
    return "INT", {"default": default, "min": 0, "max": MAX_SIDE, "step": 16, "tooltip": "pixels; 0 leaves it open"}


_SEED = ("INT", {"default": 0, "min": 0, "max": _MOST_SEED, "control_after_generate": True})
_PROMPT = _words("a lighthouse at night, navy background", "what the poster shows")
_TEXTS = _words("NORTH LIGHT\nFriday 8 pm", "a text a line, the title first; @title: before one says its role")


class PlanPoster:
    """Says where the texts and the subject of a poster stand."""

    RETURN_TYPES = (PLAN, "IMAGE")
    RETURN_NAMES = ("plan", "preview")
    FUNCTION = "plan"
    CATEGORY = "posterkit"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "prompt": _PROMPT,
                "texts": _TEXTS,
                "width": _side(832),
                "height": _side(1216),
                "planner": (list(PLANNERS), {"default": "grammar"}),
                "seed": _SEED,
            },
            "optional": {"picture": ("IMAGE", {"tooltip": "what the texts will stand on"})},
        }

    def plan(
        self, prompt: str, texts: str, width: int, height: int, planner: str, seed: int, picture: Any = None
    ) -> tuple[str, torch.Tensor]:
        from posterkit.generate.layout_plan import plan_layout
        from posterkit.layout.json_form import layout_to_json
        from posterkit.typeset.template import template_picture

        layout, _ = plan_layout(
            prompt, _lines(texts), planner=planner, width=width or None, height=height or None, seed=seed,
            picture=None if picture is None else pictures_of(picture)[0],
        )  # fmt: skip
        return layout_to_json(layout), image_of([template_picture(layout)])


class DraftPoster:
    """Draws a prompt plainly, without lettering: a picture for any image-to-image model to paint over."""

    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("draft",)
    FUNCTION = "draw"
    CATEGORY = "posterkit"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {"prompt": _PROMPT, "width": _side(832), "height": _side(1216), "seed": _SEED},
            "optional": {"plan": (PLAN, {"tooltip": "keeps room for its texts"})},
        }

    def draw(self, prompt: str, width: int, height: int, seed: int, plan: str | None = None) -> tuple[torch.Tensor]:
        from posterkit import PosterRequest
        from posterkit.generate.draft import drawn_after
        from posterkit.layout.json_form import layout_from_json
        from posterkit.synthetic.scene_draft import draft

        layout = layout_from_json(plan) if plan else None
        size = layout.size if layout else (width or 832, height or 1216)
        made = draft(PosterRequest(prompt, seed=seed), Size(*size), layout=layout and drawn_after(layout))
        return (image_of([made]),)


class MakePoster:
    """A poster from a prompt, or from pictures by one of PosterOmni's six tasks."""

    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("poster", "record")
    FUNCTION = "make"
    CATEGORY = "posterkit"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        model = "mini, a diffusers folder, a run folder or a hub id"
        return {
            "required": {
                "task": ([TEXT, *TASKS], {"default": TEXT}),
                "model": ("STRING", {"default": "mini", "tooltip": model}),
                "prompt": _PROMPT,
                "width": _side(0),
                "height": _side(0),
                "seed": _SEED,
                "steps": ("INT", {"default": 0, "min": 0, "max": 1000, "tooltip": "0: the model's own number"}),
            },
            "optional": {
                "image": ("IMAGE", {"tooltip": "a batch is several references of one poster"}),
                "mask": ("MASK", {"tooltip": "1 = make this; id_driven: 0 = the subject"}),
                "anchor": ([ANY, *ANCHORS], {"tooltip": "where extending puts the picture"}),
                "draft": ("IMAGE", {"tooltip": "a picture to paint over"}),
                "strength": (
                    "FLOAT",
                    {"default": 0.0, "min": 0.0, "max": 1.0, "step": 0.05, "tooltip": "0: the model's own"},
                ),
                "lora": ("STRING", {"default": "", "tooltip": "a file, a folder or a hub id; =0.8 is its weight"}),
            },
        }

    def make(
        self, task: str, model: str, prompt: str, width: int, height: int, seed: int, steps: int, image: Any = None,
        mask: Any = None, anchor: str = ANY, draft: Any = None, strength: float = 0.0, lora: str = "",
    ) -> tuple[torch.Tensor, str]:  # fmt: skip
        from posterkit import PosterRequest

        images = [] if image is None else pictures_of(image)
        request = PosterRequest(
            prompt, task=task, images=images, seed=seed, steps=steps or None,
            mask=None if mask is None or not images else mask_of(mask, images[0].size),
            size=Size(width or None, height or None),  # pyright: ignore[reportArgumentType]
            anchor=None if anchor == ANY or task != "extending" else anchor,
            draft=None if draft is None else pictures_of(draft)[0],
            strength=strength or None,
        )  # fmt: skip
        with warnings.catch_warnings(record=True) as notes:
            warnings.simplefilter("always", UserWarning)
            poster = _maker(model, lora or None)(request, _Progress())
        for note in notes:
            print(f"posterkit: {note.message}")
        return image_of([poster.image]), json.dumps(poster.record, ensure_ascii=False)


class TypesetPoster:
    """Sets texts on a picture with real fonts; they are never misspelt."""

    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("poster",)
    FUNCTION = "set"
    CATEGORY = "posterkit"

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {
            "required": {
                "image": ("IMAGE",),
                "texts": _TEXTS,
                "style": ([ANY, *STYLES], {"default": ANY}),
                "align": ([ANY, *ALIGNS], {"default": ANY}),
            },
            "optional": {
                "plan": (PLAN, {"tooltip": "of these texts: they stand where it says"}),
                "save_as": ("STRING", {"default": "", "tooltip": "also a file: poster.svg, .pdf, .psd, .pptx"}),
            },
        }

    def set(
        self, image: Any, texts: str, style: str, align: str, plan: str | None = None, save_as: str = ""
    ) -> tuple[torch.Tensor]:
        from posterkit import PosterBrief, typeset
        from posterkit.generate.obstacles import find_obstacles
        from posterkit.layout.json_form import layout_from_json
        from posterkit.lettering import AUTO, unmarked

        plain, marks = unmarked(_lines(texts))
        how = {
            "style": None if style == ANY else style,
            "align": None if align == ANY else align,
            "roles": [dict(marks).get(text, AUTO) for text in plain],
            "plan": layout_from_json(plan) if plan else None,
        }
        posters = [
            typeset(picture, PosterBrief(texts=plain), avoid=find_obstacles(picture), **how)
            for picture in pictures_of(image)
        ]
        if save_as:
            posters[0].save(_output_file(save_as))
        return (image_of([poster.image for poster in posters]),)


class JudgePoster:
    """Says what is wrong with a poster and what it is worth, by rules and OCR; no model."""

    RETURN_TYPES = ("STRING", "STRING", "FLOAT")
    RETURN_NAMES = ("content", "style", "reward")
    FUNCTION = "judge"
    CATEGORY = "posterkit"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> Inputs:
        return {"required": {"image": ("IMAGE",), "prompt": _PROMPT, "texts": _TEXTS}}

    def judge(self, image: Any, prompt: str, texts: str) -> dict[str, Any]:
        from posterkit import PosterRequest
        from posterkit.critic import open_critic
        from posterkit.prompts import PosterBrief
        from posterkit.rewards import open_reward

        poster, request = pictures_of(image)[0], PosterRequest(prompt, texts=_lines(texts))
        quoted = " ".join(f'"{text}"' for text in PosterBrief(texts=list(request.texts or ())).texts)
        said = open_critic().suggest(poster, f"{prompt} {quoted}")
        (found,) = open_reward("rules")([poster], [request])
        shown = [f"content: {said.content}", f"style: {said.style}", f"reward: {found.value:.2f}", found.why]
        return {"ui": {"text": shown}, "result": (said.content, said.style, float(found.value))}


def pictures_of(image: torch.Tensor) -> list[Image.Image]:
    """An IMAGE `(B, H, W, C)` as pictures; a fourth channel is alpha, on white.

    Raises:
        ValueError: its shape or a value in it is none of an IMAGE's.
    """
    from posterkit.image_io import as_rgb

    if image.ndim != 4 or image.shape[-1] not in (3, 4):
        raise ValueError(f"an IMAGE is (B, H, W, 3 or 4), found {tuple(image.shape)}")
    if not torch.isfinite(image).all():
        raise ValueError("the IMAGE has NaN or infinity in it; a half-precision model upstream may have overflowed")
    levels = (image.detach().cpu().float().clamp(0, 1) * 255).round().to(torch.uint8).numpy()
    return [as_rgb(Image.fromarray(one)) for one in levels]


def image_of(pictures: list[Image.Image]) -> torch.Tensor:
    """Pictures of one size as an IMAGE `(B, H, W, 3)`, float32."""
    arrays = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    return torch.from_numpy(arrays.astype(np.float32) / 255)


def mask_of(mask: torch.Tensor, size: tuple[int, int]) -> Image.Image | None:
    """A MASK `(B, H, W)` or `(H, W)` as a picture of `size`, white where 1; None where it marks nothing.

    A picture without transparency comes out of LoadImage with an empty mask of 64 x 64.
    """
    plane = mask[0] if mask.ndim == 3 else mask
    if plane.ndim != 2:
        raise ValueError(f"a MASK is (B, H, W), found {tuple(mask.shape)}")
    marked = (plane.detach().cpu() > 0.5).numpy()
    if not marked.any():
        return None
    return Image.fromarray(marked.astype(np.uint8) * 255).resize(size, Image.Resampling.NEAREST)


@lru_cache(maxsize=1)
def _maker(model: str, lora: str | None) -> PosterMaker:
    """One model at a time stays open."""
    from posterkit import PosterMaker

    return PosterMaker(model=None if model.strip() in ("", "mini") else model.strip(), lora=lora)


class _Progress:
    """ComfyUI's own bar, and its stop button, where it runs."""

    def __init__(self) -> None:
        try:
            from comfy import model_management, utils
        except ImportError:
            self.comfy = None
        else:
            self.comfy = model_management, utils
        self.bar: Any = None

    def begin(self, words: str, total: int) -> None:
        if self.comfy:
            self.bar = self.comfy[1].ProgressBar(total)

    def step(self, done: int) -> None:
        if self.comfy:
            self.bar.update_absolute(done)
            self.comfy[0].throw_exception_if_processing_interrupted()


def _output_file(name: str) -> str:
    """A file in ComfyUI's output folder; ValueError for a name that leads out of it."""
    try:
        import folder_paths
    except ImportError:
        folder = Path("output")
    else:
        folder = Path(folder_paths.get_output_directory())
    file = (folder / name).resolve()
    if not file.is_relative_to(folder.resolve()):
        raise ValueError(f"save_as {name!r}: leads out of ComfyUI's output folder")
    if file.exists():
        raise ValueError(f"{file}: is there already; choose another name")
    file.parent.mkdir(parents=True, exist_ok=True)
    return str(file)


def _lines(texts: str) -> list[str]:
    return [line.strip() for line in texts.splitlines() if line.strip()]


NODE_CLASS_MAPPINGS = {
    "PosterkitPlan": PlanPoster,
    "PosterkitDraft": DraftPoster,
    "PosterkitMake": MakePoster,
    "PosterkitTypeset": TypesetPoster,
    "PosterkitJudge": JudgePoster,
}
NODE_DISPLAY_NAME_MAPPINGS = {
    "PosterkitPlan": "Plan a poster",
    "PosterkitDraft": "Draft a poster",
    "PosterkitMake": "Make a poster",
    "PosterkitTypeset": "Typeset texts",
    "PosterkitJudge": "Judge a poster",
}
for _node in NODE_CLASS_MAPPINGS.values():
    _node.DESCRIPTION = _node.__doc__
