"""Frameworks tell their parameters and figures without a changed line, through MLflow's own client read back."""

from __future__ import annotations

import json
import os
import re
import sys
from typing import Any

import pytest

from tests.capture.conftest import TIDEMILL, Folder


def test_arguments_are_parameters(folder: Folder) -> None:
    folder.write("train.py", "print('epoch 1 loss: 0.5 acc=50%')\nprint('epoch 2 loss: 0.25 acc=75%')")
    assert folder.python("train.py", "--lr", "0.1", "--deep", "-n=3", "data=cifar", "in.csv").returncode == 0
    shown = folder.show()
    assert shown["params"] == {"lr": "0.1", "deep": "true", "n": "3", "data": "cifar", "arg1": "in.csv"}
    assert shown["metrics"]["printed/loss"] == 0.25
    assert shown["metrics"]["printed/acc"] == 0.75


def test_mlflows_client_reads_what_was_written(folder: Folder) -> None:
    from mlflow.tracking import MlflowClient

    folder.write("train.py", "print('epoch 1 loss: 0.5')\nprint('epoch 2 loss: 0.25')\nraise SystemExit(2)")
    folder.python("train.py", "--lr", "0.1", options=("--name", "mine"))
    run = folder.show()["run"]
    client = MlflowClient(f"sqlite:///{folder.path}/.tidemill/tidemill.db")
    found = client.get_run(run)
    assert (found.info.run_name, found.info.status) == ("mine", "FAILED")
    assert found.data.tags["tidemill.exit_code"] == "2"
    assert found.data.tags["mlflow.source.name"] == "train.py"
    assert found.data.params == {"lr": "0.1"}
    history = client.get_metric_history(run, "printed/loss")
    assert [(each.step, each.value) for each in history] == [(1, 0.5), (2, 0.25)]
    assert found.data.metrics["system/system_memory_usage_percentage"] > 0
    assert {each.path for each in client.list_artifacts(run)} == {"lineage", "output"}
    assert [each.info.run_id for each in client.search_runs([found.info.experiment_id], "params.lr = '0.1'")] == [run]


def test_scikit_learn_and_pickle(folder: Folder) -> None:
    folder.write("train.py", """
import pickle
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
X, y = load_iris(return_X_y=True)
search = GridSearchCV(LogisticRegression(max_iter=500), {'C': [0.1, 1.0]}, cv=2).fit(X, y)
pickle.dump(search, open('model.pkl', 'wb'))
""")  # fmt: skip
    done = folder.python("train.py")
    assert (done.returncode, done.stderr) == (0, b"")
    shown = folder.show()
    assert shown["params"]["GridSearchCV.best.C"] in ("0.1", "1.0")
    assert shown["params"]["GridSearchCV.fitted on"] == "(150, 4)"
    assert shown["metrics"]["GridSearchCV.best_score"] > 0.9
    assert not any(name.startswith("LogisticRegression") for name in shown["params"]), "inner fits are not told"
    assert folder.names("writes") == {"model.pkl"}


def test_xgboost_and_registering(folder: Folder) -> None:
    folder.write("train.py", """
import numpy as np, xgboost as xgb
X = np.random.default_rng(0).random((200, 3)); y = X[:, 0]
train, valid = xgb.DMatrix(X[:150], label=y[:150]), xgb.DMatrix(X[150:], label=y[150:])
xgb.train({'max_depth': 2, 'nthread': 1}, train, 8, evals=[(valid, 'valid')], verbose_eval=False).save_model('m.ubj')
""")  # fmt: skip
    done = folder.python("train.py", options=("--register", "trees"))
    assert done.returncode == 0, done.stderr.decode()
    assert b"registered m.ubj as trees/1" in done.stderr
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.path}/.tidemill/tidemill.db")
    shown = folder.show()
    assert shown["params"]["xgboost.max_depth"] == "2"
    assert len(client.get_metric_history(shown["run"], "valid-rmse")) == 8
    (written,) = shown["captured"]["writes"]
    version = client.get_model_version("trees", "1")
    assert version.tags["tidemill.digest"] == written["digest"]
    assert version.run_id == shown["run"]
    refused = folder.python("-c", "pass", options=("--register", "trees"))
    assert refused.returncode == 2
    assert b"not one model file" in refused.stderr


