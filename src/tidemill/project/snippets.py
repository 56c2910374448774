"""Ready lines that use a model elsewhere: each runs as it is printed, with an input that the bundle itself keeps."""

from __future__ import annotations

import json
import os
import pprint
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.domain.bundle import Bundle, ImagePreprocessing, TabularPreprocessing, TextPreprocessing
from tidemill.errors import InputError, NotFoundError, nearest
from tidemill.project.layout import Layout

if TYPE_CHECKING:
    from tidemill.ports import Raw

URL = "http://127.0.0.1:8080"
_PICTURE = "picture.png"


@dataclass(frozen=True, slots=True)
class Subject:
    """The model that is used: `text` as it was asked for, its bundle's folder, an example, and a picture's path.

    `address` is MLflow's tracking URI and `uri` the model's there; both are empty for a bundle without a registry.
    """

    text: str
    bundle: Bundle
    directory: Path
    example: Raw
    picture: str
    url: str
    address: str
    uri: str

    @property
    def row(self) -> str:
        """The example as Python source."""
        return pprint.pformat(self.example, width=100, sort_dicts=False)


def snippet(layout: Layout | None, model: str, kind: str, *, url: str | None = None) -> str:
    """Lines for `kind`, one of KINDS, that have `model` answer one input.

    `model` is name@alias, name/version or a bundle's directory, which needs no project. `url` is where it is served; by
    default where a server of this project says that it runs. Raises InputError, NotFoundError, BundleError.
    """
    if kind not in KINDS:
        raise NotFoundError(f"there are no lines for {kind[:60]!r}", nearest(kind, KINDS, kind="there are lines for"))
    subject = _subject(layout, model, url)
    if kind in ("mlflow", "spark") and not subject.uri:
        raise InputError(f"MLflow does not know the bundle in {model}", "name a registered version: name@alias, name/1")
    return _WRITERS[kind](subject)


def _subject(layout: Layout | None, model: str, url: str | None) -> Subject:
    from tidemill.bundle.golden import read_golden
    from tidemill.project.bundles import local_bundle, open_proven
    from tidemill.project.registry import is_bundle, resolve

    address = uri = ""
    if is_bundle(model):
        directory, expected = Path(model), None
    else:
        from tidemill.project.layout import find_project

        layout = layout or find_project()
        version = resolve(layout, model)
        directory, expected = local_bundle(layout, version), version.bundle
        address, uri = _tracking(layout), f"models:/{model}"
    opened = open_proven(directory, expected=expected, layout=layout)
    examples = [row.input for row in read_golden(opened)]
    whole = [each for each in examples if not isinstance(each, Mapping) or None not in each.values()]
    return Subject(
        model, opened.bundle, directory.resolve(), (whole or examples)[0], _picture(layout),
        url or _served_at(layout, opened.bundle.name), address, uri,
    )  # fmt: skip


def _tracking(layout: Layout) -> str:
    from tidemill.domain.address import bare_address
    from tidemill.project.registry import tracking_uri

    uri = tracking_uri(layout)
    return uri if uri.startswith("sqlite:") else bare_address(uri)


def _picture(layout: Layout | None) -> str:
    """A picture of the project's examples, seen from here; else a name to put one's own at."""
    if layout is None:
        return _PICTURE
    found = sorted((layout.root / "examples").glob("*.png"))
    return os.path.relpath(found[0]) if found else _PICTURE


def _served_at(layout: Layout | None, name: str) -> str:
    from tidemill.project.servers import running_servers

    running = [each for each in running_servers(layout) if each.model.split("/")[0] == name] if layout else []
    return running[-1].url if running else URL


def _curl(subject: Subject) -> str:
    address = f"{subject.url}/v1/models/{subject.bundle.name}:predict"
    if isinstance(subject.example, bytes):
        return f"curl -F {shlex.quote(f'file=@{subject.picture}')} {address}\n"
    body = json.dumps({"inputs": [subject.example]}, ensure_ascii=False)
    return f"curl -H 'content-type: application/json' -d {shlex.quote(body)} {address}\n"


def _python(subject: Subject) -> str:
    return (
        "from tidemill.project.models import open_model\n\n"
        f"model = open_model(None, {subject.text!r})\n"
        f"for answer in model.predict([{_raw(subject)}]):\n"
        "    print(answer.output, answer.scores)\n"
    )


def _raw(subject: Subject) -> str:
    return f'open({subject.picture!r}, "rb").read()' if isinstance(subject.example, bytes) else subject.row


def _frame(subject: Subject) -> str:
    if isinstance(subject.example, Mapping):
        return f"pd.DataFrame([{subject.row}])"
    column = "image" if isinstance(subject.example, bytes) else "text"
    return f'pd.DataFrame({{"{column}": [{_raw(subject)}]}})'


def _pandas(subject: Subject) -> str:
    return (
        "import pandas as pd\n\nfrom tidemill.pyfunc import load_model\n\n"
        f"model = load_model({subject.text!r})\n"
        f"frame = {_frame(subject)}\n"
        "print(model.predict(frame))\n"
    )


