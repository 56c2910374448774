"""A small network on handwritten digits with Lightning. `--size` is the number of epochs."""

from __future__ import annotations

import argparse
from typing import Any

import lightning
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


class Network(lightning.LightningModule):
    def __init__(self, width: int = 32, lr: float = 1e-3) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.layers = nn.Sequential(
            nn.Conv2d(1, width, 3, padding=1), nn.ReLU(), nn.Conv2d(width, width, 3, padding=1), nn.ReLU(),
            nn.Flatten(), nn.Linear(64 * width, 10),
        )  # fmt: skip

    def training_step(self, batch: Any, index: int) -> torch.Tensor:
        loss = nn.functional.cross_entropy(self.layers(batch[0]), batch[1])
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: Any, index: int) -> None:
        self.log("val_accuracy", (self.layers(batch[0]).argmax(1) == batch[1]).float().mean())

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), 1e-3)


parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=2)
size = parser.parse_args().size
lightning.seed_everything(0)
X, y = load_digits(return_X_y=True)
pictures = TensorDataset(torch.tensor(X, dtype=torch.float32).view(-1, 1, 8, 8) / 16, torch.tensor(y))
train, val = torch.utils.data.random_split(pictures, [1500, len(pictures) - 1500])
trainer = lightning.Trainer(max_epochs=size, logger=False, enable_progress_bar=False, accelerator="cpu")
trainer.fit(Network(), DataLoader(train, 50, shuffle=True), DataLoader(val, 100))