def test_a_plain_loop_of_pytorch_with_workers(folder: Folder) -> None:
    folder.write("train.py", """
import torch
from torch.utils.data import DataLoader, Dataset
class Files(Dataset):
    def __len__(self): return 8
    def __getitem__(self, i): return torch.tensor(float(open(f'data/{i}.txt').read()))
if __name__ == '__main__':
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for epoch in range(2):
        for x in DataLoader(Files(), 4, num_workers=2):
            loss = model(x[:, None]).square().mean()
            optimizer.zero_grad(); loss.backward(); optimizer.step()
        print(f'epoch {epoch} loss {loss.item():.4f}')
    torch.save(model.state_dict(), 'model.pt')
""")  # fmt: skip
    for number in range(8):
        folder.write(f"data/{number}.txt", str(number))
    done = folder.python("train.py")
    assert (done.returncode, done.stderr) == (0, b"")
    shown = folder.show()
    assert shown["params"]["optimizer"] == "AdamW"
    assert shown["params"]["optimizer.parameters"] == "2"
    assert shown["metrics"]["optimizer/steps"] == 4
    assert "printed/loss" in shown["metrics"]
    assert folder.names("reads") == {f"data/{number}.txt" for number in range(8)}
    assert folder.names("writes") == {"model.pt"}


@pytest.mark.slow
def test_lightning(folder: Folder) -> None:
    folder.write("train.py", """
import lightning, torch
from torch.utils.data import DataLoader, TensorDataset
class Model(lightning.LightningModule):
    def __init__(self, lr=0.1):
        super().__init__(); self.save_hyperparameters(); self.layer = torch.nn.Linear(2, 1)
    def training_step(self, batch, index):
        loss = (self.layer(batch[0]) ** 2).mean()
        self.log('train_loss', loss, on_step=False, on_epoch=True); return loss
    def validation_step(self, batch, index):
        self.log('val_loss', (self.layer(batch[0]) ** 2).mean())
    def configure_optimizers(self): return torch.optim.SGD(self.parameters(), self.hparams.lr)
data = DataLoader(TensorDataset(torch.rand(16, 2)), 8)
trainer = lightning.Trainer(max_epochs=3, logger=False, accelerator='cpu', default_root_dir='out')
trainer.fit(Model(0.05), data, data)
""")  # fmt: skip
    done = folder.python("train.py")
    assert done.returncode == 0, done.stderr.decode()
    shown = folder.show()
    assert shown["params"]["lr"] == "0.05"
    assert shown["params"]["max_epochs"] == "3"
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.path}/.tidemill/tidemill.db")
    for name in ("train_loss", "val_loss"):
        assert [each.step for each in client.get_metric_history(shown["run"], name)] == [2, 4, 6]
    assert any(path.endswith(".ckpt") for path in folder.names("writes"))


PICKLED = """
import pickle, lightning
trainer = lightning.Trainer(logger=False, accelerator='cpu', enable_checkpointing=False, enable_progress_bar=False)
assert any(type(each).__name__ == 'TidemillLooksOn' for each in trainer.callbacks)
pickle.dump(trainer, open('trainer.pkl', 'wb'))
"""


@pytest.mark.slow
def test_a_trainer_of_lightning_can_be_pickled_and_read_without_us(folder: Folder) -> None:
    folder.write("train.py", PICKLED)
    done = folder.python("train.py")
    assert done.returncode == 0, done.stderr.decode()
    read = folder.bare(sys.executable, "-c", "import pickle; pickle.load(open('trainer.pkl', 'rb'))")
    assert read.returncode == 0, read.stderr.decode()


TRAINER = """
import sys
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from transformers.utils import logging
logging.disable_progress_bar()
torch.manual_seed(0)
config = BertConfig(vocab_size=50, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
lines = open('words.txt').read().splitlines()
rows = [{'input_ids': torch.tensor([int(word) for word in line.split()]), 'labels': number % 2}
        for number, line in enumerate(lines)]
arguments = TrainingArguments(
    output_dir='out', max_steps=4, logging_steps=1, per_device_train_batch_size=4, learning_rate=1e-3, use_cpu=True,
    report_to='none', save_steps=4, disable_tqdm=True,
)
trainer = Trainer(BertForSequenceClassification(config), arguments, train_dataset=rows, eval_dataset=rows)
trainer.train()
trainer.evaluate()
trainer.save_model('model')
BertForSequenceClassification.from_pretrained('model')
sys.exit(3)
"""


