"""What the frameworks tell of a training, through the callbacks they offer, as JSON lines that `tidemill run` reads.

Each line is {"p": {...}} for parameters, {"m": {...}, "s": step} for metrics, {"t": {...}} for tags.
"""

from __future__ import annotations

import atexit
import json
import math
import os
import sys
import threading
import time

TYPE_CHECKING = False  # the module typing is not imported in every process for this
if TYPE_CHECKING:
    from typing import Any

_EVERY = 1.0
_folder = ""
_write: Any = None
_lines: list[str] = []
_written = 0.0
_lock = threading.Lock()
_process = 0


def begin(folder: Any, write: Any) -> Any:
    global _folder, _write, _process
    if _write is not None:
        return
    _folder, _write, _process = folder, write, os.getpid()
    atexit.register(flush)
    os.register_at_fork(after_in_child=_forked)


def _forked() -> Any:
    """A forked worker tells only what is its own."""
    global _lock, _process
    _lock = threading.Lock()
    _lines.clear()
    _process = os.getpid()


def tell(**what: Any) -> Any:
    global _written
    now = time.time()
    what["at"] = int(now * 1000)
    try:
        line = json.dumps(what)
    except (TypeError, ValueError):
        return
    with _lock:
        _lines.append(line)
        due = now - _written >= _EVERY or len(_lines) > 500
        if due:
            _written = now
    if due:
        flush()


def flush() -> Any:
    with _lock:
        text = "".join(f"{line}\n" for line in _lines)
        _lines.clear()
    if text:
        _write(os.path.join(_folder, f"told-{_process}.jsonl"), text)


def quiet(function: Any) -> Any:
    """A callback of ours never raises into the script."""

    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except Exception:
            return None

    return call


def number(value: Any) -> Any:
    """A float, or None; a tensor of one number counts."""
    try:
        value = float(value)
    except (TypeError, ValueError, RuntimeError):
        return None
    return value


def numbers(values: Any) -> Any:
    found = {str(key): number(value) for key, value in values.items()}
    return {
        key: value
        for key, value in found.items()
        if value is not None and not math.isnan(value) and not math.isinf(value)
    }


def plain(values: Any, prefix: Any = "") -> Any:
    """Settings as short texts; objects by their class."""
    found = {}
    for key, value in values.items():
        if value is None:
            continue
        if isinstance(value, (str, int, float, bool)):
            found[prefix + str(key)] = value
        elif isinstance(value, (list, tuple)) and len(value) <= 16:
            found[prefix + str(key)] = str(value)[:250]
        elif not isinstance(value, (dict, set)):
            found[prefix + str(key)] = type(value).__name__
    return found


# scikit-learn: every fit of an estimator runs within `config_context`, which sklearn.base takes from here.

_depth = threading.local()


def on_sklearn(base: Any) -> Any:
    context = base.config_context

    class watched:
        def __init__(self, **settings: Any) -> None:
            self.inner = context(**settings)
            self.fit = None

        def __enter__(self) -> Any:
            entered = self.inner.__enter__()
            self.fit = _fit_begins(sys._getframe(1))
            return entered

        def __exit__(self, kind: Any, error: Any, trace: Any) -> Any:
            _fit_ends(self.fit, kind)
            return self.inner.__exit__(kind, error, trace)

    base.config_context = watched


@quiet
def _fit_begins(frame: Any) -> Any:
    level = _depth.level = getattr(_depth, "level", 0) + 1
    if level > 1 or os.getpid() != _process or frame.f_code.co_name != "wrapper":
        return None
    estimator = frame.f_locals.get("estimator")
    method = getattr(frame.f_locals.get("fit_method"), "__name__", "")
    if estimator is None or not method.startswith("fit"):
        return None
    return estimator, frame.f_locals.get("args", ()), time.perf_counter()


_fits = 0
_FITS = 50  # that are told one by one


