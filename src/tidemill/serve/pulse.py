"""Whether the models in service still answer as they were proven to: one golden request after the other, for ever."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

from tidemill.bundle.golden import replay_row
from tidemill.errors import TidemillError
from tidemill.serve.failure import without_paths

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.serve.model import ServedModel
    from tidemill.serve.slot import Slot

EVERY = 10.0  # seconds between two requests to each model
STALE = 3.5 * EVERY  # a model that was not heard of for so long is not ready


async def keep(slots: Sequence[Slot]) -> None:
    """Replay until cancelled; what is found is told the slots. Nothing of it is logged."""
    for number in itertools.count():
        await asyncio.sleep(EVERY)
        for slot in slots:
            model = slot.model
            trouble = await asyncio.to_thread(_beat, model, number % len(model.golden))
            if slot.model is model:
                slot.trouble = trouble
                if trouble is None:
                    slot.proven = time.monotonic()


def _beat(model: ServedModel, number: int) -> str | None:
    """What is wrong with the answer to one golden request."""
    predictor = model.predictor
    try:
        replay_row(predictor.opened, predictor.session, predictor.preprocessor, model.golden, number)
    except TidemillError as error:
        return without_paths(error.headline)
    except Exception as error:  # whatever it is, an operator has to know
        return without_paths(f"{type(error).__name__}: {error}")
    return None
