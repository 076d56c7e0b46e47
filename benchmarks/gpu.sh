#!/bin/sh
# Speed, memory and noise of scoring on a GPU, in one table and about ten minutes.
#
#     benchmarks/gpu.sh                 # on a machine with a GPU of 40 GB or more
#     benchmarks/gpu.sh --tiny          # tiny shapes, also without a GPU: does it run?
#
# PYTHON names another interpreter; nothing is installed, and vLLM is measured only if it is there.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
PYTHONPATH="$here/..${PYTHONPATH:+:$PYTHONPATH}"
export PYTHONPATH
exec "${PYTHON:-python}" "$here/gpu.py" "$@"
