"""The space of a search: from the command line, the group `search` and `hydra.sweeper.params`, checked at its ends."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from tidemill.errors import ConfigError
from tidemill.project.layout import Layout, read_marker

if TYPE_CHECKING:
    from tidemill.config.compose import Composed
    from tidemill.config.schema import Config
    from tidemill.config.space import Dimension


class Space:
    """What may be tried, and the configuration of each trial, composed once for each choice of groups."""

    def __init__(self, layout: Layout, fixed: Sequence[str], dimensions: Mapping[str, Dimension]) -> None:
        from tidemill.config.groups import groups

        self.dimensions, self.fixed = dict(dimensions), list(fixed)
        self._layout, self._marker = layout, read_marker(layout)
        known = groups(layout.conf)
        self._groups = [name for name in dimensions if name in known]
        self._composed: dict[tuple[Any, ...], Composed] = {}

    def config(self, values: Mapping[str, Any]) -> Config:
        """The checked configuration of a trial. Raises ConfigError for a combination that is not allowed."""
        from tidemill.config.compose import composed

        chosen = tuple(values[name] for name in self._groups if name in values)
        if chosen not in self._composed:
            picked = [f"{name}={values[name]}" for name in self._groups if name in values]
            self._composed[chosen] = composed(
                self._layout.conf, [*self.fixed, *picked], name=self._marker.name, task=self._marker.task
            )
        return self._composed[chosen].config({name: values[name] for name in values if name not in self._groups})

    def overrides(self, values: Mapping[str, Any]) -> list[str]:
        """The same as arguments of `tidemill train`."""
        from tidemill.config.overrides import spelled

        given = [each for each in self.fixed if not each.lstrip("+").startswith("search")]
        return [*given, *(f"{name}={spelled(value)}" for name, value in values.items())]

    def check(self) -> Config:
        """Every end of every dimension is allowed beside the first of the others. Raises ConfigError."""
        from tidemill.config.space import ends

        first = {name: ends(each)[0] for name, each in self.dimensions.items()}
        for name, each in self.dimensions.items():
            for value in ends(each):
                self.config({**first, name: value})
        return self.config(first)


class Asked(NamedTuple):
    """The space, and the configuration that all trials share, with the settings of the search itself."""

    space: Space
    config: Config


def read_space(layout: Layout, arguments: Sequence[str]) -> Asked:
    """Arguments with several values span the space, the others are settings that all trials share.

    Without any, the space of the group `search` counts, and without that the ready one for the model or the task.
    Raises ConfigError when there is nothing to try.
    """
    from tidemill.config.groups import choices
    from tidemill.config.overrides import dimension_of, first, parsed
    from tidemill.config.sweep import sweep_params
    from tidemill.project.configuration import config

    marker = read_marker(layout)
    given = parsed(arguments)
    fixed = [str(each.input_line) for each in given if not each.is_sweep_override()]
    in_files = parsed(sweep_params(layout.conf, fixed))
    pinned = {each.key_or_group for each in given}
    plain = [each for each in in_files if not each.is_sweep_override() and each.key_or_group not in pinned]
    fixed = [*(str(each.input_line) for each in plain), *fixed]
    swept = [each for each in (*in_files, *given) if each.is_sweep_override()]
    firsts = first([str(each.input_line) for each in swept], conf=layout.conf, task=marker.task)
    settings = config(layout, [*fixed, *firsts])  # what is swept may have no value of its own
    if not swept and not settings.search.params:
        known = choices(layout.conf, "search")
        ready = next((name for name in (settings.model.kind, marker.task) if name in known), None)
        if ready is not None:
            fixed.append(f"search={ready}")
            settings = config(layout, fixed)
    listed = parsed([f"{key}={value}" for key, value in settings.search.params.items()])
    pinned = {parsed([each])[0].key_or_group for each in fixed}
    dimensions = {}
    for override in (*listed, *swept):
        key = override.key_or_group
        if not override.is_sweep_override() or key.split(".")[0] == "search":
            raise ConfigError(
                f"{override.input_line}: gives nothing to choose from", "write range(), interval() or a,b"
            )
        if key not in pinned:
            dimensions[key] = dimension_of(override, layout.conf, marker.task)
    _check_effect(dimensions, settings)
    if not dimensions:
        raise ConfigError(
            "there is nothing to search for",
            "say what to try:  tidemill tune optimizer.lr='tag(log,interval(1e-4,1e-1))'",
        )
    return Asked(Space(layout, fixed, dimensions), settings)


def _check_effect(dimensions: Mapping[str, Dimension], settings: Config) -> None:
    """Trials that differ in nothing are no search."""
    from tidemill.config.effect import bears, instead

    for path in dimensions:
        if not bears(path, settings):
            raise ConfigError(
                f"{path} does not bear on model={settings.model.kind}: all its values give the same model",
                f"vary a setting of the model:  {instead(path, settings) or 'model.params.…'}",
            )
