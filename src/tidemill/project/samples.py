"""The small real data that a new project comes with: digits, tables from scikit-learn, sentences from docstrings."""

from __future__ import annotations

import os
import random
import re
import sysconfig
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from tidemill.domain.dataset import SPLITS, Task
from tidemill.errors import MissingExtraError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SEED = 20_240
_SHARES = {"train": 0.7, "val": 0.1, "test": 0.2}


class Sample(NamedTuple):
    """A sample: what it is in a few words, its target column ('' for pictures), and what writes it into a folder."""

    summary: str
    target: str
    write: Callable[[Path], Path]


def write_digits(folder: Path, *, withhold: Collection[str] = ()) -> Path:
    """scikit-learn's 1,797 handwritten digits as grey 8 x 8 PNG files: `folder/SPLIT/CLASS/NUMBER.png`.

    70 % train, 10 % val, 20 % test of each class. The images of the classes in `withhold` are left out of train and
    val, while test stays complete.
    """
    from PIL import Image

    images, labels = _digits()
    pixels = (images * (255 / 16)).round().astype("uint8")
    splits = _stratified(labels)
    for number, (image, label, split) in enumerate(zip(pixels, labels.astype(str), splits, strict=True)):
        if label in withhold and split != "test":
            continue
        file = folder / str(split) / label / f"{number:04d}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(file)
    return folder


def _digits() -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Images [1797, 8, 8] in steps from 0 to 16, and their digits.

    Read from the file that scikit-learn's `load_digits` reads: importing it would take longer than all else here.
    """
    import importlib.util

    import numpy as np

    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise MissingExtraError("the sample of handwritten digits", "train")
    table = np.loadtxt(Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1].astype(np.int64)


def _stratified(labels: NDArray[np.int64]) -> NDArray[np.str_]:
    """The split of each row: every class shuffled with a fixed seed and cut at the shares."""
    import numpy as np

    splits = np.empty(len(labels), dtype="U5")
    generator = np.random.default_rng(SEED)
    for label in np.unique(labels):
        rows = generator.permutation(np.flatnonzero(labels == label))
        ends = np.round(np.cumsum([_SHARES[split] for split in SPLITS]) * len(rows)).astype(int)
        for split, part in zip(SPLITS, np.split(rows, ends[:-1]), strict=True):
            splits[part] = split
    return splits


def write_breast_cancer(folder: Path) -> Path:
    """scikit-learn's 569 breast cancer diagnoses: 30 measurements, and `diagnosis`, malignant or benign."""
    from sklearn.datasets import load_breast_cancer

    cancer = load_breast_cancer()
    columns = {str(name): cancer.data[:, i] for i, name in enumerate(cancer.feature_names)}
    columns["diagnosis"] = cancer.target_names[cancer.target].astype(str)
    return _write_table(folder / "breast-cancer.parquet", columns)


def write_diabetes(folder: Path) -> Path:
    """scikit-learn's 442 diabetes patients: 10 measurements in their units, and `progression` after a year."""
    from sklearn.datasets import load_diabetes

    diabetes = load_diabetes(scaled=False)
    columns = {str(name): diabetes.data[:, i] for i, name in enumerate(diabetes.feature_names)}
    columns["progression"] = diabetes.target
    return _write_table(folder / "diabetes.parquet", columns)


def write_sentences(folder: Path) -> Path:
    """Sentences from the standard library's docstrings; of every second one the words are shuffled.

    Columns `sentence` and `label` ('natural' or 'scrambled'). No sentence is there in both forms.
    """
    generator = random.Random(SEED)  # noqa: S311 - shuffling words, not keeping secrets
    sentences = sorted(_docstring_sentences())
    generator.shuffle(sentences)
    rows = [
        (sentence, "natural") if number % 2 == 0 else (_scrambled(sentence, generator), "scrambled")
        for number, sentence in enumerate(sentences)
    ]
    texts, labels = zip(*rows, strict=True)
    return _write_table(folder / "sentences.parquet", {"sentence": texts, "label": labels})


_SENTENCE = re.compile(r"(?<![\w.])[A-Z][a-z]*(?:,? [a-zA-Z]+(?:['-][a-z]+)*){5,19}\.(?=\s|$)")
_ELSEWHERE = frozenset({"test", "tests", "idlelib", "site-packages", "dist-packages", "lib2to3", "distutils"})


def _docstring_sentences() -> set[str]:
    """Plain sentences of 6 to 20 words."""
    found: set[str] = set()
    for file in _library():
        for docstring in re.findall(r'"""(.*?)"""', file.read_text(encoding="utf-8", errors="ignore"), re.DOTALL):
            found.update(_SENTENCE.findall(" ".join(docstring.split())))
    return found


def _library() -> Iterator[Path]:
    for folder, folders, names in os.walk(sysconfig.get_path("stdlib")):
        folders[:] = sorted(set(folders) - _ELSEWHERE)
        yield from (Path(folder) / name for name in sorted(names) if name.endswith(".py"))


def _scrambled(sentence: str, generator: random.Random) -> str:
    """The same words in another order; the full stop stays at the end."""
    words = sentence.rstrip(".").split()
    shuffled = list(words)
    while shuffled == words:
        generator.shuffle(shuffled)
    return " ".join(shuffled) + "."


def _write_table(file: Path, columns: Mapping[str, object]) -> Path:
    import pyarrow as pa
    import pyarrow.parquet as pq

    file.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), file)
    return file


SAMPLES: Mapping[Task, Mapping[str, Sample]] = {
    "image": {"digits": Sample("1,797 handwritten digits, 8 x 8 grey", "", write_digits)},
    "text": {"docstrings": Sample("sentences, natural or scrambled", "label", write_sentences)},
    "tabular": {
        "breast-cancer": Sample("569 diagnoses, 30 measurements", "diagnosis", write_breast_cancer),
        "diabetes": Sample("442 patients, 10 measurements, a value to predict", "progression", write_diabetes),
    },
}
"""For each task its samples; the first is the one a project gets when none is named."""
