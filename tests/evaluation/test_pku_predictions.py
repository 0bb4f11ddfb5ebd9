import os
import pickle

import numpy as np
import pytest
import torch

from posterkit.evaluation.pku_predictions import read_predictions


def _write(folder, boxes, classes, save=torch.save):
    for name, value in (("boxes", boxes), ("clses", classes)):
        save(value, folder / f"{name}.pt")


BOXES = np.array([[[0.1, 0.2, 0.3, 0.4], [0, 0, 0, 0]], [[0.5, 0.5, 1, 1], [0.4, 0.4, 1, 1]]], np.float32)
CLASSES = np.array([[[1], [0]], [[2], [3]]])


@pytest.mark.parametrize("made", [torch.tensor, np.asarray])
def test_boxes_of_class_0_are_none(tmp_path, made):
    _write(tmp_path, made(BOXES), made(CLASSES))
    first, second = read_predictions(tmp_path)
    assert first.labels.tolist() == ["text"] and second.labels.tolist() == ["logo", "underlay"]
    assert np.array_equal(first.boxes, BOXES[0, :1]) and np.array_equal(second.boxes, BOXES[1])


def test_arrays_of_numpy_are_read(tmp_path):
    np.save(tmp_path / "boxes.npy", BOXES)
    np.save(tmp_path / "clses.npy", CLASSES)
    assert len(read_predictions(tmp_path)) == 2


class _Run:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", [torch.save, lambda value, path: path.write_bytes(pickle.dumps(value))])
def test_a_file_that_runs_code_is_refused_and_runs_none(tmp_path, save):
    made = tmp_path / "made"
    _write(tmp_path, _Run(made), CLASSES, save)
    with pytest.raises(ValueError, match="not an array alone") as caught:
        read_predictions(tmp_path)
    assert not made.exists() and "\n" not in str(caught.value)


def test_an_array_of_objects_is_refused(tmp_path):
    np.save(tmp_path / "boxes.npy", np.array([[_Run(tmp_path / "made")]], object), allow_pickle=True)
    np.save(tmp_path / "clses.npy", CLASSES)
    with pytest.raises(ValueError, match=r"boxes\.npy"):
        read_predictions(tmp_path)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize(
    ("boxes", "classes", "said"),
    [
        (BOXES[0], CLASSES, "shape"), (BOXES, CLASSES[:1], "one class per box"), (BOXES, CLASSES + 3, "0 to 3"),
        (BOXES * np.nan, CLASSES, "numbers"),
    ],
)  # fmt: skip
def test_predictions_that_do_not_fit_are_one_line(tmp_path, boxes, classes, said):
    _write(tmp_path, torch.tensor(boxes), torch.tensor(classes))
    with pytest.raises(ValueError, match=said):
        read_predictions(tmp_path)


def test_a_folder_without_predictions_is_named(tmp_path):
    with pytest.raises(ValueError, match=r"has no boxes\.pt"):
        read_predictions(tmp_path)
