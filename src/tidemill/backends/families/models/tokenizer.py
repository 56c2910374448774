"""A tokenizer of the data's own, trained by tokenizers."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.normalizers import NFC, Lowercase, Sequence
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import BpeTrainer

PAD, BEGIN, END = "[PAD]", "[CLS]", "[SEP]"


def train_tokenizer(sentences: Iterable[str], *, vocabulary: int, lowercase: bool) -> Tokenizer:
    """Byte-level BPE (Radford et al., 2019), with at most `vocabulary` pieces. [PAD] is number 0.

    No text is unknown to it, and the same sentences give the same tokenizer: tokenizers' WordPiece trainer numbers its
    pieces in an order that changes from one call to the next.
    """
    tokenizer = Tokenizer(BPE())
    tokenizer.normalizer = Sequence([NFC(), *([Lowercase()] if lowercase else [])])
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=True)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=vocabulary,
        special_tokens=[PAD, BEGIN, END],
        initial_alphabet=ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sentences, trainer)
    special = [(name, tokenizer.token_to_id(name)) for name in (BEGIN, END)]
    tokenizer.post_processor = TemplateProcessing(single=f"{BEGIN} $A {END}", special_tokens=special)
    return tokenizer


def pad_id(tokenizer: Tokenizer) -> int:
    """The number of the padding token: the tokenizer's own, or what such tokens are usually called, or 0."""
    if tokenizer.padding is not None:
        return int(tokenizer.padding["pad_id"])
    for name in (PAD, "<pad>"):
        number = tokenizer.token_to_id(name)
        if number is not None:
            return int(number)
    return 0
