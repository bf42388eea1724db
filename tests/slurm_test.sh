#!/usr/bin/env bash
# Runs `earmark batch --emit slurm` on a real Slurm: slurmctld, two slurmd and munge on this host, all below a folder of its own.
#     slurm_test.sh EARMARK PIPELINE.yaml RECORDINGS WORK
# While the array runs, one node's slurmd is killed with everything on it and the node is set down; Slurm queues its parts again. At
# the end every output must be there and verified, and a last batch must find nothing to do. Skips, saying so, where Slurm is missing.
set -euo pipefail
for program in slurmctld slurmd sbatch scontrol munged; do
    command -v "$program" > /dev/null || { echo "skipped: $program is missing (apt-get install slurmctld slurmd slurm-client munge)"; exit 0; }
done
[ "$(id -u)" = 0 ] || { echo "skipped: slurmd and munged need root here"; exit 0; }
earmark=$(realpath "$1") pipeline=$(realpath "$2") recordings=$(realpath "$3") work=$(realpath -m "$4")
rm -rf "$work"; mkdir -p "$work"/{ctld,n1,n2,munge,out}
host=$(hostname)
export SLURM_CONF=$work/slurm.conf
cpus=$(nproc)
cat > "$SLURM_CONF" <<CONF
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$work/munge/socket
CryptoType=crypto/munge
StateSaveLocation=$work/ctld
SlurmdSpoolDir=$work/%n
SlurmctldPidFile=$work/ctld.pid
SlurmdPidFile=$work/%n.pid
SlurmctldPort=16817
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SchedulerType=sched/builtin
SelectType=select/linear
MpiDefault=none
ReturnToService=2
SlurmdTimeout=10
KillWait=5
CompleteWait=0
SlurmdParameters=config_overrides
NodeName=n1 NodeAddr=127.0.0.1 Port=16821 CPUs=$cpus RealMemory=1000 State=UNKNOWN
NodeName=n2 NodeAddr=127.0.0.1 Port=16822 CPUs=$cpus RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
CONF
pids=()
finish() { for pid in "${pids[@]}"; do kill "$pid" 2> /dev/null || true; done; }
trap finish EXIT
dd if=/dev/urandom of="$work/munge/key" bs=1024 count=1 status=none; chmod 600 "$work/munge/key"; chmod 755 "$work" "$work/munge"
munged --foreground --force --key-file="$work/munge/key" --socket="$work/munge/socket" --pid-file="$work/munge/pid" \
    --log-file="$work/munge/log" --seed-file="$work/munge/seed" > "$work/munged.log" 2>&1 & pids+=($!)
for _ in $(seq 100); do [ -S "$work/munge/socket" ] && break; sleep .1; done
slurmctld -D > "$work/slurmctld.log" 2>&1 & pids+=($!)
sleep 2
slurmd -D -N n1 > "$work/n1.log" 2>&1 & pids+=($!)
slurmd -D -N n2 > "$work/n2.log" 2>&1 & second=$!; pids+=("$second")
for _ in $(seq 300); do [ "$(sinfo -h -N -t idle -o %N 2> /dev/null | wc -l)" = 2 ] && break; sleep .2; done
sinfo -N
"$earmark" batch "$pipeline" "$recordings" --output "$work/out" --emit slurm --parts 4 --quiet > "$work/job.sh"
job=$(sbatch --parsable "$work/job.sh")
echo "submitted $job"
for _ in $(seq 600); do squeue -h -t running -w n2 -o %i | grep -q . && break; sleep .1; done
sleep "${NODE_LIVES_FOR:-1}"
echo "n2 goes down with $(squeue -h -t running -w n2 -o %i | tr '\n' ' ')"
# The node with everything on it, its slurmd, the steps and the parts, all at once: what is stopped first can't report the others' death, which
# Slurm would take for the part's own end.
gone=$second
for process in $(cd /proc && ls -d [0-9]*); do
    grep -qsxz "SLURMD_NODENAME=n2" "/proc/$process/environ" || continue
    parent=$(awk '/^PPid/ { print $2 }' "/proc/$process/status" 2> /dev/null || true)
    [ "$(cat "/proc/$parent/comm" 2> /dev/null)" != slurmstepd ] || gone+=" $parent"
    gone+=" $process"
done
kill -STOP $gone; kill -KILL $gone
scontrol update nodename=n2 state=down reason=test
for _ in $(seq 1800); do [ -z "$(squeue -h -j "$job" 2> /dev/null)" ] && break; sleep .2; done
squeue
if [ -n "$(squeue -h -j "$job" 2> /dev/null)" ]; then echo "the array did not end"; exit 1; fi
"$earmark" inspect "$work/out"
"$earmark" verify "$work/out"
left=$("$earmark" batch "$pipeline" "$work/out/recordings.jsonl" --output "$work/out" --json --quiet | grep '"done":')
echo "a last batch: $left"
[ "$(echo "$left" | tr -dc 0-9)" = 0 ]
wanted=$(wc -l < "$work/out/recordings.jsonl"); have=$(ls "$work/out"/*.h5 | wc -l)
echo "outputs: $have of $wanted"
[ "$have" = "$wanted" ]
