"""Whose a run is: its author, and its process, so that the runs of dead ones can be told."""

from __future__ import annotations

import getpass
import os
import platform
import subprocess
from collections.abc import Mapping
from functools import cache
from pathlib import Path

HOST, PROCESS, BOOT = "tidemill.host", "tidemill.process", "tidemill.boot"


def owner_tags() -> dict[str, str]:
    """Host, boot and process (id and start time) of the caller."""
    return {HOST: platform.node(), BOOT: _boot(), PROCESS: _process(os.getpid()) or str(os.getpid())}


def owner_is_dead(tags: Mapping[str, str]) -> bool:
    """Whether the process that `tags` name ran on this host and is gone; False when that cannot be known."""
    if tags.get(HOST) != platform.node() or PROCESS not in tags:
        return False
    if tags.get(BOOT) != _boot():
        return True
    number = tags[PROCESS].split(":")[0]
    return number.isdigit() and _process(int(number)) != tags[PROCESS]


def account() -> str:
    """The name of the account; its number in a container without an entry for its user."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


@cache
def author() -> tuple[str, str]:
    """The name of the account, and git's `NAME <EMAIL>` of who commits here; twice the account where git has none."""
    user = account()
    try:
        told = subprocess.run(["git", "var", "GIT_AUTHOR_IDENT"], capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return user, user
    return user, told.stdout.rpartition(">")[0] + ">"


def _boot() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return ""


def _process(number: int) -> str:
    """`pid:start time`; empty when there is no such process. A zombie is gone."""
    try:
        fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else f"{number}:{fields[19]}"
