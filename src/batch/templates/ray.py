#!/usr/bin/env python3
"""Written by `earmark batch --emit ray`: {{ recordings }} recordings in {{ shards }} parts, each a Ray task that runs `earmark batch`.

Run it where `ray.init(address="auto")` finds the cluster (RAY_ADDRESS names another). A task whose node goes away is run again
elsewhere and goes on where it was. Exit status: 0 only if every part succeeded. Run it again to do what is left.
"""
import subprocess
import sys

import ray

COMMAND = [
    {{ command|json }}, "batch", {{ pipeline|json }}, {{ list|json }},
    "--output", {{ output|json }}, "--jobs", "{{ jobs }}", "--quiet",
    {%- for arg in more %}
    {{ arg|json }},
    {%- endfor %}
]
ENVIRONMENT = {
    {%- for name, value in environment %}
    {{ name|json }}: {{ value|json }},
    {%- endfor %}
}
SHARDS = {{ shards }}


@ray.remote(num_cpus={{ cpus }}, max_retries=5)
def part(index):
    """Does one part; its number, exit status and last words."""
    import os
    run = subprocess.run(
        COMMAND + ["--shard", f"{index}/{SHARDS}"], env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    return index, run.returncode, run.stdout


def main():
    ray.init(address="auto")
    waiting, failed = [part.remote(index) for index in range(SHARDS)], 0
    while waiting:
        ready, waiting = ray.wait(waiting)
        for task in ready:
            try:
                index, status, said = ray.get(task)
            except ray.exceptions.RayError as e:
                failed += 1
                print(f"a part was lost for good: {e}", flush=True)
                continue
            failed += status != 0
            print(f"part {index}: {'done' if status == 0 else f'FAILED ({status})'}\n{said}", flush=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