@quiet
def _fit_ends(fit: Any, failed: Any) -> Any:
    global _fits
    _depth.level = max(0, getattr(_depth, "level", 1) - 1)
    if fit is None or failed:
        return
    estimator, args, began = fit
    name = type(estimator).__name__
    _fits += 1
    if _fits > _FITS:
        return
    prefix = f"{name}." if _fits == 1 else f"fit{_fits}.{name}."
    told = plain(estimator.get_params(deep=hasattr(estimator, "steps")), prefix)
    if args and hasattr(args[0], "shape"):
        told[f"{prefix}fitted on"] = str(tuple(args[0].shape))
    if isinstance(getattr(estimator, "best_params_", None), dict):
        told.update(plain(estimator.best_params_, f"{prefix}best."))
    seen = {f"{prefix}fit_seconds": time.perf_counter() - began}
    for attribute in ("best_score_", "n_iter_", "loss_", "best_loss_", "oob_score_", "inertia_", "score_"):
        value = getattr(estimator, attribute, None)
        if not isinstance(value, bool) and number(value) is not None:
            seen[prefix + attribute.rstrip("_")] = value
    tell(p=told, t={"estimator": f"{type(estimator).__module__}.{name}"})
    tell(m=numbers(seen), s=0)


# XGBoost: its container of callbacks is given one more, first in the line, which only looks on.


def on_xgboost(module: Any) -> Any:
    class Told(module.TrainingCallback):  # type: ignore[misc]  # known when it is imported
        def __init__(self, params: Any, rounds: Any) -> None:
            self.params, self.rounds, self.last = params, rounds, 0.0

        def before_training(self, model: Any) -> Any:
            _xgboost_begins(self)
            return model

        def after_iteration(self, model: Any, epoch: Any, evals_log: Any) -> Any:
            _xgboost_step(evals_log, epoch)
            return False

    class Callbacks:
        """The attribute `callbacks` of a container: what is put there gets ours beside it."""

        def __get__(self, container: Any, owner: Any = None) -> Any:
            if container is None:
                return self
            return container.__dict__["callbacks"]

        def __set__(self, container: Any, callbacks: Any) -> Any:
            container.__dict__["callbacks"] = _with_ours(callbacks, sys._getframe(2)) or callbacks

    @quiet
    def _with_ours(callbacks: Any, frame: Any) -> Any:
        if os.getpid() != _process or not isinstance(callbacks, list):
            return callbacks
        given = frame.f_locals
        return [Told(dict(given.get("params") or {}), given.get("num_boost_round")), *callbacks]

    module.CallbackContainer.callbacks = Callbacks()


@quiet
def _xgboost_begins(told: Any) -> Any:
    params = plain(told.params, "xgboost.")
    tell(p={**params, "xgboost.num_boost_round": told.rounds}, t={"estimator": "xgboost"})


@quiet
def _xgboost_step(log: Any, step: Any) -> Any:
    seen = {}
    for data, metrics in log.items():
        for name, values in metrics.items():
            value = values[-1][0] if isinstance(values[-1], tuple) else values[-1]
            seen[f"{data}-{name}"] = value
    if seen:
        tell(m=numbers(seen), s=step)


# Lightning: its trainer asks this function for callbacks that installed packages offer.


def on_lightning(module: Any) -> Any:
    original = module._load_external_callbacks

    def _load_external_callbacks(group: Any) -> Any:
        found = original(group)
        ours = _lightning_callback(group)
        return [*found, ours] if ours is not None else found

    module._load_external_callbacks = _load_external_callbacks