@pytest.mark.slow
def test_transformers_trainer(folder: Folder) -> None:
    folder.environment["HF_HUB_OFFLINE"] = "1"
    folder.write("train.py", TRAINER)
    folder.write(
        "words.txt", "".join(f"{' '.join(str((7 * row + 3 * at) % 50) for at in range(8))}\n" for row in range(16))
    )
    without, within = folder.bare(sys.executable, "train.py"), folder.python("train.py")
    assert (within.returncode, within.stderr) == (without.returncode, without.stderr) == (3, b"")
    timed = re.compile(rb"('(?:train|eval)_(?:runtime|\w+_per_second)': )'[^']*'")
    assert timed.sub(rb"\1", within.stdout) == timed.sub(rb"\1", without.stdout)
    shown = folder.show()
    told = {"learning_rate": "0.001", "max_steps": "4", "per_device_train_batch_size": "4", "seed": "42",
            "lr_scheduler_type": "linear", "model": "BertForSequenceClassification", "optimizer": "AdamW"}  # fmt: skip
    assert told.items() <= shown["params"].items()
    assert shown["params"]["parameters"] == shown["params"]["optimizer.parameters"]
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{folder.path}/.tidemill/tidemill.db")
    losses = client.get_metric_history(shown["run"], "loss")
    said = [float(each) for each in re.findall(rb"'loss': '([\d.]+)'", within.stdout)]
    assert [each.step for each in losses] == [1, 2, 3, 4]
    assert [each.value for each in losses] == pytest.approx(said, rel=1e-3)
    assert shown["metrics"]["eval_loss"] > 0
    assert folder.names("reads") == {"words.txt"}, "what it wrote itself is no input"
    saved = ("config.json", "model.safetensors", "training_args.bin")
    states = ("optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json")
    assert folder.names("writes") == {
        *(f"model/{name}" for name in saved), *(f"out/checkpoint-4/{name}" for name in (*saved, *states)),
    }  # fmt: skip


def test_an_optimizer_without_one_rate_is_looked_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from tidemill.shim import hooks

    counted = []

    class Counted(torch.nn.Parameter):
        def numel(self) -> int:
            counted.append(1)
            return 1

    monkeypatch.setattr(hooks, "_optimizers", {})
    monkeypatch.setattr(hooks, "_write", lambda *given: None)
    monkeypatch.setattr(hooks, "_process", os.getpid())
    optimizer = torch.optim.SGD([Counted(torch.zeros(1))], lr=0.1)
    for rate in (None, None, torch.tensor([0.1, 0.2]), torch.tensor([0.1, 0.3])):
        optimizer.param_groups[0]["lr"] = rate
        hooks._stepped(optimizer, (), {})
    assert len(counted) == 1


@pytest.mark.slow
def test_a_notebook(folder: Folder) -> None:
    folder.write("in.txt", "from the file")
    texts = ("print(open('in.txt').read())", "open('out.txt', 'w').write('1')")
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "source": text, "metadata": {}, "outputs": [], "execution_count": None, "id": str(number)}
        for number, text in enumerate(texts)
    ]
    folder.write("work.ipynb", json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    before = (folder.path / "work.ipynb").read_bytes()
    folder.environment["PATH"] = f"{sys.prefix}/bin:{folder.environment['PATH']}"
    done = folder.run("work.ipynb")
    assert (done.returncode, done.stdout) == (0, b"from the file\n")
    assert folder.names("reads") >= {"in.txt"}
    assert folder.names("writes") == {"out.txt"}
    assert b"from the file" in folder.kept("output/work.ipynb")
    assert (folder.path / "work.ipynb").read_bytes() == before


def test_nothing_is_listened_to_when_asked(folder: Folder) -> None:
    folder.write("train.py", "from sklearn.linear_model import Ridge; Ridge().fit([[1.0], [2.0]], [1.0, 2.0])")
    assert folder.python("train.py", options=("--no-autolog",)).returncode == 0
    assert folder.show()["params"] == {}


def test_wrong_use_is_told_before_anything_runs(folder: Folder) -> None:
    done = folder.python("-c", "open('ran', 'w')", options=("--register", "no/name"))
    assert done.returncode == 2
    assert not (folder.path / "ran").exists()
    assert folder.bare(*TIDEMILL, "run").returncode == 2
    assert folder.bare(*TIDEMILL, "run", "--show", "abcdef").returncode == 2
