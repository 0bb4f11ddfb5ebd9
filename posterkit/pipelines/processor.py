"""Qwen2-VL's processor without its video half, which needs torchvision."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import transformers
from diffusers.utils import logging
from huggingface_hub import snapshot_download
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil
from transformers.processing_utils import ProcessorMixin
from transformers.utils.import_utils import is_torchvision_available

from posterkit.documents import read_json, read_text
from posterkit.pipelines.registry import OF_THE_HUB

# the logger on which diffusers reports the components that it loads
logger = logging.get_logger("diffusers.pipelines.pipeline_utils")

IMAGE_FILE, VIDEO_FILE = "preprocessor_config.json", "video_preprocessor_config.json"
BOTH_FILE = "processor_config.json"


class Qwen2VLProcessor(transformers.Qwen2VLProcessor):
    """The stock processor for text and pictures, in plain PIL and numpy.

    The stock class insists on a video processor, and that one on torchvision. This one takes none, carries the video
    half's json along, and writes folders that the stock class opens where torchvision is installed.
    """

    video_config: dict[str, Any]

    def __init__(
        self, image_processor: Any = None, tokenizer: Any = None, chat_template: str | dict[str, str] | None = None
    ) -> None:
        self.image_token, self.video_token = "<|image_pad|>", "<|video_pad|>"
        self.image_token_id = tokenizer.convert_tokens_to_ids(self.image_token)
        self.video_token_id = tokenizer.convert_tokens_to_ids(self.video_token)
        # what the stock class reads for its video half; no pipeline here ever feeds it a video
        self.video_config = _read(Path(__file__).with_name(VIDEO_FILE))
        ProcessorMixin.__init__(self, image_processor, tokenizer, chat_template=chat_template)

    @classmethod
    def for_tokenizer(cls, tokenizer: PreTrainedTokenizerBase) -> Qwen2VLProcessor:
        """A processor with Qwen2-VL's own picture settings around a tokenizer."""
        template = getattr(tokenizer, "chat_template", None)
        return cls(Qwen2VLImageProcessorPil(), tokenizer, chat_template=template)

    def save_pretrained(self, save_directory: Any, push_to_hub: bool = False, **kwargs: Any) -> list[str]:
        """Write the tokenizer, the chat template and the json of both halves, under the old and the new names."""
        files = super().save_pretrained(save_directory, push_to_hub=push_to_hub, **kwargs)
        folder = Path(save_directory)
        image_config = json.loads(self.image_processor.to_json_string())
        # the name without a backend's suffix is the one that every version knows
        image_config["image_processor_type"] = "Qwen2VLImageProcessor"
        both = json.loads((folder / BOTH_FILE).read_text())
        both |= {"image_processor": image_config, "video_processor": self.video_config}
        for name, content in ((BOTH_FILE, both), (IMAGE_FILE, image_config), (VIDEO_FILE, self.video_config)):
            (folder / name).write_text(json.dumps(content, indent=2, sort_keys=True) + "\n")
        return files

    def __reduce__(self) -> tuple[Any, ...]:
        # pickle looks a class up by module and name, and would find the stock one
        return _rebuild, (dict(self.__dict__),)


# diffusers writes a component's module and class name into model_index.json; these name the class every tool has
Qwen2VLProcessor.__module__ = transformers.Qwen2VLProcessor.__module__


def _rebuild(state: dict[str, Any]) -> Qwen2VLProcessor:
    processor = Qwen2VLProcessor.__new__(Qwen2VLProcessor)
    processor.__dict__.update(state)
    return processor


def stock_processor_works() -> bool:
    """Whether transformers can build its own Qwen2-VL processor here (torchvision is installed)."""
    return is_torchvision_available()


def load_processor(folder: str | Path, **hub: Any) -> Qwen2VLProcessor:
    """Load the processor of a Qwen-Image-Edit folder without torchvision.

    Args:
        folder: a pipeline folder (with `processor/` in it), a processor folder, or a hub id.
        hub: for a hub id: `revision`, `token`, `cache_dir`, `local_files_only`, `force_download`.

    Raises:
        OSError: no `preprocessor_config.json` or tokenizer is there.
    """
    path = Path(folder)
    if not path.is_dir():
        path = Path(snapshot_download(str(folder), allow_patterns=["processor/*"], **hub))
    if not ((path / IMAGE_FILE).is_file() or (path / BOTH_FILE).is_file()):
        path = path / "processor"
    image_processor = Qwen2VLImageProcessorPil.from_pretrained(path)
    tokenizer = AutoTokenizer.from_pretrained(path)
    template = path / "chat_template.jinja"
    words = template.read_text(encoding="utf-8") if template.is_file() else getattr(tokenizer, "chat_template", None)
    processor = Qwen2VLProcessor(image_processor, tokenizer, chat_template=words)
    video = _read(path / BOTH_FILE).get("video_processor") or _read(path / VIDEO_FILE)
    processor.video_config = video or processor.video_config
    return processor


def _read(file: Path) -> dict[str, Any]:
    return read_json(read_text(file), str(file)) if file.is_file() else {}


def load_processor_if_needed(folder: Any, kwargs: dict[str, Any]) -> None:
    """Put `load_processor(folder)` into the keyword arguments of `from_pretrained` where the stock class cannot load.

    Nothing is done where torchvision is installed, a processor is passed, or the folder was saved without one.
    """
    if "processor" in kwargs or stock_processor_works():
        return
    if Path(folder).is_dir() and not (Path(folder) / "processor").is_dir():
        return
    kwargs["processor"] = load_processor(folder, **{name: kwargs[name] for name in OF_THE_HUB if name in kwargs})
    # diffusers says this of every component that it loads itself
    logger.info(f"Loaded processor as Qwen2VLProcessor from `processor` subfolder of {folder}.")
