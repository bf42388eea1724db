#!/bin/bash
# Written by `earmark batch --emit slurm`: {{ recordings }} recordings in {{ shards }} parts. Submit it with sbatch; submit it again to do what
# is left. A node that goes away takes nothing with it: its part is queued again and goes on where it was.
#SBATCH --job-name=earmark
#SBATCH --array=0-{{ shards - 1 }}
#SBATCH --cpus-per-task={{ cpus }}
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --output={{ output }}/slurm-%A_%a.log
{%- for name, value in environment %}
export {{ name }}={{ value|sh }}
{%- endfor %}

exec {{ command|sh }} batch {{ pipeline|sh }} {{ list|sh }} --output {{ output|sh }} --jobs {{ jobs }}{% for arg in more %} {{ arg|sh }}{% endfor %}
