"""The nodes keep ComfyUI's contract, and the workflow that comes with them runs.

ComfyUI itself is not installed here. What its server asks of a node, and how its page turns a workflow into calls, is
written down below as its own documentation says it.
"""

from __future__ import annotations

import importlib.util
import inspect
import json
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

FOLDER = Path(__file__).resolve().parents[2] / "comfyui"
WIDGETS = {"INT": int, "FLOAT": float, "STRING": str, "BOOLEAN": bool}
# of ComfyUI's own nodes that the workflow uses: their inputs by name, their outputs, how many widgets they have
STOCK = {"PreviewImage": ({"images": "IMAGE"}, (), 0), "SaveImage": ({"images": "IMAGE"}, (), 1)}


def open_nodes() -> ModuleType:
    """As ComfyUI opens a folder in custom_nodes/: by its path, under a name of its own."""
    spec = importlib.util.spec_from_file_location("custom_nodes_posterkit", FOLDER / "__init__.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


nodes = open_nodes()
NODES: dict[str, Any] = nodes.NODE_CLASS_MAPPINGS


def inputs_of(node: Any) -> dict[str, tuple[Any, ...]]:
    found = node.INPUT_TYPES()
    return {**found["required"], **found.get("optional", {})}


@pytest.mark.parametrize("name", NODES)
def test_a_node_has_what_the_server_asks_for(name: str) -> None:
    node = NODES[name]
    assert set(node.INPUT_TYPES()) <= {"required", "optional", "hidden"}
    function = inspect.signature(getattr(node(), node.FUNCTION))
    required = node.INPUT_TYPES()["required"]
    assert list(function.parameters) == list(inputs_of(node))
    for argument, parameter in function.parameters.items():
        assert (parameter.default is inspect.Parameter.empty) == (argument in required)
    assert isinstance(node.RETURN_TYPES, tuple) and len(node.RETURN_NAMES) == len(node.RETURN_TYPES)
    assert all(isinstance(one, str) and one.isupper() for one in node.RETURN_TYPES)
    assert node.CATEGORY and node.DESCRIPTION and nodes.NODE_DISPLAY_NAME_MAPPINGS[name]


@pytest.mark.parametrize("name", NODES)
def test_a_widget_has_a_default_that_it_takes(name: str) -> None:
    for kind, *options in inputs_of(NODES[name]).values():
        said = options[0] if options else {}
        if isinstance(kind, list):
            assert kind and said.get("default", kind[0]) in kind
        elif kind in WIDGETS:
            assert type(said["default"]) is WIDGETS[kind]
            assert said.get("min", said["default"]) <= said["default"] <= said.get("max", said["default"])
        else:
            assert kind.isupper() and "default" not in said


def test_an_image_survives_the_way_there_and_back() -> None:
    levels = np.random.default_rng(0).integers(0, 256, (2, 5, 7, 3), dtype=np.uint8)
    image = torch.from_numpy(levels.astype(np.float32) / 255)
    pictures = nodes.pictures_of(image)
    assert [picture.size for picture in pictures] == [(7, 5), (7, 5)]
    back = nodes.image_of(pictures)
    assert back.dtype == torch.float32 and torch.equal(back, image)


def test_alpha_lies_on_white_and_values_outside_are_cut() -> None:
    (picture,) = nodes.pictures_of(torch.tensor([0.0, 0.0, 0.0, 0.0]).expand(1, 4, 4, 4))
    assert picture.getpixel((0, 0)) == (255, 255, 255)
    (picture,) = nodes.pictures_of(torch.tensor([1.5, -1.0, 0.5]).expand(1, 4, 4, 3))
    assert picture.getpixel((0, 0)) == (255, 0, 128)


def test_what_is_no_image_is_named() -> None:
    with pytest.raises(ValueError, match=r"an IMAGE is .* found \(1, 3, 5, 5\)"):
        nodes.pictures_of(torch.zeros(1, 3, 5, 5))
    with pytest.raises(ValueError, match="NaN"):
        nodes.pictures_of(torch.full((1, 4, 4, 3), torch.nan))


def test_a_mask_is_white_where_one_and_the_empty_one_of_an_opaque_picture_is_none() -> None:
    mask = torch.zeros(1, 2, 4)
    mask[0, :, 2:] = 1
    made = np.asarray(nodes.mask_of(mask, (8, 6)))
    assert made.shape == (6, 8) and (made[:, 4:] == 255).all() and not made[:, :4].any()
    assert np.array_equal(np.asarray(nodes.mask_of(mask[0], (8, 6))), made)
    assert nodes.mask_of(torch.zeros(1, 64, 64), (8, 6)) is None


def test_progress_goes_to_comfyuis_bar_and_its_stop_button_ends_the_drawing(monkeypatch) -> None:
    shown: list[Any] = []

    class Bar:
        def __init__(self, total: int) -> None:
            shown.append(total)

        def update_absolute(self, value: int) -> None:
            shown.append(value)

    def stop() -> None:
        raise InterruptedError

    comfy = ModuleType("comfy")
    comfy.model_management = SimpleNamespace(throw_exception_if_processing_interrupted=stop)  # type: ignore[attr-defined]
    comfy.utils = SimpleNamespace(ProgressBar=Bar)  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "comfy", comfy)
    progress = nodes._Progress()
    progress.begin("draws", 4)
    with pytest.raises(InterruptedError):
        progress.step(1)
    assert shown == [4, 1]