@quiet
def _lightning_callback(group: Any) -> Any:
    package = "lightning.pytorch" if group.startswith("lightning.") else "pytorch_lightning"
    Callback = sys.modules[package].Callback

    class TidemillLooksOn(Callback):  # type: ignore[misc,valid-type]  # as above
        def __reduce__(self) -> Any:
            return Callback, ()  # whoever unpickles a trainer, in a child or elsewhere, has no Tidemill

        @quiet
        def on_fit_start(self, trainer: Any, pl_module: Any) -> Any:
            if trainer.is_global_zero:
                told = {"max_epochs": trainer.max_epochs, "precision": str(trainer.precision)}
                told.update(plain(dict(getattr(pl_module, "hparams", {}) or {})))
                told["parameters"] = sum(each.numel() for each in pl_module.parameters() if each.requires_grad)
                tell(p=told, t={"estimator": f"lightning {type(pl_module).__name__}"})

        @quiet
        def _metrics(self, trainer: Any) -> Any:
            if trainer.is_global_zero and not trainer.sanity_checking:
                seen = numbers(trainer.callback_metrics)
                if seen:
                    tell(m=seen, s=trainer.global_step)

        def on_train_epoch_start(self, trainer: Any, pl_module: Any) -> Any:
            if trainer.global_step:  # only now all figures of the epoch before are complete
                self._metrics(trainer)

        def on_fit_end(self, trainer: Any, pl_module: Any) -> Any:
            self._metrics(trainer)

        def on_validation_end(self, trainer: Any, pl_module: Any) -> Any:
            if str(trainer.state.fn).endswith("validate"):
                self._metrics(trainer)

        def on_test_end(self, trainer: Any, pl_module: Any) -> Any:
            self._metrics(trainer)

    return TidemillLooksOn()


# transformers: one more of the trainer's default callbacks.


def on_transformers(module: Any) -> Any:
    base = module.TrainerCallback

    class TidemillLooksOn(base):  # type: ignore[misc,valid-type]  # as above
        def __reduce__(self) -> Any:
            return base, ()  # as above

        @quiet
        def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **more: Any) -> Any:
            if state.is_world_process_zero:
                wanted = (
                    "learning_rate",
                    "per_device_train_batch_size",
                    "num_train_epochs",
                    "max_steps",
                    "weight_decay",
                    "warmup_steps",
                    "lr_scheduler_type",
                    "optim",
                    "seed",
                    "gradient_accumulation_steps",
                )
                told = {name: getattr(args, name, None) for name in wanted}
                told = {name: str(getattr(value, "value", value)) for name, value in told.items() if value is not None}
                if model is not None:
                    told["model"] = type(model).__name__
                    told["parameters"] = sum(each.numel() for each in model.parameters() if each.requires_grad)
                tell(p=told, t={"estimator": f"transformers {told.get('model', '')}"})

        @quiet
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **more: Any) -> Any:
            if state.is_world_process_zero and logs:
                tell(m=numbers(logs), s=state.global_step)

    module.DEFAULT_CALLBACKS.append(TidemillLooksOn)


# PyTorch: what an optimizer knows. A plain loop tells nobody its loss; what it prints is read from its output.

_optimizers: dict[int, Any] = {}
_steps: list[Any] = [0, 0.0]


def on_torch(module: Any) -> Any:
    register = getattr(module, "register_optimizer_step_post_hook", None)
    if register is not None:
        register(_stepped)
        atexit.register(_steps_end)


@quiet
def _stepped(optimizer: Any, args: Any, kwargs: Any) -> Any:
    _steps[0] += 1
    key = id(optimizer)
    rate = optimizer.param_groups[0].get("lr") if optimizer.param_groups else None
    if key not in _optimizers:
        _optimizers[key] = number(rate)
        _first_step(optimizer)
        return
    now = time.monotonic()
    if now - _steps[1] < _EVERY or (isinstance(rate, float) and rate == _optimizers[key]):
        return
    _steps[1] = now
    value = number(rate)  # of a tensor, which may be changed in place: to look at it makes a GPU wait
    if value is not None and value != _optimizers[key]:
        _optimizers[key] = value
        tell(m={"optimizer/lr": value}, s=_steps[0])


@quiet
def _first_step(optimizer: Any) -> Any:
    if len(_optimizers) > 8 or os.getpid() != _process:
        return
    name = type(optimizer).__name__
    prefix = "optimizer" if len(_optimizers) == 1 else f"optimizer{len(_optimizers)}"
    told = {prefix: name, **plain(getattr(optimizer, "defaults", {}), f"{prefix}.")}
    told[f"{prefix}.parameters"] = sum(each.numel() for group in optimizer.param_groups for each in group["params"])
    tell(p=told)


@quiet
def _steps_end() -> Any:
    if _steps[0] and os.getpid() == _process:
        tell(m={"optimizer/steps": _steps[0]}, s=_steps[0])
        flush()
