#!/usr/bin/env bash
# In the container: the shipped recording -> kitchen.h5 and kitchen.html in the working directory, or in the folder that is named.
set -euo pipefail
here=$(cd "$(dirname "$0")/.." && pwd)
demo=$here/share/earmark/demo
folder=${1:-.}
"$here/bin/earmark" run gated --input "$demo/kitchen.mp4" --output "$folder/kitchen.h5" --overwrite --thumbnails
"$here/bin/earmark" report "$folder/kitchen.h5" --labels "$demo/kitchen.labels.csv" --output "$folder/kitchen.html" --overwrite
"$here/bin/earmark" inspect "$folder/kitchen.h5"