def workflow() -> dict[str, Any]:
    return json.loads((FOLDER / "poster.json").read_text())


def as_prompt(graph: dict[str, Any]) -> dict[int, tuple[str, dict[str, Any]]]:
    """The calls of a workflow as the page makes them: widgets by their order, a link as (node, output).

    A widget value follows for each input that is no link; behind a seed stands what happens to it after a run.
    """
    origin = {(link[3], link[4]): (link[1], link[2]) for link in graph["links"]}
    calls = {}
    for node in graph["nodes"]:
        slots = {slot["name"]: number for number, slot in enumerate(node["inputs"])}
        values, given = list(node["widgets_values"]), {}
        for name, (kind, *options) in inputs_of(NODES[node["type"]]).items() if node["type"] in NODES else ():
            if name in slots:
                if (node["id"], slots[name]) in origin:
                    given[name] = origin[node["id"], slots[name]]
                continue
            given[name] = values.pop(0)
            assert isinstance(given[name], str if isinstance(kind, list) else WIDGETS[kind])
            if options[0].get("control_after_generate"):
                assert values.pop(0) in ("fixed", "increment", "decrement", "randomize")
        if node["type"] in STOCK:
            _, _, widgets = STOCK[node["type"]]
            given = {name: origin[node["id"], number] for name, number in slots.items()}
            values = values[widgets:]
        assert not values, f"node {node['id']} has {len(values)} widget values too many"
        calls[node["id"]] = node["type"], given
    return calls


def test_every_node_and_every_link_of_the_workflow_fits() -> None:
    graph = workflow()
    numbers = [node["id"] for node in graph["nodes"]]
    assert len(set(numbers)) == len(numbers) and graph["last_node_id"] == max(numbers)
    assert graph["last_link_id"] == max(link[0] for link in graph["links"])
    by_number = {node["id"]: node for node in graph["nodes"]}
    for node in graph["nodes"]:
        known = NODES.get(node["type"])
        inputs = {name: kind for name, (kind, *_) in inputs_of(known).items()} if known else STOCK[node["type"]][0]
        assert all(slot["type"] == inputs[slot["name"]] for slot in node["inputs"])
        outputs = known.RETURN_TYPES if known else STOCK[node["type"]][1]
        assert tuple(slot["type"] for slot in node["outputs"]) == outputs
    for number, source, output, target, slot, kind in graph["links"]:
        sent, taken = by_number[source]["outputs"][output], by_number[target]["inputs"][slot]
        assert sent["type"] == taken["type"] == kind
        assert number in sent["links"] and taken["link"] == number
    for _, given in as_prompt(graph).values():
        assert given


@pytest.mark.slow
def test_the_workflow_runs_and_its_poster_says_the_texts() -> None:
    graph = workflow()
    for node in graph["nodes"]:  # the same design, small
        node["widgets_values"] = [{832: 416, 1216: 608}.get(value, value) for value in node["widgets_values"]]
    made: dict[int, tuple[Any, ...]] = {}
    for number, (name, given) in as_prompt(graph).items():  # in the order of its numbers, which the links follow
        call = {key: made[value[0]][value[1]] if isinstance(value, tuple) else value for key, value in given.items()}
        if name in STOCK:
            (image,) = call.values()
            assert image.ndim == 4 and image.shape[-1] == 3 and image.min() >= 0 and image.max() <= 1
            continue
        result = getattr(NODES[name](), NODES[name].FUNCTION)(**call)
        made[number] = result["result"] if isinstance(result, dict) else result
        assert len(made[number]) == len(NODES[name].RETURN_TYPES)
    poster, judged = made[5][0], made[7]
    assert poster.shape == (1, 608, 416, 3) and judged[2] > 0.5
    (draft,), drawn = made[3], made[4][0]
    assert (drawn - draft).abs().mean() < 0.02  # it is painted over lightly enough that the lighthouse stays one
    assert json.loads(made[4][1])["row"]["width"] == 416


@pytest.mark.slow
def test_filling_makes_what_the_mask_marks_and_keeps_the_rest(tmp_path: Path, monkeypatch) -> None:
    image = torch.rand(1, 192, 128, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 192, 128)
    mask[:, 64:128, 32:96] = 1
    poster, _ = NODES["PosterkitMake"]().make("filling", "mini", "blue sky", 0, 0, 1, 2, image, mask)
    kept, (picture,) = mask[0] == 0, nodes.pictures_of(image)
    same = nodes.image_of([picture])
    assert poster.shape == image.shape and torch.equal(poster[0][kept], same[0][kept])
    assert not torch.equal(poster[0][~kept], same[0][~kept])
    monkeypatch.chdir(tmp_path)
    NODES["PosterkitTypeset"]().set(poster, "SKY", "any", "center", save_as="sky.svg")
    assert "SKY" in (tmp_path / "output" / "sky.svg").read_text()
    with pytest.raises(ValueError, match="leads out of"):
        NODES["PosterkitTypeset"]().set(poster, "SKY", "any", "center", save_as="../sky.svg")
    assert Image.fromarray(np.asarray(picture)).size == (128, 192)
