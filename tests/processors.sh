#!/usr/bin/env bash
# Run what computes (the tests marked `numerics`) as other processors would: with fewer instruction sets, on one
# thread and on two, without vectors. Arguments go to pytest, e.g. `-n 2`.
set -euo pipefail
cd -- "$(dirname -- "$0")/.."

failed=0
# Only the files that have such tests, as others take seconds to be imported; test by test, as some files are long.
files=()
while IFS= read -r file; do files+=("$file"); done < <(grep -rl 'mark\.numerics' tests --include='test_*.py' | sort)
pass() {
    echo "== $*"
    env "$@" ./run_all.sh --tests -q -m "numerics and not slow" --dist worksteal "${files[@]}" \
        ${arguments[@]+"${arguments[@]}"} || failed=1
}

arguments=("$@")
for set in AVX2 AVX512_CORE; do
    for threads in 1 2; do
        pass "ONEDNN_MAX_CPU_ISA=$set" "OMP_NUM_THREADS=$threads"
    done
done
pass ATEN_CPU_CAPABILITY=default "OMP_NUM_THREADS=1"
exit "$failed"
