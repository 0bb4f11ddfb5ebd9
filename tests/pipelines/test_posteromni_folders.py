"""Folders: ours open in stock diffusers, stock ones and the hub's layout open in ours."""

from __future__ import annotations

import copy
import json
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import tiny_flux
import tiny_qwen
import torch
from diffusers import DiffusionPipeline, QwenImageEditPipeline, QwenImageEditPlusPipeline
from PIL import Image
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerBase

from posterkit import PosterCraftPipeline, PosterOmniPipeline, load_processor
from posterkit.pipelines import processor as processor_module
from posterkit.pipelines.instruction import prefix_length

PHOTO = Image.new("RGB", (64, 96), (200, 60, 20))
DEFAULTS = {"native_area": 64 * 96, "reference_area": 48 * 48, "condition_area": 56 * 56, "num_inference_steps": 2,
            "true_cfg_scale": 2.0, "max_sequence_length": 77}  # fmt: skip
STOCK_CLASSES = {
    "processor": ["transformers", "Qwen2VLProcessor"],
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"],
    "text_encoder": ["transformers", "Qwen2_5_VLForConditionalGeneration"],
    "tokenizer": ["transformers", "Qwen2Tokenizer"],
    "transformer": ["diffusers", "QwenImageTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKLQwenImage"],
}


@pytest.fixture(scope="module")
def parts() -> dict[str, Any]:
    return tiny_qwen.components()


@pytest.fixture(scope="module")
def ours(parts) -> PosterOmniPipeline:
    return PosterOmniPipeline(**parts, **DEFAULTS)


