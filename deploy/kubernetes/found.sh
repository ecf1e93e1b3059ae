#!/bin/sh
# Founds a cluster for the chart: found.sh FOLDER [MEMBERS [RELEASE [NAMESPACE]]]
# Writes each member's folder, packed, below FOLDER, and says which commands bring them in.
set -eu
folder=${1:?say which folder: found.sh FOLDER [MEMBERS [RELEASE [NAMESPACE]]]}
members=${2:-4}
release=${3:-ambient}
namespace=${4:-default}
ambientctl cluster create "$folder" --members "$members" --bitcoin off --base-port 4400 \
  --host "$release-{}.$release.$namespace.svc" --quiet > /dev/null
umask 077
files=""
number=1
while [ "$number" -le "$members" ]; do
  # Pods are read by Prometheus inside the cluster alone, as the NetworkPolicy has it.
  options='enabled = true\nlisten = "0.0.0.0:4480"\nbehind_proxy = true'
  sed -i "s/^\[http\]\$/[http]\n$options/" "$folder/node$number/config.toml"
  tar -cf "$folder/$number.tar" -C "$folder/node$number" .
  files="$files --from-file=$folder/$number.tar"
  number=$((number + 1))
done
echo "kubectl --namespace $namespace create secret generic $release-founding$files"
echo "helm --namespace $namespace install $release deploy/chart --set members.count=$members" \
  "--set members.foundingSecret=$release-founding"
echo "rm -r $folder  # once the members run: these are their keys"
