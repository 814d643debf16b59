#!/usr/bin/env bash
# Run what computes (the tests marked `numerics`) as other processors would: with fewer instruction sets, on one
# thread and on two, without vectors. Arguments go to pytest, e.g. `-n 2`.
set -euo pipefail
cd -- "$(dirname -- "$0")/.."

failed=0
# Only the files that have such tests, as others take seconds to be imported; test by test, as some files are long.
files=()
while IFS= read -r file; do files+=("$file"); done < <(grep -rl 'mark\.numerics' tests --include='test_*.py' | sort)
# A pass has as many workers as its threads leave cores for: more, and threads spin while they wait for each other.
pass() {
    local threads=$1 workers=$(($(nproc) / $1))
    shift
    echo "== $* OMP_NUM_THREADS=$threads"
    env "$@" "OMP_NUM_THREADS=$threads" ./run_all.sh --tests -q -m "numerics and not slow" \
        -n "$((workers > 0 ? workers : 1))" --dist worksteal "${files[@]}" ${arguments[@]+"${arguments[@]}"} || failed=1
}

arguments=("$@")
for set in AVX2 AVX512_CORE; do
    for threads in 1 2; do
        pass "$threads" "ONEDNN_MAX_CPU_ISA=$set"
    done
done
pass 1 ATEN_CPU_CAPABILITY=default
exit "$failed"
