#!/usr/bin/env bash
# What a machine with a GPU should run before its figures go into the README: the default run, in both modes, and steps
# of ImageNet-sized ResNet-50 in bfloat16. Needs `pip install -e ".[cuda12]"` (or cuda13) first.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
python -c 'import jax; d = jax.devices()[0]; print(d.platform, d.device_kind); assert d.platform == "gpu", "no GPU"'
for mode in pmap shard_map; do
  /usr/bin/env time -p python train.py --workdir "$folder/$mode" --train.parallel "$mode"
done
for batch in 64 256; do
  python benchmarks/step_time.py --model resnet50 --image-size 224 --batch-size "$batch" --dtype bfloat16
done
