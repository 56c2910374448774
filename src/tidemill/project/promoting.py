"""Who is champion: promotion by evidence, rollback, and the history of both."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill.domain.digest import Digest
from tidemill.domain.evidence import Check, Evidence
from tidemill.domain.record import to_plain
from tidemill.domain.registry import Event, ModelVersion, RegistryState, fold
from tidemill.errors import BundleError, BusyError, GateError, InputError, StateError, StorageError
from tidemill.files import locked, write_atomic
from tidemill.project.bundles import local_bundle, open_predictor
from tidemill.project.configuration import config
from tidemill.project.database import foreign_uri
from tidemill.project.layout import Layout
from tidemill.project.publishing import publish, reconcile
from tidemill.project.registry import events, is_served, ledger, no_such_model, state, version_of

if TYPE_CHECKING:
    from tidemill.ports import Reporter

_WAIT = 600.0  # seconds that a promotion waits for others of the same model


def promote(
    layout: Layout, name: str, number: int, *, force: str | None = None, reporter: Reporter | None = None
) -> Event:
    """Make version `number` champion, on the evidence of the newest data version's test split.

    Raises GateError listing the checks that do not hold, unless `force` gives a reason; InputError for the present
    champion; BusyError where another promotion won meanwhile. The evidence is in the ledger, also that of a refusal,
    and under reports/. One promotion of a model runs at a time.
    """
    asked = state(layout, name)
    version = version_of(asked, name, number)
    with locked(layout.locks / f"promote-{name}", timeout=_WAIT, what=f"a promotion of {name}"):
        meanwhile = state(layout, name)
        _refuse(meanwhile, version)
        _check_same(name, asked.champion, meanwhile.champion)
        reconcile(layout, name)
        known = state(layout, name)
        _refuse(known, version)
        champion = known.versions[known.champion] if known.champion is not None else None
        evidence = _evidence(layout, version, champion, force, reporter)
        if evidence is not None and not evidence.held and force is None:
            _keep_report(layout, _enter_refusal(layout, known, version, evidence))
            raise _not_held(version, evidence)

        def check(found: Sequence[Event]) -> None:
            now = fold(found)
            _refuse(now, version)
            _check_same(name, known.champion, now.champion)

        payload = {
            "version": number,
            "replaced": known.champion,
            "bundle": version.bundle,
            "evidence": evidence,
            "forced": force,
        }
        event = ledger(layout).append("promoted", name, payload, check=check)
        _keep_report(layout, event)
        publish(layout, name)
        reconcile(layout, name)
    return event


def rollback(layout: Layout, name: str, reason: str | None = None) -> Event:
    """Put the champion before the present one back. Raises StateError when there was none.

    A tracking server that is away does not hinder it: MLflow's alias follows with the next command that reaches it.
    """
    state(layout, name)
    with locked(layout.locks / f"promote-{name}", timeout=_WAIT, what=f"a promotion of {name}"):
        with _server_may_be_away():
            reconcile(layout, name)
        champions = state(layout, name).champions
        if len(champions) < 2:
            raise StateError(
                f"{name} has no earlier champion to go back to",
                f"see  tidemill models history {name}" if champions else f"see  tidemill models list {name}",
            )

        def check(found: Sequence[Event]) -> None:
            if fold(found).champions != champions:
                raise BusyError(f"another champion of {name} came meanwhile", "look at it, and run this again")

        payload = {"from": champions[-1], "to": champions[-2], "reason": reason}
        event = ledger(layout).append("rolled_back", name, payload, check=check)
        publish(layout, name)  # servers first: MLflow may take seconds
        with _server_may_be_away():
            reconcile(layout, name)
    return event


def _check_same(name: str, champion: int | None, now: int | None) -> None:
    """Whoever asked for a promotion had this champion before their eyes, not the one that is there now."""
    if champion != now:
        raise BusyError(f"another champion of {name} came meanwhile: {name}/{now}", "look at it, and run this again")


@contextlib.contextmanager
def _server_may_be_away() -> Iterator[None]:
    try:
        yield
    except StorageError:
        if not is_served(foreign_uri()):
            raise


def history(layout: Layout, name: str, at: datetime | None = None) -> list[Event]:
    """What happened to `name`, in order, up to and including `at`. Raises NotFoundError for an unknown name."""
    found = events(layout, name)
    if not found:
        raise no_such_model(layout, name)
    return [event for event in found if at is None or event.at <= at]


def verify(layout: Layout) -> tuple[Check, ...]:
    """The ledger's chain, and the bundle of every version, byte for byte.

    Raises GateError when the chain is broken; a bundle that is altered or missing is a check that does not hold.
    """
    from tidemill.bundle.read import open_bundle

    reports = _reported(layout)
    if not events(layout) and not reports:
        return (Check("ledger", True, "no line yet"),)
    number = ledger(layout).verify()
    _check_reports(events(layout), reports)
    checks = [Check("ledger", True, f"{number} lines, each hash as it should be, none missing")]
    for name in dict.fromkeys(event.model for event in events(layout) if event.kind == "registered"):
        for version in state(layout, name).versions.values():
            try:
                open_bundle(local_bundle(layout, version), expected=version.bundle)
                checks.append(Check(str(version), True, f"bundle {version.bundle.short} intact"))
            except BundleError as error:
                checks.append(Check(str(version), False, error.headline))
    return tuple(checks)


def _reported(layout: Layout) -> dict[Path, Any]:
    """The lines that were kept as files too, by file; what no longer can be read is no witness."""
    own, found = _ledger_name(), {}
    for path in sorted(layout.reports.glob("promotion-*/promotion.json")):
        with contextlib.suppress(OSError, ValueError):
            line = json.loads(path.read_bytes())
            whole = isinstance(line, dict) and {"sequence", "digest", "kind"} <= line.keys()
            if whole and line.get("ledger", "") == own:
                found[path] = line
    return found


def _ledger_name() -> str:
    """Which ledger a line is of: each tracking server has its own; empty for that in the project's database."""
    uri = foreign_uri()
    return Digest.of_bytes(uri.encode()).short if uri else ""


