"""Typed configs: every wrong key or value is one line before anything is loaded."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import pytest

from posterkit.training.config import RunConfig, changed_key, flat, load_config, parse_config, save_config


@dataclass
class Inner:
    count: int = 3
    names: list[str] = field(default_factory=list)


@dataclass
class Stage(RunConfig):
    mode: Literal["a", "b"] = "a"
    data: Inner = field(default_factory=Inner)
    decay: float | None = None


def write(tmp_path, text):
    path = tmp_path / "stage.yaml"
    path.write_text(text)
    return path


def test_overrides_win_over_the_file_and_reach_nested_keys(tmp_path):
    path = write(tmp_path, "learning_rate: 1e-4\ndata: {count: 5}\n")
    config = load_config(Stage, path, ["data.count=7", "mode=b", "decay=0.5", "data.names=[x, y]"])
    assert (config.learning_rate, config.data.count, config.mode, config.decay) == (1e-4, 7, "b", 0.5)
    assert config.data.names == ["x", "y"]


def test_an_unknown_key_names_the_nearest_known_one(tmp_path):
    with pytest.raises(ValueError, match=r'unknown key "learning_rat" \(did you mean "learning_rate"\?\)'):
        load_config(Stage, write(tmp_path, "learning_rat: 1\n"))
    with pytest.raises(ValueError, match=r'data: unknown key "cuont" \(did you mean "count"\?\)'):
        load_config(Stage, write(tmp_path, ""), ["data.cuont=1"])


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("max_steps=many", 'max_steps" takes int'),
        ("max_steps=true", 'max_steps" takes int'),
        ("mode=c", "accepted: a, b"),
        ("data=3", '"data" takes a mapping'),
        ("data.names=x", "takes a list"),
        ("batch_size=0", "batch_size must be at least 1"),
        ("stop_at=2000", "stop_at must lie in"),
        ("seed", "is not key=value"),
        ("learning_rate=.inf", 'learning_rate" takes a finite number, got inf'),
        ("decay=nan", 'decay" takes a finite number, got nan'),
    ],
)
def test_a_wrong_value_is_one_clear_line(tmp_path, override, message):
    with pytest.raises(ValueError, match=message) as caught:
        load_config(Stage, write(tmp_path, ""), [override])
    assert "\n" not in str(caught.value)


def test_a_key_that_came_after_a_run_began_had_its_default_all_along():
    before = flat(RunConfig())
    del before["optimizer"]
    assert changed_key(before, RunConfig()) is None
    assert changed_key(before, RunConfig(optimizer="adafactor")) == "optimizer"
    assert changed_key({**before, "gone": 1}, RunConfig()) == "gone"


def test_a_saved_config_loads_to_an_equal_one(tmp_path):
    config = load_config(Stage, write(tmp_path, "mode: b\ndata: {names: [q]}\n"))
    save_config(config, tmp_path / "again.yaml")
    assert load_config(Stage, tmp_path / "again.yaml") == config


def test_help_says_how_to_call_a_recipe_and_ends_well(capsys):
    with pytest.raises(SystemExit) as ended:
        parse_config(RunConfig, ["--help"])
    assert ended.value.code == 0
    assert "[--config FILE] [--dry-run] [key=value ...]" in capsys.readouterr().out
