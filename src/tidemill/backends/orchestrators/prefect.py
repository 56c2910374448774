"""The training as a Prefect flow: a task for each step, on the server that PREFECT_API_URL names, or on none."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.errors import MissingExtraError, TidemillError

if TYPE_CHECKING:
    from tidemill.ports import PipelineRunner, Stage


class PrefectRunner:
    """`home` is where Prefect keeps its own state where PREFECT_HOME does not say; `retries` for each task."""

    def __init__(self, home: Path, *, retries: int = 0, delay: float = 10.0) -> None:
        self._home, self._retries, self._delay = home, retries, delay

    def run(self, name: str, stages: Sequence[Stage], do: Callable[[str], str]) -> None:
        """Whether a step has to be done is left to the step; Prefect caches nothing."""
        _settle(self._home)
        try:
            from prefect import flow, task
            from prefect.cache_policies import NO_CACHE
        except ImportError:
            raise MissingExtraError("tidemill pipeline prefect", "prefect") from None

        def again(task: object, run: object, state: object) -> bool:
            """What is wrong with the input stays wrong."""
            failure = getattr(state, "data", None)
            return not (isinstance(failure, TidemillError) and failure.exit_code == 2)

        @flow(name=name, validate_parameters=False)
        def training(steps: list[str]) -> None:
            for stage in stages:
                if stage.name in steps:
                    made = task(
                        name=stage.name, description=stage.about, retries=self._retries,
                        retry_delay_seconds=self._delay, cache_policy=NO_CACHE, retry_condition_fn=again,
                    )(do)  # fmt: skip
                    made(stage.name)

        training([stage.name for stage in stages])


def _settle(home: Path) -> None:
    """Nothing phones home, and nothing lands in the user's home; what the user has set stays. Before the import."""
    for key, value in (
        ("PREFECT_HOME", str(home)),
        ("PREFECT_SERVER_ANALYTICS_ENABLED", "false"),
        ("DO_NOT_TRACK", "1"),
        ("PREFECT_LOGGING_LEVEL", "WARNING"),
        ("PREFECT_CLI_PROMPT", "false"),
    ):
        os.environ.setdefault(key, value)


if TYPE_CHECKING:
    _fits: type[PipelineRunner] = PrefectRunner
