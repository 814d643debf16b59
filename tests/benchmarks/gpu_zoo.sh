#!/usr/bin/env bash
# Trains as many of the zoo's missing models as fit into 9 minutes on one NVIDIA GPU, several at a time; what comes back
# are tar files under 16 MB each. Videos are rendered once, on all cores, by whichever training needs them first.
#
# Needs Python 3.11 or newer with torch 2.11 or newer and torchvision, no network, and (on PYTHONPATH, or in the folder
# that PAPERLIB_WHEELS names): numpy pandas scipy psutil PyYAML safetensors tqdm opencv-python-headless av
set -euo pipefail

root=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")/../.." && pwd -P)

usage() {
    cat <<'TEXT'
usage: tests/benchmarks/gpu_zoo.sh [options] OUT [MODEL ...]    train; OUT/checkpoints-*.tar, OUT/unfinished-*.tar
       tests/benchmarks/gpu_zoo.sh --missing                    list the models of data/zoo.yaml that are missing
       tests/benchmarks/gpu_zoo.sh --needs                      list what must be there to train them

Without MODEL (names or globs), all that is missing. Where the checkpoints stay behind, make the list first:
gpu_zoo.sh --missing > LIST, and there: gpu_zoo.sh --only LIST OUT

  --only FILE     train the models that FILE names, one a line
  --from DIR      go on from the tar files that an earlier call wrote to DIR
  --jobs N        models at a time (one per core: a narrow network's steps are short, and its processor is what waits)
  --minutes N     for everything (9)
  --device D      cuda
  --dry           train two tiny models on a CPU in a folder of their own: does the script work?

To take what came back into the project: for f in OUT/checkpoints-*.tar; do tar -xf "$f"; done
PAPERLIB_PYTHON names the Python (python3), PAPERLIB_HOME another project.
Exit code: 0 all trained, 1 some are left or failed, 2 the call makes no sense.
TEXT
}

python=${PAPERLIB_PYTHON:-python3}
export PYTHONPATH="$root${PAPERLIB_WHEELS:+:$PAPERLIB_WHEELS}${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1 TQDM_DISABLE=1
zoo() { "$python" -m paperlib.cli zoo "$@"; }

# Prints the models without a checkpoint by their recipe, of procedural videos: recorded ones need files of their own.
missing() {
    zoo status 'synth_*/*' --missing
}

# Prints what has to be there: code, lists, and the checkpoints that missing models start from.
needs() {
    printf '%s\n' paperlib tests/benchmarks data/zoo.yaml data/zoo_people.yaml
    missing | "$python" -c '
import sys
from paperlib.storage import zoo_lists
wanted, starts = set(sys.stdin.read().split()), dict(zoo_lists.entries())
needed = {starts[key]["init_from"] for key in wanted if starts[key].get("init_from")} - wanted
print("".join(f"data/checkpoints/{key}.safetensors\n" for key in sorted(needed)), end="")'
}

out="" only="" from="" jobs=$(nproc) minutes=9 device=cuda dry=false models=()
while (($#)); do
    case $1 in
        --missing) missing && exit 0 ;;
        --needs) needs && exit 0 ;;
        --only | --from | --jobs | --minutes | --device)
            [[ $# -gt 1 ]] || { usage >&2 && exit 2; }
            printf -v "${1#--}" '%s' "$2"
            shift ;;
        --dry) dry=true ;;
        -h | --help) usage && exit 0 ;;
        -*) usage >&2 && exit 2 ;;
        *) if [[ -z $out ]]; then out=$1; else models+=("$1"); fi ;;
    esac
    shift
done
[[ -n $out && $jobs =~ ^[1-9][0-9]*$ && $minutes =~ ^[1-9][0-9]*$ ]] || { usage >&2 && exit 2; }
if [[ -n $only ]]; then mapfile -t models <"$only"; fi
if [[ -n $from ]]; then from=$(cd -- "$from" && pwd -P); fi
mkdir -p -- "$out"
out=$(cd -- "$out" && pwd -P)

home=${PAPERLIB_HOME:-$root}
if $dry; then
    home=$(mktemp -d)
    trap 'rm -rf -- "$home"' EXIT
    mkdir "$home/data"
    cat >"$home/data/zoo.yaml" <<'YAML'
defaults: {width: 4, size: 16, epochs: 1, limit: 32, batch: 16}
models:
  - {model: TSN-R18-f4, dataset: synth_ssv2}
  - {model: TSN-R18-f8, dataset: synth_ssv2, init_from: synth_ssv2/TSN-R18-f4}
YAML
    export PAPERLIB_HOME=$home
    device=cpu jobs=2
fi
cd -- "$home"
((${#models[@]})) || models=('synth_*/*')

if [[ -n $from ]]; then
    for archive in "$from"/checkpoints-*.tar "$from"/unfinished-*.tar; do
        [[ ! -e $archive ]] || tar -xf "$archive"
    done
fi

# Processes take turns on a card unless NVIDIA's MPS lets them share it; where there is none they do.
if [[ $device == cuda* ]] && command -v nvidia-cuda-mps-control >/dev/null; then
    CUDA_MPS_PIPE_DIRECTORY=$(mktemp -d) CUDA_MPS_LOG_DIRECTORY=$(mktemp -d)
    export CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    if nvidia-cuda-mps-control -d && timeout 60 "$python" -c "import torch; torch.zeros(1, device='cuda').item()"; then
        trap 'echo quit | nvidia-cuda-mps-control' EXIT
    else
        echo "gpu_zoo.sh: MPS does not work here, models take turns on the card"
        unset CUDA_MPS_PIPE_DIRECTORY CUDA_MPS_LOG_DIRECTORY
    fi
fi

began=$(mktemp)
code=0
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# An interrupted training leaves the state after its last epoch; the last 40 seconds are for ending and packing.
timeout -s INT -k 15 $((minutes * 60 - 40)) "$python" -m paperlib.cli \
    zoo train "${models[@]}" --missing --jobs "$jobs" --device "$device" || code=$?
((code == 0)) || echo "gpu_zoo.sh: training ended with exit code $code (124: the time was up)"

# pack NAME: files named on standard input, relative to the project -> OUT/NAME-1.tar, ... of at most 15 MB.
pack() {
    local file size total=0 number=0
    while IFS= read -r file; do
        size=$(($(stat -c %s -- "$file") + 2048)) # with tar's own block and padding
        if ((size > 15000000)); then
            echo "gpu_zoo.sh: $file is left behind, it has $size bytes" >&2
            continue
        fi
        if ((number == 0 || total + size > 15000000)); then
            number=$((number + 1)) total=0
            rm -f -- "$out/$1-$number.tar"
        fi
        total=$((total + size))
        tar -rf "$out/$1-$number.tar" -- "$file"
    done
    echo "gpu_zoo.sh: $number files $1-*.tar in $out"
}

mkdir -p data/checkpoints data/runs
find data/checkpoints -name '*.safetensors' -newer "$began" ! -name '.*' | sort | pack checkpoints
find data/runs -name '*.pt' ! -name '.*' | sort | pack unfinished
rm -f -- "$began"
((code == 0)) || exit 1
