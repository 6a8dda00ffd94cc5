#!/bin/bash
# Starts the same command on every host of a TPU pod slice. Each host needs the code and a shared file system for runs:
#   docs/launch/tpu_pod.sh NAME ZONE --config configs/imagenet_resnet50.py --data.data-dir /shared/tfds --workdir /shared/runs/r50
set -euo pipefail

if [ "$#" -lt 3 ]; then
  echo "usage: $0 NAME ZONE OPTIONS_OF_TRAIN..." >&2
  exit 2
fi
name=$1 zone=$2
shift 2
# printf quotes each argument for the shell of the host.
gcloud compute tpus tpu-vm ssh "$name" --zone="$zone" --worker=all \
  --command="cd resnet_jax && .venv/bin/python train.py --distributed.auto --model.bn-axis data $(printf '%q ' "$@")"
