#!/bin/bash
# Trains on every GPU of several nodes, with one process per GPU, and requeues itself until the run is finished:
#   sbatch docs/launch/slurm.sh --config configs/imagenet_resnet50.py --data.data-dir /shared/tfds --workdir /shared/runs/r50
#SBATCH --job-name=resnet_jax
#SBATCH --nodes=4
#SBATCH --gpus-per-node=8
#SBATCH --ntasks-per-node=8
#SBATCH --cpus-per-task=12
#SBATCH --time=24:00:00
#SBATCH --signal=TERM@180
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output=resnet_jax-%j.log
set -u

# Every process sees all GPUs of its node and uses the one of its local index.
srun --gpu-bind=none --cpus-per-task="${SLURM_CPUS_PER_TASK:-1}" --kill-on-bad-exit=0 \
  .venv/bin/python train.py --distributed.auto --model.bn-axis data "$@"
status=$?

# 143: saved and stopped by SIGTERM, three minutes before the time limit or at a preemption.
if [ "$status" -eq 143 ]; then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit "$status"