def _check_reports(lines: Sequence[Event], reports: Mapping[Path, Any]) -> None:
    """Raises GateError for a line that was kept outside of the database, and is not in it as it was."""
    there = {line.sequence: str(line.digest) for line in lines}
    for path, line in reports.items():
        if there.get(line["sequence"]) != line["digest"]:
            which = f"line {line['sequence']} ({line['kind']})"
            raise GateError(
                f"the ledger was altered: {which} is not the one in {path.parent.name}",
                f"compare with {path}, and restore the database from a backup",
            )


def _refuse(known: RegistryState, version: ModelVersion) -> None:
    if known.champion == version.number:
        raise InputError(f"{version} is champion already", f"see  tidemill models history {version.name}")
    if version.number in known.retired:
        raise InputError(f"{version} was deleted in MLflow's registry", f"see  tidemill models list {version.name}")


def _enter_refusal(layout: Layout, known: RegistryState, version: ModelVersion, evidence: Evidence) -> Event:
    """Who asks again and again until chance helps shall be seen."""
    payload = {
        "version": version.number,
        "champion": known.champion,
        "bundle": version.bundle,
        "evidence": evidence,
    }
    return ledger(layout).append("refused", version.name, payload, check=lambda found: None)


def _evidence(
    layout: Layout, version: ModelVersion, champion: ModelVersion | None, force: str | None, reporter: Reporter | None
) -> Evidence | None:
    """None when the two cannot be compared at all and a reason was given to promote in any case."""
    from tidemill.project import data
    from tidemill.stages.promote import Contestant, compare

    challenger = Contestant(version, open_predictor(layout, version))
    try:
        dataset = challenger.predictor.bundle.lineage.dataset.rpartition("-v")[0]
        newest = data.open_version(layout, dataset)
        present = Contestant(champion, open_predictor(layout, champion)) if champion is not None else None
        settings = config(layout).promotion
        return compare(challenger, present, newest.examples("test"), newest.version, settings, reporter)
    except (GateError, BundleError, InputError):
        if force is None:
            raise
        return None


def _not_held(version: ModelVersion, evidence: Evidence) -> GateError:
    failed = [check for check in evidence.checks if not check.held]
    listed = "; ".join(f"{check.name}: {check.detail}" for check in failed)
    return GateError(
        f"{version} is not promoted, the evidence does not hold. {listed}",
        f"promote it in any case:  tidemill models promote {version.name} {version.number} --force REASON",
    )


def _keep_report(layout: Layout, event: Event) -> None:
    """The line as a file, for people and programs that do not read the ledger; `verify` compares the two."""
    folder = layout.reports / f"promotion-{event.model}-{event.payload['version']}-{event.sequence}"
    content = json.dumps({**to_plain(event), "ledger": _ledger_name()}, indent=1, ensure_ascii=False) + "\n"
    write_atomic(folder / "promotion.json", content.encode())