@pytest.fixture(scope="module")
def folder(ours, tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved")
    ours.save_pretrained(path)
    return path


def draw(pipe: Any, **extra: Any) -> torch.Tensor:
    pipe.set_progress_bar_config(disable=True)
    sizes = (
        {} if isinstance(pipe, QwenImageEditPlusPipeline) else {"reference_area": 48 * 48, "condition_area": 56 * 56}
    )
    inputs: dict[str, Any] = {"image": PHOTO, "prompt": "x", "negative_prompt": " ", "true_cfg_scale": 2.0}
    inputs |= {"width": 64, "height": 96, "num_inference_steps": 2, "output_type": "pt"}
    return pipe(**inputs, **sizes, **extra, generator=torch.manual_seed(0)).images


def test_the_index_names_stock_classes_for_every_component(folder) -> None:
    index = json.loads((folder / "model_index.json").read_text())
    assert {name: index[name] for name in STOCK_CLASSES} == STOCK_CLASSES
    assert index["_class_name"] == "QwenImageEditPlusPipeline" and {name: index[name] for name in DEFAULTS} == DEFAULTS


def test_the_processor_folder_holds_both_halves(folder) -> None:
    video = json.loads((folder / "processor" / "video_preprocessor_config.json").read_text())
    image = json.loads((folder / "processor" / "preprocessor_config.json").read_text())
    assert (video["video_processor_type"], video["temporal_patch_size"]) == ("Qwen2VLVideoProcessor", 2)
    assert (image["image_processor_type"], image["patch_size"], image["merge_size"]) == (
        "Qwen2VLImageProcessor",
        14,
        2,
    )
    assert json.loads((folder / "processor" / "processor_config.json").read_text())["video_processor"] == video


def test_a_saved_checkpoint_draws_the_same_with_its_own_defaults(ours, folder) -> None:
    loaded = PosterOmniPipeline.from_pretrained(folder)
    assert {name: loaded.config[name] for name in DEFAULTS} == DEFAULTS
    assert torch.equal(draw(loaded), draw(ours))


def test_stock_opens_what_ours_saved(ours, folder, monkeypatch) -> None:
    from diffusers.pipelines.qwenimage import pipeline_qwenimage_edit_plus as module

    monkeypatch.setattr(module, "VAE_IMAGE_SIZE", 48 * 48)
    monkeypatch.setattr(module, "CONDITION_IMAGE_SIZE", 56 * 56)
    stock = QwenImageEditPlusPipeline.from_pretrained(folder, processor=load_processor(folder))
    stock.prompt_template_encode_start_idx = prefix_length(stock.tokenizer)
    assert torch.equal(draw(stock), draw(ours))


def test_ours_opens_what_stock_saved_and_stock_opens_that_again(parts, ours, tmp_path) -> None:
    QwenImageEditPlusPipeline(**parts).save_pretrained(tmp_path / "stock")
    loaded = PosterOmniPipeline.from_pretrained(tmp_path / "stock", native_area=64 * 96)
    assert loaded.config["native_area"] == 64 * 96 and loaded.config["reference_area"] == 1024 * 1024
    assert torch.equal(draw(loaded), draw(ours))
    loaded.save_pretrained(tmp_path / "ours")
    index = json.loads((tmp_path / "ours" / "model_index.json").read_text())
    assert {name: index[name] for name in STOCK_CLASSES} == STOCK_CLASSES
    QwenImageEditPlusPipeline.from_pretrained(tmp_path / "ours", processor=load_processor(tmp_path / "ours"))


def test_from_pipe_shares_the_weights_both_ways(parts, ours) -> None:
    stock = QwenImageEditPlusPipeline(**parts)
    assert PosterOmniPipeline.from_pipe(stock).transformer is stock.transformer
    assert QwenImageEditPlusPipeline.from_pipe(ours).transformer is ours.transformer


def test_the_custom_pipeline_folder_opens_a_checkpoint(folder, ours) -> None:
    here = Path(__file__).parents[2] / "pipelines" / "posteromni"
    loaded = DiffusionPipeline.from_pretrained(
        folder, custom_pipeline=str(here), trust_remote_code=True, processor=load_processor(folder)
    )
    assert isinstance(loaded, PosterOmniPipeline) and torch.equal(draw(loaded), draw(ours))


def test_a_folder_opens_without_its_encoders(folder) -> None:
    loaded = PosterOmniPipeline.from_pretrained(folder, text_encoder=None, tokenizer=None, processor=None)
    assert loaded.text_encoder is None and loaded.processor is None and loaded.transformer is not None


def test_a_hub_id_opens_from_the_cache(folder, ours, tmp_path) -> None:
    commit = "0123456789abcdef0123456789abcdef01234567"
    repository = tmp_path / "models--someone--poster"
    shutil.copytree(folder, repository / "snapshots" / commit)
    write(repository / "refs" / "main", commit)
    loaded = PosterOmniPipeline.from_pretrained("someone/poster", cache_dir=tmp_path, local_files_only=True)
    assert torch.equal(draw(loaded), draw(ours))


def test_the_stock_processor_is_left_to_load_itself_where_torchvision_is_there(folder, monkeypatch) -> None:
    monkeypatch.setattr(processor_module, "stock_processor_works", lambda: True)
    kwargs: dict[str, Any] = {}
    processor_module.load_processor_if_needed(folder, kwargs)
    assert kwargs == {}


def test_a_processor_survives_pickle_and_copy(parts) -> None:
    for made in (pickle.loads(pickle.dumps(parts["processor"])), copy.deepcopy(parts["processor"])):
        tokens = made(text=["a<|image_pad|>"], images=[PHOTO], return_tensors="pt")
        assert tokens["input_ids"].shape == (1, 1 + 6)  # 64 x 96 is 56 x 84 on the grid of 28: 2 x 3 tokens
        assert made.video_config == parts["processor"].video_config


# the hub's repository, file by file, with everything scaled down


def write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content, indent=2))


def write_shards(folder: Path, stem: str, tensors: dict[str, torch.Tensor], shards: int = 2) -> None:
    names, where = sorted(tensors), {}
    for shard in range(shards):
        file = f"{stem}-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {name: tensors[name].bfloat16().contiguous() for name in names[shard::shards]}
        save_file(part, folder / file, metadata={"format": "pt"})
        where |= dict.fromkeys(part, file)
    size = sum(tensor.numel() * 2 for tensor in tensors.values())
    write(folder / f"{stem}.safetensors.index.json", {"metadata": {"total_size": size}, "weight_map": where})


