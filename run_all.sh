#!/usr/bin/env bash
# One command: set up the environment if there is none that fits, then regenerate every figure and the gallery.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd -P)

usage() {
    cat <<'TEXT'
usage: ./run_all.sh [options] [NOTEBOOK ...]      regenerate figures, tables and the gallery
       ./run_all.sh --tests [pytest arguments]    run the test suite

NOTEBOOK is a name (temporal_relevance/fig02_heatmaps or fig02_heatmaps), a folder (deep_analysis) or a
quoted glob ('*/table0*'); without any, all are brought up to date. Only what changed is executed again.

  --profile NAME    mini (default): procedural videos and the checkpoints in data/checkpoints;
                    full: the same with more clips and videos, for hours or a GPU;
                    paper: the public datasets under --data-root; or a .yaml file of your own
  --data-root DIR   where the public datasets are
  --device DEVICE   auto (default), cpu, cuda or cuda:N
  --jobs N          notebooks executed at a time (default: one per core)
  --force           execute the notebooks even if they are up to date
  --train           train the checkpoints that are missing, first (hours for all of them on a CPU); without it a
                    notebook whose checkpoint is missing is skipped
  --retrain         train the checkpoints they use anew, first
  --list            list the notebooks and what is up to date; execute nothing
  --tests           run the tests instead
  --help            this text

The first call makes .venv from requirements.lock (about 7 GB, a few minutes). An active conda environment made
from environment.yml is used as it is, and so is the Python that PAPERLIB_PYTHON names.
Exit code: 0 done, 1 a notebook, training or test failed, 2 an option makes no sense, 3 no environment.
TEXT
}

tests=false
arguments=()
for argument in "$@"; do
    case $argument in
        --tests) tests=true ;;
        -h | --help) usage && exit 0 ;;
        *) arguments+=("$argument") ;;
    esac
done

# Prints the first Python on the path that really starts and is new enough (a pyenv shim may not).
find_python() {
    local candidate
    for candidate in python3.11 python3.12 python3.13 python3 python; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

if ! python=$(find_python); then
    echo "run_all.sh: Python 3.11 or newer is needed and none was found (looked for python3.11, python3.12," \
        "python3.13, python3)" >&2
    exit 3
fi

# -I: nothing of the caller's Python settings, nor the modules that lie beside the script, can step in.
ready=$("$python" -I "$here/paperlib/companion/bootstrap.py") || exit 3
export PYTHONPATH="$here${PYTHONPATH:+:$PYTHONPATH}"

if $tests; then
    cd -- "$here"
    # Tests share the cores, file by file in the order that tests/conftest.py gives; benchmarks have them to themselves.
    [[ " ${arguments[*]-} " == *" --benchmark-enable "* ]] ||
        arguments=(-n auto --dist loadfile --no-loadscope-reorder ${arguments[@]+"${arguments[@]}"})
    exec "$ready" -m pytest ${arguments[@]+"${arguments[@]}"}
fi
# -P: paths mean the caller's folder, but modules that lie there are none of ours.
exec "$ready" -P -m paperlib.cli run ${arguments[@]+"${arguments[@]}"}
