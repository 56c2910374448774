"""An Optuna study in the project's database: made once, opened again by name."""

from __future__ import annotations

import itertools
import logging
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import optuna
import sqlalchemy as sa
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.exceptions import ExperimentalWarning
from optuna.storages import RDBStorage

from tidemill.config.space import Choice, Dimension, Whole, every, points
from tidemill.errors import ConfigError, NotFoundError, StateError, nearest
from tidemill.stages.search.plan import Plan, external

if TYPE_CHECKING:
    from tidemill.config.schema import SearchConfig

PLAN, RUN, METRICS, GRID = "tidemill.plan", "tidemill.run", "tidemill.metrics", "tidemill.grid"
REGISTERED, FIXED = "tidemill.registered", "tidemill.fixed"
_MOST_ROWS = 100_000


def storage(url: str) -> RDBStorage:
    """Optuna's tables at `url`, beside MLflow's; they are made when they are missing.

    Both keep their schema's version in a table `alembic_version`. MLflow's is there first, and Optuna's own check of it
    is left out; Optuna's tables bear their version in `version_info`, which is checked here.
    """
    found = RDBStorage(url, engine_kwargs={"pool_pre_ping": True}, skip_compatibility_check=True)
    if url.startswith("sqlite"):
        sa.event.listen(found.engine, "connect", _quick)
        found.engine.dispose()  # connections made before the line above
    _check_version(found)
    return found


def _quick(connection: Any, _: object) -> None:
    """In WAL mode a commit survives the death of the process without an fsync."""
    connection.execute("PRAGMA synchronous=NORMAL")


def _check_version(found: RDBStorage) -> None:
    with found.engine.connect() as connection:
        version = connection.execute(sa.text("SELECT schema_version FROM version_info")).scalar()
    from optuna.storages._rdb.models import SCHEMA_VERSION

    if version != SCHEMA_VERSION:
        raise StateError(
            f"the studies in this database are of Optuna's schema {version}, and this Optuna has {SCHEMA_VERSION}",
            f"use the Optuna that wrote them, or:  optuna storage upgrade --storage {found.url}",
        )


def quiet() -> None:
    """Optuna without its log lines, and without its word on what is experimental."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("alembic").setLevel(logging.WARNING)
    warnings.filterwarnings("ignore", category=ExperimentalWarning)


def opened(at: RDBStorage, plan: Plan, search: SearchConfig, name: str, *, longest: int) -> optuna.Study:
    """The study `name`, made when there is none. Raises StateError when it is another search's.

    `longest` is how many steps (epochs, trees) a trial takes at most.
    """
    directions = [each.direction for each in plan.objectives]
    known = {each.study_name for each in at.get_all_studies()}
    if name in known and _plan_of(at, name) not in (plan.digest, None):
        raise StateError(
            f"the study {name!r} looks for something else: its space, metric, settings or data version differ",
            "choose another name with --study, or leave it out",
        )
    done = len(optuna.load_study(study_name=name, storage=at).trials) if name in known else 0
    study = optuna.create_study(
        storage=at, study_name=name, directions=directions, load_if_exists=True,
        sampler=sampler(search, plan, done=done), pruner=pruner(search, plan, longest=longest),
    )  # fmt: skip
    study.set_user_attr(PLAN, plan.digest)
    study.set_user_attr(METRICS, [each.metric for each in plan.objectives])
    if search.sampler == "grid" or (plan.points is not None and plan.points <= search.trials):
        _enqueue_grid(study, plan, search)  # a sampler would try some of so few twice, and others never
    return study


def load(at: RDBStorage, name: str) -> optuna.Study:
    """The study `name`. Raises NotFoundError."""
    known = [each.study_name for each in at.get_all_studies()]
    if name not in known:
        raise NotFoundError(f"there is no study {name!r}", nearest(name, known, kind="studies"))
    return optuna.load_study(study_name=name, storage=at)


def _plan_of(at: RDBStorage, name: str) -> str | None:
    found = at.get_study_user_attrs(at.get_study_id_from_name(name)).get(PLAN)
    return None if found is None else str(found)


def _enqueue_grid(study: optuna.Study, plan: Plan, search: SearchConfig) -> None:
    """Every row of the grid, or of a small space, as a waiting trial, once; a study goes on with those left."""
    grid = search.sampler == "grid"
    wanted = {name: points(each, search.points) if grid else every(each) for name, each in plan.space.items()}
    rows = 1
    for values in wanted.values():
        rows *= len(values)
    if rows > _MOST_ROWS:
        raise ConfigError(f"the grid has {rows:,} rows", "give fewer values, or  search.sampler=random")
    if study.user_attrs.get(GRID) == rows:
        return
    for row in itertools.product(*wanted.values()):
        params = {name: external(plan.space[name], value) for name, value in zip(wanted, row, strict=True)}
        study.enqueue_trial(params, skip_if_exists=True)
    study.set_user_attr(GRID, rows)


def distributions(space: Mapping[str, Dimension]) -> dict[str, BaseDistribution]:
    """The space as Optuna draws from it."""
    return {name: _distribution(each) for name, each in space.items()}


def _distribution(found: Dimension) -> BaseDistribution:
    if isinstance(found, Choice):
        return CategoricalDistribution([external(found, value) for value in found.values])
    if isinstance(found, Whole):
        return IntDistribution(found.low, found.high, step=found.step, log=found.log)
    return FloatDistribution(found.low, found.high, step=found.step, log=found.log)


def sampler(search: SearchConfig, plan: Plan, *, done: int) -> optuna.samplers.BaseSampler:
    """What proposes the next trial. After `done` trials its random numbers go on, rather than begin again."""
    seed = (search.seed + 1_000_003 * done) % 2**32
    match search.sampler:
        case "tpe":
            return optuna.samplers.TPESampler(seed=seed)
        case "cmaes":
            if len(plan.objectives) > 1:
                raise ConfigError("search.sampler=cmaes follows one metric", "use tpe or nsga2 for several")
            return optuna.samplers.CmaEsSampler(seed=seed, warn_independent_sampling=False)
        case "nsga2":
            return optuna.samplers.NSGAIISampler(seed=seed)
        case _:  # the rows of a grid are waiting trials; nothing is drawn
            return optuna.samplers.RandomSampler(seed=seed)


def pruner(search: SearchConfig, plan: Plan, *, longest: int) -> optuna.pruners.BasePruner:
    """What ends trials that fall behind; several metrics cannot be ranked on the way."""
    first = search.min_steps or max(1, longest // 10)
    if len(plan.objectives) > 1:
        return optuna.pruners.NopPruner()
    match search.pruner:
        case "median":
            return optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=first - 1)
        case "asha":
            return optuna.pruners.SuccessiveHalvingPruner(min_resource=first, reduction_factor=search.reduction)
        case "hyperband":
            return optuna.pruners.HyperbandPruner(
                min_resource=first, max_resource=max(longest, first), reduction_factor=search.reduction
            )
        case _:
            return optuna.pruners.NopPruner()
