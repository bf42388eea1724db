#!/usr/bin/env python3
"""Runs `earmark batch --emit ray` on a real local Ray of two nodes, one of which is removed while the parts run.

    ray_test.py EARMARK PIPELINE.yaml RECORDINGS WORK

At the end every output must be there and verified. Skips, saying so, where Ray is missing (pip install ray).
"""
import os, pathlib, shutil, subprocess, sys, time

try:
    import ray
    from ray.cluster_utils import Cluster
except ImportError as e:
    sys.exit(print(f"skipped: {e} (pip install ray)"))

def parents():
    """Process -> its parent."""
    found = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            found[int(stat.parent.name)] = int(stat.read_text().rpartition(")")[2].split()[1])
        except OSError:
            pass  # it has just ended
    return found


def busy(raylet):
    """Processes of `earmark` under a node's raylet."""
    of = parents()

    def under(pid):
        while pid in of and pid != raylet:
            pid = of[pid]
        return pid == raylet

    def ours(pid):
        try:
            return pathlib.Path(os.readlink(f"/proc/{pid}/exe")) == pathlib.Path(earmark)
        except OSError:
            return False
    return [pid for pid in of if under(pid) and ours(pid)]


earmark, pipeline, recordings, work = (str(pathlib.Path(p).resolve()) for p in sys.argv[1:])
shutil.rmtree(work, ignore_errors=True)
out = pathlib.Path(work) / "out"
out.mkdir(parents=True)
driver = pathlib.Path(work) / "driver.py"
driver.write_text(subprocess.run(
    [earmark, "batch", pipeline, recordings, "--output", str(out), "--emit", "ray", "--parts", "4", "--quiet"],
    stdout=subprocess.PIPE, text=True, check=True).stdout)
compile(driver.read_text(), str(driver), "exec")
cpus = os.cpu_count()
cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus})
doomed = cluster.add_node(num_cpus=cpus)
cluster.wait_for_nodes()
run = subprocess.Popen([sys.executable, str(driver)], env={**os.environ, "RAY_ADDRESS": cluster.address})
# It is removed while it works, not before or after.
raylet = doomed.all_processes["raylet"][0].process.pid
doing = []
for _ in range(1200):
    doing = busy(raylet)
    if doing and any(out.glob("status.*.jsonl")):
        break
    time.sleep(.1)
if not doing:
    run.kill()
    cluster.shutdown()
    sys.exit("the node that was to be removed was never given a part")
print(f"a node is removed that runs {len(doing)} processes of earmark", flush=True)
cluster.remove_node(doomed, allow_graceful=False)
status = run.wait(timeout=900)
print("the driver ended with", status)
verify = subprocess.run([earmark, "verify", str(out)]).returncode
wanted = len((out / "recordings.jsonl").read_text().splitlines())
have = len(list(out.glob("*.h5")))
print(f"outputs: {have} of {wanted}")
cluster.shutdown()
sys.exit(0 if status == 0 and verify == 0 and have == wanted else 1)
