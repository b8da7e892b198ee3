#!/bin/bash
# A Ray cluster inside one SLURM job, which indexes and ends with the status of the run.
#   sbatch examples/cluster/slurm.sh /shared/videos --archive /shared/.vidsearch
# What follows the script goes to `python -m workers index`. Paths must be the same on all nodes. The
# environment that holds vidsearch[ray] is the one that sbatch was called in; or set VENV to its folder.
# Submitted again, it does what is left.
#SBATCH --job-name=vidsearch
#SBATCH --nodes=4
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --mem-per-cpu=2G
#SBATCH --time=24:00:00
#SBATCH --output=vidsearch-%j.log
# For nodes with GPUs: #SBATCH --gpus-per-task=1
set -euo pipefail

if [[ -n ${VENV:-} ]]; then
    # shellcheck disable=SC1091
    source "$VENV/bin/activate"
fi

# Others may have a Ray on these nodes: a port, a token and a folder of our own keep them apart.
port=$((20000 + SLURM_JOB_ID % 10000))
RAY_AUTH_MODE=token
RAY_AUTH_TOKEN=$(python -c 'import secrets; print(secrets.token_hex(32))')
RAY_USAGE_STATS_ENABLED=0
export RAY_AUTH_MODE RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED

mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes[0]}
others=$((${#nodes[@]} - 1))
read -r ip _ < <(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address)
cpus=${SLURM_CPUS_PER_TASK:-1}
store=${RAY_OBJECT_STORE_BYTES:-4000000000}
temp=${TMPDIR:-/tmp}/ray-$SLURM_JOB_ID  # of each node

# The head decodes as well, but leaves a core to the process that writes the archive.
echo "Ray's head is $head, $ip:$port"
srun --nodes=1 --ntasks=1 --nodelist="$head" --overlap \
    ray start --head --block --node-ip-address="$ip" --port="$port" --include-dashboard=false \
    --num-cpus=$((cpus > 1 ? cpus - 1 : 1)) --object-store-memory="$store" --temp-dir="$temp" &
steps=($!)

for ((second = 0; second < 120; second++)); do
    if (exec 3<> "/dev/tcp/$ip/$port") 2> /dev/null; then
        break
    fi
    sleep 1
done

# Nobody waits for these: a node that joins later is used from then on.
if ((others > 0)); then
    srun --nodes="$others" --ntasks="$others" --exclude="$head" --overlap \
        ray start --block --address="$ip:$port" \
        --num-cpus="$cpus" --object-store-memory="$store" --temp-dir="$temp" &
    steps+=($!)
fi

status=0
python -m workers index --ray "$ip:$port" "$@" || status=$?
kill "${steps[@]}" 2> /dev/null || true
wait || true
exit "$status"
