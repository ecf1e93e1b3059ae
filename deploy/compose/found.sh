#!/bin/sh
# Founds the mesh of compose.yml once: four nodes, HTTP on each, one token for Prometheus.
set -eu
mesh=${MESH:-/var/lib/ambient}
shown=${SHOWN:-/run/ambient}
draft=$mesh/draft
whole=$mesh/whole
if [ ! -e "$mesh/node1" ] && [ ! -e "$whole" ]; then
  rm -rf "$draft"  # of a founding that was cut off
  ambientctl cluster create "$draft" --members 4
  for number in 1 2 3 4; do
    # The first is published to this machine alone; what scrapes the others is beside them.
    host=127.0.0.1
    [ "$number" -ne 1 ] || host=0.0.0.0
    options="enabled = true\nlisten = \"$host:448$((number - 1))\""
    options="$options\nbehind_proxy = true\ntokens = \"../http.tokens\""
    sed -i "s|^\[http\]\$|[http]\n$options|" "$draft/node$number/config.toml"
  done
  sync -f "$mesh"
  mv -T "$draft" "$whole"
fi
if [ -e "$whole" ]; then
  for number in 1 2 3 4; do
    [ ! -e "$whole/node$number" ] || mv -T "$whole/node$number" "$mesh/node$number"
  done
  rmdir "$whole"
fi
if [ ! -e "$shown/prometheus.token" ]; then
  # Not straight into the file: one without a token would count as founded the next time.
  token=$(ambientctl --data-dir "$mesh/node1" token create prometheus --scope read \
    --expires-in 31536000 --quiet)
  echo "$token" > "$shown/prometheus.token"
  chmod 0444 "$shown/prometheus.token"
fi
