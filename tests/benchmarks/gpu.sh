#!/usr/bin/env bash
# One call measures on an NVIDIA GPU all that this project says about GPUs, in at most 8 minutes (H100, 16 cores).
#
# Needs Python 3.11 or newer with torch 2.11 or newer and torchvision, and no network. What else a step needs and does
# not find is named at the start (and in results.json) and costs that step only; bring it on PYTHONPATH, or as unpacked
# wheels in the folder that PAPERLIB_WHEELS names:
#   all steps         numpy pandas scipy psutil PyYAML safetensors tqdm opencv-python-headless
#   step tests        pytest pytest-benchmark pytest-timeout; for its notebook papermill ipykernel matplotlib
#   step relevance    zennit and captum, to be compared with
#   step zoo          av
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

usage() {
    cat <<'TEXT'
usage: tests/benchmarks/gpu.sh [--dry] OUT    measure; OUT/results.csv and OUT/results.json appear step by step
       tests/benchmarks/gpu.sh --needs        list what must be there, for a copy of the project made to travel

  --dry    tiny settings on a CPU, about a minute: does the script work? What it finds says nothing about a GPU.

Steps, each with a time limit, none of which stops the others when it fails: about, tests (-m gpu), relevance,
masks, zoo. PAPERLIB_PYTHON names the Python (python3), PAPERLIB_WHEELS a folder with further packages.
Afterwards: python -m tests.benchmarks.gpu_results take OUT/results.csv
Exit code: 0 all steps ended well, 1 one did not, 2 the call makes no sense or there is no GPU.
TEXT
}

needs=(
    paperlib tests pyproject.toml Snakefile data/zoo.yaml data/zoo_people.yaml
    data/checkpoints/synth_ssv2/TAM2D-R18-f8.safetensors
    notebooks/temporal_relevance/fig08_per_class.ipynb
)

dry=() out="" slack=1
for argument in "$@"; do
    case $argument in
        --dry) dry=(--dry) slack=5 ;; # the CPU may be busy
        --needs) printf '%s\n' "${needs[@]}" && exit 0 ;;
        -h | --help) usage && exit 0 ;;
        -*) usage >&2 && exit 2 ;;
        *) [[ -z $out ]] || { usage >&2 && exit 2; }
            out=$argument ;;
    esac
done
[[ -n $out ]] || { usage >&2 && exit 2; }

mkdir -p -- "$out"
out=$(cd -- "$out" && pwd -P)
cd -- "$root"
export PYTHONPATH="$root${PAPERLIB_WHEELS:+:$PAPERLIB_WHEELS}${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 TQDM_DISABLE=1
python=${PAPERLIB_PYTHON:-python3}
parts=$(mktemp -d)
trap 'rm -rf -- "$parts"' EXIT
: >"$parts/steps.csv"
failed=0

# step NAME LIMIT COMMAND...: run a command for at most LIMIT seconds and gather what is there.
step() {
    local name=$1 limit=$2 code=0 began=$SECONDS
    shift 2
    echo "== $name (at most $limit s)"
    timeout -s INT -k 5 $((limit * slack)) "$@" 2>&1 | tee "$parts/$name.log" || code=${PIPESTATUS[0]}
    echo "== $name: exit code $code after $((SECONDS - began)) s"
    echo "$name,$limit,$((SECONDS - began)),$code" >>"$parts/steps.csv"
    "$python" -m tests.benchmarks.gpu_results gather "$parts" "$out" || failed=1
    [[ $code == 0 ]] || failed=1
    return "$code"
}

measure() {
    step "$1" "$2" "$python" -m tests.benchmarks.gpu_steps "$1" --parts "$parts" ${dry[@]+"${dry[@]}"} || true
}

step about 25 "$python" -m tests.benchmarks.gpu_steps about --parts "$parts" ${dry[@]+"${dry[@]}"} || exit 2

# pytest ends by itself after the test that runs when its time is up, and then keeps its rows.
mapfile -t files < <(grep -rl --include='test_*.py' 'pytest\.mark\.gpu' tests | sort)
PAPERLIB_BENCHMARKS=$parts/tests.csv step tests 115 "$python" -m pytest -m gpu -q -p no:cacheprovider \
    --continue-on-collection-errors --timeout 80 --session-timeout 95 "${files[@]}" || true

measure relevance 190
measure masks 55
measure zoo 85
exit "$failed"
