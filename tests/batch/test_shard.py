from __future__ import annotations

import pytest

from posterkit.batch.shard import Shard, local_card, parse_shard


def test_a_part_is_counted_from_one() -> None:
    assert parse_shard("2/8") == Shard(1, 8) and str(Shard(1, 8)) == "2/8"


@pytest.mark.parametrize("text", ["0/2", "3/2", "1", "1/0", "a/b", "1/2/3", "-1/2"])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is no part of a whole; write 2/8"):
        parse_shard(text, {})


@pytest.mark.parametrize(
    ("variables", "shard"),
    [
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4"}, Shard(3, 4)),
        ({"SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "4", "SLURM_ARRAY_TASK_MIN": "1"}, Shard(2, 4)),
        (
            {"SLURM_ARRAY_TASK_ID": "5", "SLURM_ARRAY_TASK_COUNT": "3", "SLURM_ARRAY_TASK_MIN": "1",
             "SLURM_ARRAY_TASK_STEP": "2"}, Shard(2, 3),
        ),
        ({"RANK": "1", "WORLD_SIZE": "2"}, Shard(1, 2)),
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "6"}, Shard(0, 6)),
    ],
)  # fmt: skip
def test_launchers_say_which_part_this_is(variables: dict[str, str], shard: Shard) -> None:
    assert parse_shard("auto", variables) == shard


def test_without_a_launcher_auto_is_refused() -> None:
    with pytest.raises(ValueError, match="no launcher says which part"):
        parse_shard("auto", {})
    with pytest.raises(ValueError, match="RANK=4 and WORLD_SIZE=2 are no part"):
        parse_shard("auto", {"RANK": "4", "WORLD_SIZE": "2"})


@pytest.mark.parametrize(
    ("variables", "card"),
    [
        ({"LOCAL_RANK": "1"}, "1"),
        ({"SLURM_LOCALID": "2", "CUDA_VISIBLE_DEVICES": "4,5,6"}, "6"),
        ({"SLURM_LOCALID": "2", "CUDA_VISIBLE_DEVICES": "5"}, None),  # SLURM has chosen already
        ({}, None),
    ],
)
def test_each_process_of_a_machine_sees_its_own_card(variables: dict[str, str], card: str | None) -> None:
    assert local_card(variables) == card
