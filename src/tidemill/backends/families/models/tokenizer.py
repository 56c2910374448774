"""A WordPiece tokenizer of the data's own, trained by tokenizers."""

from __future__ import annotations

from collections.abc import Iterable

from tokenizers import Tokenizer
from tokenizers.models import WordPiece
from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer
from tokenizers.processors import TemplateProcessing
from tokenizers.trainers import WordPieceTrainer

PAD, UNKNOWN, BEGIN, END, MASK = "[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"


def train_tokenizer(sentences: Iterable[str], *, vocabulary: int, lowercase: bool) -> Tokenizer:
    """WordPiece as BERT has it (Devlin et al., 2018), with at most `vocabulary` pieces. [PAD] is number 0."""
    tokenizer = Tokenizer(WordPiece(unk_token=UNKNOWN))
    tokenizer.normalizer = BertNormalizer(lowercase=lowercase, strip_accents=False)
    tokenizer.pre_tokenizer = BertPreTokenizer()
    trainer = WordPieceTrainer(
        vocab_size=vocabulary, special_tokens=[PAD, UNKNOWN, BEGIN, END, MASK], show_progress=False
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
