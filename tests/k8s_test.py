#!/usr/bin/env python3
"""Holds what `earmark batch --emit k8s` writes against Kubernetes' own JSON schema of a Job.

    k8s_test.py EARMARK PIPELINE.yaml RECORDINGS WORK

Also says what the schema can't: that the parts are counted alike everywhere, and that every path lies below the volume. Skips, saying so,
where kubernetes-validate is missing (pip install kubernetes-validate).
"""
import pathlib, shutil, subprocess, sys

try:
    import kubernetes_validate, yaml
except ImportError as e:
    sys.exit(print(f"skipped: {e} (pip install kubernetes-validate)"))

earmark, pipeline, recordings, work = (str(pathlib.Path(p).resolve()) for p in sys.argv[1:])
shutil.rmtree(work, ignore_errors=True)
text = subprocess.run([earmark, "batch", pipeline, recordings, "--output", f"{work}/out", "--emit", "k8s", "--parts", "3", "--jobs", "2", "--quiet"],
                      stdout=subprocess.PIPE, text=True, check=True).stdout
job = yaml.safe_load(text)
# The oldest with backoffLimitPerIndex on by default, and the newest there is.
for version in ("1.29", kubernetes_validate.latest_version()):
    used = kubernetes_validate.validate(job, version, strict=True)
    print(f"valid by the schema of Kubernetes {used or version}")
spec, pod = job["spec"], job["spec"]["template"]["spec"]
container = pod["containers"][0]
assert spec["completions"] == spec["parallelism"] == int({e["name"]: e["value"] for e in container["env"]}["EARMARK_SHARDS"]) == 3
mount = container["volumeMounts"][0]["mountPath"]
for path in (pipeline, recordings, f"{work}/out/recordings.jsonl"):
    print(f"{path} lies {'below' if path.startswith(mount.rstrip('/') + '/') else 'NOT below'} {mount}")
# It must notice what is wrong.
job["spec"]["completionMod"] = job["spec"].pop("completionMode")
try:
    kubernetes_validate.validate(job, "1.29", strict=True)
except kubernetes_validate.ValidationError:
    sys.exit(0)
sys.exit("the schema takes a key that there is not")
