"""What tests of a run start from: a model of two layers, numbered batches, a whole run."""

from __future__ import annotations

import torch
from PIL import Image
from torch import nn

from posterkit.training.config import RunConfig
from posterkit.training.run import Run


class Line:
    """A real tiny model: two linear layers, saved as safetensors like any other."""

    def __init__(self, seed: int = 3) -> None:
        torch.manual_seed(seed)
        self.module = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1))

    def save(self, folder) -> None:
        from safetensors.torch import save_model

        folder.mkdir(parents=True, exist_ok=True)
        save_model(self.module, str(folder / "model.safetensors"))


class Numbers:
    """Endless batches of regression rows that follow from the position alone."""

    def __init__(self) -> None:
        self.position = 0

    def __iter__(self):
        while True:
            rows = torch.randn(8, 4, generator=torch.Generator().manual_seed(self.position))
            self.position += 1
            yield rows

    def state_dict(self):
        return {"position": self.position}

    def load_state_dict(self, state):
        self.position = state["position"]


def train(folder, **settings) -> Line:
    config = RunConfig(run_dir=str(folder), learning_rate=0.05, log_every=1, **settings)
    config.check()
    run, model = Run(config), Line()
    for rows in run.steps(model, Numbers(), sample=lambda: Image.new("RGB", (4, 4))):
        rows = rows.to(run.device)
        noise = run.noise_like(rows)
        run.backward((model.module(rows + 0.1 * noise) - rows.sum(1, keepdim=True)).square().mean())
    run.finish(model)
    return model


def weights(model: Line) -> torch.Tensor:
    return nn.utils.parameters_to_vector(model.module.parameters()).detach()
