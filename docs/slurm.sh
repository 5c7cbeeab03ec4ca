#!/bin/bash
# An array job for SLURM: eight shards of one model's answers, each on one GPU. The last line of this file has the command
# that you run afterwards: it checks that all answers are there, and writes the summary.
#
#     sbatch docs/slurm.sh llava-7b profiles/lite/params.yaml
#
# Submit it from the repository's folder, which all machines must share. Submit it again after a time limit: shards go on
# where they were. Fetch models and data first, because these processes need not reach the network.
#SBATCH --job-name=vtstudy
#SBATCH --array=1-8
#SBATCH --gpus=1
#SBATCH --cpus-per-task=4
#SBATCH --mem=64G
#SBATCH --time=12:00:00
#SBATCH --output=vtstudy-%A-%a.log
set -eu

model=${1:?the key of a model, such as llava-7b}
params=${2:-params.yaml}
source .venv/bin/activate

vtstudy answer --model "$model" --params "$params" --shard "$SLURM_ARRAY_TASK_ID/$SLURM_ARRAY_TASK_COUNT"

# After all shards: vtstudy answer --model MODEL --params PARAMS --check-shards 8
