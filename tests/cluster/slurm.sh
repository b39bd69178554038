#!/usr/bin/env bash
# A real Slurm on loopback, all of it in one folder: `slurm.sh start FOLDER`, `slurm.sh stop FOLDER`. Needs root and Debian's packages
# slurm-wlm and munge, which `start` installs where they are missing. Clients find it by SLURM_CONF=FOLDER/slurm.conf.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=$2
export SLURM_CONF=$folder/slurm.conf
case "$1" in
start)
  command -v slurmctld >/dev/null && command -v munged >/dev/null || {
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq slurm-wlm munge >/dev/null
  }
  host=$(hostname -s)
  getent hosts "$host" >/dev/null || echo "127.0.0.1 $host" >>/etc/hosts
  mkdir -p "$folder"/{state,spool-n1,spool-n2,spool-n3,unseen}
  chmod 755 "$folder"
  dd if=/dev/urandom of="$folder/munge.key" bs=1 count=1024 2>/dev/null
  chmod 400 "$folder/munge.key"
  sed "s#HOST#$host#g; s#FOLDER#$folder#g" "$here/slurm.conf" >"$folder/slurm.conf"
  munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" --pid-file="$folder/munged.pid" \
    --log-file="$folder/munged.log" --seed-file="$folder/munged.seed"
  slurmctld -f "$folder/slurm.conf"
  slurmd -f "$folder/slurm.conf" -N n1
  slurmd -f "$folder/slurm.conf" -N n2
  unshare --mount sh -c "mount -t tmpfs none '$folder/unseen' && exec slurmd -f '$folder/slurm.conf' -N n3"
  for _ in $(seq 60); do
    [ "$(sinfo -h -N -t idle -o %N | sort -u | wc -l)" = 3 ] && exit 0
    sleep 1
  done
  sinfo >&2
  echo "the nodes did not become idle" >&2
  exit 1
  ;;
stop)
  scancel --user="$(id -u)" || true
  for name in slurmd-n1 slurmd-n2 slurmd-n3 slurmctld munged; do
    [ ! -f "$folder/$name.pid" ] || kill "$(cat "$folder/$name.pid")" || true
  done
  ;;
esac
