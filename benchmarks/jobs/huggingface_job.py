"""A small BERT on generated sentences, with transformers' Trainer. `--size` is the number of steps, in tens."""

from __future__ import annotations

import argparse

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
arguments = TrainingArguments(
    output_dir="out", max_steps=10 * size, logging_steps=10, per_device_train_batch_size=32, use_cpu=True,
    disable_tqdm=True, report_to="none",
)  # fmt: skip
rows = [{"input_ids": row, "labels": label} for row, label in zip(words, labels, strict=True)]
Trainer(model=model, args=arguments, train_dataset=rows).train()
model.save_pretrained("model")
