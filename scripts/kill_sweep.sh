#!/bin/sh
# The long form of tests/faults/test_kill.py: `kill -9` at many points of init, data add, train, export and promote.
#
#   scripts/kill_sweep.sh [POINTS]       40 if left out; about a minute for each point
set -eu
cd "$(dirname "$0")/.."
scripts/venv.sh train,dev
TIDEMILL_KILL_POINTS=${1:-40} OMP_NUM_THREADS=2 .venv/bin/python -m pytest tests/faults/test_kill.py -n auto -q