def _mlflow(subject: Subject) -> str:
    return (
        "import mlflow\nimport pandas as pd\n\n"
        f"mlflow.set_tracking_uri({subject.address!r})\n"
        f"model = mlflow.pyfunc.load_model({subject.uri!r})\n"
        f"frame = {_frame(subject)}\n"
        "print(model.predict(frame))\n"
    )


def _spark(subject: Subject) -> str:
    return (
        "import os\nimport sys\n\n"
        "import mlflow\nfrom pyspark.sql import SparkSession\nfrom pyspark.sql.functions import struct\n\n"
        'os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # the workers need what is installed here\n'
        f"mlflow.set_tracking_uri({subject.address!r})\n"
        "spark = SparkSession.builder.getOrCreate()\n"
        f"answers = {_answer_type(subject.bundle)!r}\n"
        f'predict = mlflow.pyfunc.spark_udf(spark, {subject.uri!r}, result_type=answers, env_manager="local")\n'
        f"frame = {_spark_frame(subject)}\n"
        'frame.withColumn("answer", predict(struct(*frame.columns))).select("answer.*").show(truncate=False)\n'
    )


def _answer_type(bundle: Bundle) -> str:
    """What `PyfuncModel.predict` gives, as Spark's DDL."""
    if not bundle.signature.labels:
        return "output double"
    scores = [f"`score_{label.replace('`', '``')}` double" for label in bundle.signature.labels]
    return ", ".join(["output string", *scores])


def _spark_frame(subject: Subject) -> str:
    preprocessing, example = subject.bundle.preprocessing, subject.example
    if isinstance(example, bytes):
        return f'spark.read.format("binaryFile").load({subject.picture!r}).select("content")'
    if not isinstance(preprocessing, TabularPreprocessing) or isinstance(example, str):
        return f'spark.createDataFrame([({example!r},)], "text string")'
    texts = [column.name for column in preprocessing.columns if column.type == "category"]
    row = {name: value if value is None or name in texts else float(value) for name, value in example.items()}
    kinds = ", ".join(f"`{name.replace('`', '``')}` {'string' if name in texts else 'double'}" for name in row)
    return f"spark.createDataFrame([{pprint.pformat(tuple(row.values()), width=100)}], {kinds!r})"


def _onnxruntime(subject: Subject) -> str:
    imports, lines = _feed(subject)
    labels = bool(subject.bundle.signature.labels)
    answer = [
        'labels = json.loads((bundle / "bundle.json").read_text())["signature"]["labels"]',
        "print(labels[scores[0].argmax()], dict(zip(labels, scores[0].tolist())))",
    ]
    return "\n".join(
        [
            *["import json"] * labels,
            "from pathlib import Path",
            "",
            "import numpy as np",
            "import onnxruntime",
            *imports,
            "",
            f"bundle = Path({str(subject.directory)!r})",
            'session = onnxruntime.InferenceSession(bundle / "model.onnx", providers=["CPUExecutionProvider"])',
            *lines,
            'scores, embedding = session.run(["scores", "embedding"], feed)',
            *(answer if labels else ["print(scores[0, 0])"]),
            "",
        ]
    )


def _feed(subject: Subject) -> tuple[list[str], list[str]]:
    """Imports, and the lines that make the graph's inputs of the example, as the bundle's preprocessing says."""
    match subject.bundle.preprocessing:
        case ImagePreprocessing(mode, height, width, resampling):
            return ["from PIL import Image, ImageOps"], [
                f"picture = ImageOps.exif_transpose(Image.open({subject.picture!r})).convert({mode!r})",
                f"picture = picture.resize(({width}, {height}), Image.Resampling.{resampling.upper()})",
                f'feed = {{"image": np.asarray(picture, np.uint8).reshape(1, {height}, {width}, -1)}}',
            ]
        case TextPreprocessing(max_length):
            return ["from tokenizers import Tokenizer"], [
                'tokenizer = Tokenizer.from_file(str(bundle / "tokenizer.json"))',
                "tokenizer.no_padding()",
                f"tokenizer.enable_truncation({max_length})",
                f"ids = np.array([tokenizer.encode({subject.example!r}).ids], np.int64)",
                'feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}',
            ]
        case TabularPreprocessing(columns):
            assert isinstance(subject.example, Mapping)
            return [], [
                f"row = {subject.row}",
                f"texts = {[column.name for column in columns if column.type == 'category']!r}",
                "feed = {",
                '    name: np.array([["" if value is None else value]], object)',
                "    if name in texts",
                "    else np.array([[np.nan if value is None else value]], np.float32)",
                "    for name, value in row.items()",
                "}",
            ]


_WRITERS: Mapping[str, Callable[[Subject], str]] = {
    "python": _python,
    "curl": _curl,
    "pandas": _pandas,
    "spark": _spark,
    "onnxruntime": _onnxruntime,
    "mlflow": _mlflow,
}
KINDS = tuple(_WRITERS)