def write_tokenizer(folder: Path, words: PreTrainedTokenizerBase, whole: bool) -> None:
    """vocab.json and merges.txt as GPT-2 had them; the processor's copy has tokenizer.json beside them."""
    special = {token: words.convert_tokens_to_ids(token) for token in tiny_qwen.SPECIAL}
    vocab = {token: index for token, index in words.get_vocab().items() if token not in special}
    write(folder / "vocab.json", vocab | {"<|endoftext|>": special["<|endoftext|>"]})
    write(folder / "merges.txt", "#version: 0.2\n")
    write(folder / "added_tokens.json", {token: index for token, index in special.items() if token != "<|endoftext|>"})
    listed = list(tiny_qwen.SPECIAL[1:])
    write(folder / "special_tokens_map.json", {"additional_special_tokens": listed, "eos_token": "<|im_end|>",
                                               "pad_token": "<|endoftext|>"})  # fmt: skip
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    config = {
        "add_bos_token": False, "add_prefix_space": False, "bos_token": None, "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>", "unk_token": None, "errors": "replace", "model_max_length": 131072,
        "clean_up_tokenization_spaces": False, "split_special_tokens": False, "tokenizer_class": "Qwen2Tokenizer",
        "additional_special_tokens": listed,
        "added_tokens_decoder": {str(index): {"content": token, **flags} for token, index in special.items()},
    }  # fmt: skip
    write(folder / "tokenizer_config.json", config | ({"processor_class": "Qwen2_5_VLProcessor"} if whole else {}))
    write(folder / "chat_template.jinja", "{% for message in messages %}{{ message['content'] }}{% endfor %}")
    if whole:
        words.backend_tokenizer.save(str(folder / "tokenizer.json"))


def write_hub_folder(folder: Path, parts: dict[str, Any]) -> None:
    """Qwen/Qwen-Image-Edit-2509's files, by name and format, around the weights of `parts`."""
    index = {"_class_name": "QwenImageEditPlusPipeline", "_diffusers_version": "0.36.0.dev0"}
    write(folder / "model_index.json", index | STOCK_CLASSES)
    write_tokenizer(folder / "tokenizer", parts["tokenizer"], whole=False)
    write_tokenizer(folder / "processor", parts["tokenizer"], whole=True)
    image = {
        "do_convert_rgb": True, "do_normalize": True, "do_rescale": True, "do_resize": True,
        "image_mean": [0.48145466, 0.4578275, 0.40821073], "image_std": [0.26862954, 0.26130258, 0.27577711],
        "image_processor_type": "Qwen2VLImageProcessorFast", "max_pixels": 12845056, "merge_size": 2,
        "min_pixels": 3136, "patch_size": 14, "processor_class": "Qwen2_5_VLProcessor", "resample": 3,
        "rescale_factor": 1 / 255, "size": {"longest_edge": 12845056, "shortest_edge": 3136}, "temporal_patch_size": 2,
    }  # fmt: skip
    write(folder / "processor" / "preprocessor_config.json", image)
    video = {name: value for name, value in image.items() if name != "image_processor_type"}
    video |= {"video_processor_type": "Qwen2VLVideoProcessor"}
    write(folder / "processor" / "video_preprocessor_config.json", video)
    scheduler = {
        "_class_name": "FlowMatchEulerDiscreteScheduler", "_diffusers_version": "0.34.0.dev0",
        "base_image_seq_len": 256, "base_shift": 0.5, "invert_sigmas": False, "max_image_seq_len": 8192,
        "max_shift": 0.9,
        "num_train_timesteps": 1000, "shift": 1.0, "shift_terminal": 0.02, "stochastic_sampling": False,
        "time_shift_type": "exponential", "use_beta_sigmas": False, "use_dynamic_shifting": True,
        "use_exponential_sigmas": False, "use_karras_sigmas": False,
    }  # fmt: skip
    write(folder / "scheduler" / "scheduler_config.json", scheduler)
    transformer = dict(parts["transformer"].config)
    known = ("attention_head_dim", "axes_dims_rope", "guidance_embeds", "in_channels", "joint_attention_dim",
             "num_attention_heads", "num_layers", "out_channels", "patch_size")  # fmt: skip
    versions = {"_class_name": "QwenImageTransformer2DModel", "_diffusers_version": "0.36.0.dev0"}
    # 2509 was written before the transformer had zero_cond_t, and says nothing of it
    write(folder / "transformer" / "config.json", versions | {name: transformer[name] for name in known})
    write_shards(folder / "transformer", "diffusion_pytorch_model", parts["transformer"].state_dict())
    vae = {name: value for name, value in parts["vae"].config.items() if not name.startswith("_")}
    write(folder / "vae" / "config.json", vae | {"_class_name": "AutoencoderKLQwenImage"})
    weights = {name: tensor.bfloat16() for name, tensor in parts["vae"].state_dict().items()}
    save_file(weights, folder / "vae" / "diffusion_pytorch_model.safetensors", metadata={"format": "pt"})
    write_text_encoder(folder / "text_encoder", parts["text_encoder"])


