#!/bin/bash
# Measure training, scoring and answers on one GPU in at most eight minutes; no network, nothing installed.
#   benchmarks/gpu.sh [FOLDER] [--tiny]     writes FOLDER/gpu.json and FOLDER/gpu.log (outputs/gpu)
set -o pipefail
cd "$(dirname "$0")/.." || exit 1
folder=outputs/gpu
if [ $# -gt 0 ] && [ "${1#--}" = "$1" ]; then
    folder=$1
    shift
fi
mkdir -p "$folder" || exit 1
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false
timeout --kill-after=4 475 "${PYTHON:-python3}" benchmarks/gpu.py "$folder" "$@" 2>&1 | tee "$folder/gpu.log"
