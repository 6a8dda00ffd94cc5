#!/usr/bin/env bash
# What a machine with a GPU should run before its figures go into the README: the default run, in both modes; the same
# twice in deterministic mode, the second one stopped on the way, to the same bits; the max pool's gradient; and steps of
# ImageNet-sized ResNet-50 in bfloat16. Needs `pip install -e ".[train,cuda12]"` (or cuda13) first.
set -euo pipefail
cd "$(dirname "$0")/.."
folder=$(mktemp -d)
python -c 'import jax; d = jax.devices()[0]; print(d.platform, d.device_kind); assert d.platform == "gpu", "no GPU"'
for mode in pmap shard_map; do
  /usr/bin/env time -p python train.py --workdir "$folder/$mode" --train.parallel "$mode"
done

(
export XLA_FLAGS="--xla_gpu_deterministic_ops=true ${XLA_FLAGS:-}"
python train.py --workdir "$folder/straight" --train.deterministic --optim.ema-decay 0.99
status=0
timeout --signal TERM 40 python train.py --workdir "$folder/stopped" --train.deterministic --optim.ema-decay 0.99 || status=$?
echo "stopped on the way: status $status (124 or 143; 0: it was faster, and nothing was shown)"
python train.py --workdir "$folder/stopped" --train.deterministic --optim.ema-decay 0.99
python - "$folder" <<'EOF'
import sys
import jax, numpy as np
from resnet_jax.training.checkpoint import open_checkpoint
a, b = (open_checkpoint(f"{sys.argv[1]}/{name}") for name in ("straight", "stopped"))
jax.tree.map(np.testing.assert_array_equal, a.arrays, b.arrays)
print("deterministic: the same bits at step", a.step)
EOF
)

python benchmarks/max_pool_gradient.py
for batch in 64 256; do
  python benchmarks/step_time.py --model resnet50 --image-size 224 --batch-size "$batch" --dtype bfloat16
done
