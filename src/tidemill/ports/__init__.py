"""What stages and the server ask of the outside, in five verbs at most a port. A backend is one file that fits one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.ports.drift import Detector, Sample
from tidemill.ports.log import Answered, Asked, PredictionLog, PredictionSink
from tidemill.ports.model import Exporter, Raw, Runtime, Scored, Session, SourceModel
from tidemill.ports.pipelines import PipelineForm, PipelineRunner, Stage
from tidemill.ports.tracking import Told, Tracker, TrackerFactory
from tidemill.ports.training import ModelFamily, Remarked, Reporter, StopTraining, Summarised, Times
from tidemill.ports.versions import DatasetStore, Ledger, Registry

if TYPE_CHECKING:
    from tidemill.ports.model import Feed as Feed

__all__ = [
    "Answered",
    "Asked",
    "DatasetStore",
    "Detector",
    "Exporter",
    "Ledger",
    "ModelFamily",
    "PipelineForm",
    "PipelineRunner",
    "PredictionLog",
    "PredictionSink",
    "Raw",
    "Registry",
    "Remarked",
    "Reporter",
    "Runtime",
    "Sample",
    "Scored",
    "Session",
    "SourceModel",
    "Stage",
    "StopTraining",
    "Summarised",
    "Times",
    "Told",
    "Tracker",
    "TrackerFactory",
]