def write_text_encoder(folder: Path, model: Any) -> None:
    """transformers 4's format: text numbers at the top level and once more in text_config, and its weight names."""
    text, vision = model.config.text_config.to_dict(), model.config.vision_config.to_dict()
    keys = ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "num_key_value_heads",
            "vocab_size", "hidden_act", "rms_norm_eps", "max_position_embeddings")  # fmt: skip
    numbers = {name: text[name] for name in keys} | {
        "rope_scaling": {"mrope_section": [1, 1, 2], "rope_type": "default", "type": "default"},
        "rope_theta": 1000000.0, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "use_sliding_window": False,
    }  # fmt: skip
    seen = ("depth", "hidden_size", "intermediate_size", "num_heads", "out_hidden_size", "patch_size",
            "spatial_merge_size", "temporal_patch_size", "window_size", "fullatt_block_indexes")  # fmt: skip
    sight = {name: vision[name] for name in seen}
    known = ("image_token_id", "video_token_id", "vision_start_token_id", "vision_end_token_id")
    ids = {name: getattr(model.config, name) for name in known}
    config = {
        "architectures": ["Qwen2_5_VLForConditionalGeneration"], "model_type": "qwen2_5_vl",
        "transformers_version": "4.53.1", **numbers, **ids, "text_config": numbers | {"model_type": "qwen2_5_vl_text"},
        "vision_config": sight | {"model_type": "qwen2_5_vl", "in_chans": 3},
    }  # fmt: skip
    write(folder / "config.json", config)
    write(folder / "generation_config.json", {"_from_model_config": True, "transformers_version": "4.53.1"})
    old = {}
    for name, tensor in model.state_dict().items():
        name = name.replace("model.language_model.", "model.").replace("model.visual.", "visual.")
        old[name] = tensor
    write_shards(folder, "model", old)


def test_the_hubs_layout_loads_and_draws_what_its_weights_draw(parts, tmp_path) -> None:
    write_hub_folder(tmp_path, parts)
    loaded = PosterOmniPipeline.from_pretrained(tmp_path, dtype=torch.float32)
    rounded = {name: copy.deepcopy(parts[name]).bfloat16().float() for name in ("transformer", "vae", "text_encoder")}
    expected = PosterOmniPipeline(**(parts | rounded | {"scheduler": loaded.scheduler}))
    assert (draw(loaded) - draw(expected)).abs().max() < 1e-5
    assert loaded.config["native_area"] == 1024 * 1024 and loaded.scheduler.config["shift_terminal"] == 0.02
    assert loaded.processor.image_processor.size["longest_edge"] == 12845056
    assert prefix_length(loaded.tokenizer) == prefix_length(parts["tokenizer"])


def test_no_dtype_means_float32_for_every_model(folder) -> None:
    loaded = PosterOmniPipeline.from_pretrained(folder)
    assert {getattr(loaded, name).dtype for name in ("transformer", "vae", "text_encoder")} == {torch.float32}


def test_the_first_edit_model_gets_its_own_instruction_and_one_reference(parts, tmp_path) -> None:
    stock = QwenImageEditPipeline(**parts)
    stock.save_pretrained(tmp_path)
    stock.prompt_template_encode_start_idx = prefix_length(parts["tokenizer"])
    ours = PosterOmniPipeline.from_pretrained(tmp_path)
    assert (ours.config["picture_labels"], ours.config["condition_area"]) == (False, 1024 * 1024)
    picture = PHOTO.resize((56, 84))
    with torch.no_grad():
        expected = stock.encode_prompt(prompt=["make it night"], image=[picture])[0]
        found = ours.encode_prompt("make it night", [picture])[0]
        labelled = PosterOmniPipeline(**parts).encode_prompt("make it night", [picture])[0]
    torch.testing.assert_close(found, expected)
    assert labelled.shape != found.shape  # "Picture 1:" takes tokens
    with pytest.raises(ValueError, match="takes one reference"):
        ours.encode_prompt("x", [[picture, picture]])


def test_a_folder_is_not_saved_while_a_lora_is_on_it(parts, tmp_path) -> None:
    from peft import LoraConfig

    for pipe in (PosterOmniPipeline(**parts), PosterCraftPipeline(**tiny_flux.components())):
        pipe = copy.deepcopy(pipe)
        pipe.transformer.add_adapter(LoraConfig(r=2, target_modules=["to_q"]), "a")
        with pytest.raises(ValueError, match=r"a LoRA is on the transformer.*fuse_lora.*unload_lora_weights"):
            pipe.save_pretrained(tmp_path / "out")
        assert not (tmp_path / "out").exists()
        pipe.unload_lora_weights()
        pipe.save_pretrained(tmp_path / "out")
        shutil.rmtree(tmp_path / "out")
