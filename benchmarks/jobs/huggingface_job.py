"""A small BERT on generated sentences. `--size` is the number of steps, in tens.

With transformers' Trainer where `accelerate` is installed, which it needs; otherwise with a plain loop, which says so.
"""

from __future__ import annotations

import argparse
from importlib.util import find_spec

import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

parser = argparse.ArgumentParser()
parser.add_argument("--size", type=int, default=2)
size = parser.parse_args().size
torch.manual_seed(0)
model = BertForSequenceClassification(
    BertConfig(vocab_size=500, hidden_size=128, num_hidden_layers=2, num_attention_heads=2, intermediate_size=256)
)
words = torch.randint(0, 500, (640, 64))
labels = (words[:, 0] > 250).long()
if find_spec("accelerate"):
    arguments = TrainingArguments(
        output_dir="out", max_steps=10 * size, logging_steps=10, per_device_train_batch_size=32, use_cpu=True,
        disable_tqdm=True, report_to="none",
    )  # fmt: skip
    rows = [{"input_ids": row, "labels": label} for row, label in zip(words, labels, strict=True)]
    Trainer(model=model, args=arguments, train_dataset=rows).train()
else:
    print("accelerate is not installed: a plain loop instead of the Trainer")
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4)
    for step in range(10 * size):
        rows_of = torch.arange(32) + 32 * (step % 20)
        loss = model(input_ids=words[rows_of], labels=labels[rows_of]).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 10 == 9:
            print(f"step {step + 1} loss {loss.item():.4f}")
model.save_pretrained("model")
