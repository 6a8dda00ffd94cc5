#!/usr/bin/env bash
# Checks that runs work and are deterministic on a machine with a GPU, before its numbers go into docs/performance.md
# (benchmarks/gpu.py times steps):
#   benchmarks/gpu_checks.sh                       everything, some 10 minutes
#   benchmarks/gpu_checks.sh runs deterministic    only these parts
# runs: times the default run in both modes of --train.parallel. deterministic: runs it twice in deterministic
# mode, the second one interrupted and resumed, and compares the bits. pool: the gradient of the max pool.
# Needs `pip install -e ".[train,cuda12]"` (or cuda13) first. PYTHON names another interpreter than `python`.
set -euo pipefail
cd "$(dirname "$0")/.."
parts=("$@")
[[ $# -gt 0 ]] || parts=(runs deterministic pool)
for part in "${parts[@]}"; do
  case $part in
    runs | deterministic | pool) ;;
    *)
      echo "expected runs, deterministic or pool, got $part" >&2
      exit 2
      ;;
  esac
done
if [[ ${#parts[@]} -gt 1 ]]; then # one process each, so that the others run after a failure
  failed=()
  for part in "${parts[@]}"; do
    bash benchmarks/gpu_checks.sh "$part" || failed+=("$part")
  done
  echo "failed: ${failed[*]:-none}"
  [[ ${#failed[@]} -eq 0 ]]
  exit
fi

export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
python=${PYTHON:-$(command -v python || command -v python3)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
platform=${GPU_CHECKS_PLATFORM:-gpu} # cpu tests this script
"$python" - "$platform" <<'END'
import sys
import jax
device = jax.devices()[0]
print(device.platform, device.device_kind, "jax", jax.__version__)
platform = "gpu" if device.platform in ("cuda", "rocm") else device.platform
if platform != sys.argv[1]:
    sys.exit(f"expected a {sys.argv[1]}, got {platform}")
END

train=("$python" train.py)
if ! "$python" -c 'import tensorboardX' 2>/dev/null; then
  echo "tensorboardX is not installed: the runs write no event files"
  train+=(--log.no-tensorboard)
fi

runs() {
  local mode TIMEFORMAT='%0R s'
  for mode in pmap shard_map; do
    echo "default run, --train.parallel $mode:"
    time "${train[@]}" --workdir "$folder/$mode" --train.parallel "$mode"
  done
}

# Ends the run with the process id $1 when metrics.jsonl in $2 has $3 lines.
stop_at() {
  while kill -0 "$1" 2>/dev/null; do
    if [[ -f "$2/metrics.jsonl" && $(wc -l <"$2/metrics.jsonl") -ge $3 ]]; then
      kill -TERM "$1" 2>/dev/null || true
      return
    fi
    sleep 0.05
  done
}

deterministic() (
  export XLA_FLAGS="--xla_gpu_deterministic_ops=true --xla_gpu_autotune_level=0 ${XLA_FLAGS:-}"
  run=("${train[@]}" --train.deterministic --optim.ema-decay 0.99 --train.epochs 200)
  "${run[@]}" --workdir "$folder/straight"
  "${run[@]}" --workdir "$folder/stopped" &
  pid=$!
  stop_at "$pid" "$folder/stopped" 4
  status=0
  wait "$pid" || status=$?
  if [[ $status != 143 ]]; then
    echo "expected a run stopped on the way (status 143), got status $status" >&2
    exit 1
  fi
  "${run[@]}" --workdir "$folder/stopped"
  "$python" - "$folder" <<'END'
import sys
import jax, numpy as np
from resnet_jax.checkpoints.reader import open_checkpoint
straight, stopped = (open_checkpoint(f"{sys.argv[1]}/{name}") for name in ("straight", "stopped"))
assert straight.step == stopped.step, (straight.step, stopped.step)
jax.tree.map(np.testing.assert_array_equal, straight.arrays, stopped.arrays)
print("deterministic: the same bits at step", straight.step)
END
)

pool() { "$python" benchmarks/max_pool_gradient.py; }

echo "== ${parts[0]}"
"${parts[0]}"
