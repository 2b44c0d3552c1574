#!/bin/sh
# Makes the keys and passwords that docker-compose.yml reads, once; what is there stays as it is.
#   sh deploy/secrets.sh
# keys.yaml holds the hashes of the others. The files are readable by all, since each container reads them
# as a user of its own; the folder lets nobody but you in.
set -eu
cd "$(dirname "$0")"
umask 077
mkdir -p secrets

random() { od -An -v -N32 -tx1 /dev/urandom | tr -d ' \n'; }
hash() { if command -v sha256sum >/dev/null; then sha256sum; else shasum -a 256; fi | cut -d ' ' -f 1; }

if [ ! -e secrets/keys.yaml ]; then
  echo 'keys:' > secrets/.keys
  for role in operator viewer user; do
    key=dpl_$(random)
    printf '%s' "$key" > "secrets/$role-key"
    printf '  - {name: %s, role: %s, sha256: "%s"}\n' "$role" "$role" "$(printf '%s' "$key" | hash)" >> secrets/.keys
  done
  mv secrets/.keys secrets/keys.yaml
fi
[ -e secrets/grafana-password ] || random > secrets/grafana-password
chmod 444 secrets/*

# Compose reads .env beside its file: without this line it says how to make the keys
touch ../.env
if ! grep -q '^DPL_SECRETS=' ../.env; then
  [ -z "$(tail -c 1 ../.env)" ] || echo >> ../.env # its last line has no end
  echo 'DPL_SECRETS=./deploy/secrets' >> ../.env
fi
echo "deploy/secrets/ has user-key for clients, operator-key for \`dpl\` (DPL_API_KEY), grafana-password for Grafana's admin" >&2
