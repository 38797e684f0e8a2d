#!/bin/sh
# Makes what docker-compose.yml needs and this repository cannot have: secrets, a certificate to try it with, a
# catalogue to begin with, and the brokers' settings. Nothing that exists is replaced.
#
#   sh deploy/prepare.sh <public host name> [folder]
#
# The folder is deploy/ unless named. Afterwards:
#   secrets/   mounted as files into the containers; keep a copy of kek where the database's backups are not
#   scopes/    the catalogue; put it under review like any code, and apply it with every change
#   broker.env the brokers' settings
#   clients/   private keys of the agent, the resource server and the two operators that the catalogue begins with;
#              move them to where those run, and to the people
set -eu
host=${1:?usage: sh deploy/prepare.sh <public host name> [folder]}
cd "$(dirname "$0")/.."
folder=${2:-deploy}
mayfly() { npm run --silent mayfly -- "$@"; }

for made in secrets scopes clients broker.env; do
  if [ -e "$folder/$made" ]; then
    echo "$folder/$made exists, and is left as it is. Remove secrets, scopes, clients and broker.env to begin anew." >&2
    exit 1
  fi
done

# Only their owner gets into these folders; within them, files can be read by the users of the containers, into
# which they are mounted one by one.
umask 077
mkdir -p "$folder"
mkdir "$folder/secrets" "$folder/clients"
secrets=$folder/secrets
secret() { cat >"$secrets/$1"; }

openssl rand -hex 24 | secret postgres_password
openssl rand -hex 24 | secret owner_password
openssl rand -hex 24 | secret application_password
# Between containers of one host, on a network that nothing else is on. To another machine: sslmode=verify-full.
options='sslmode=disable&plaintext=accepted'
echo "postgres://mayfly_owner:$(cat "$secrets/owner_password")@postgres:5432/mayfly?$options" | secret owner_database_url
echo "postgres://mayfly_app:$(cat "$secrets/application_password")@postgres:5432/mayfly?$options" | secret database_url
mayfly keys new-kek 2>/dev/null | secret kek

# Signed by itself: for trying. Put a real chain and its key in their place.
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj "/CN=$host" \
  -addext "subjectAltName=DNS:$host" -keyout "$secrets/front_key" -out "$secrets/front_certificate" 2>/dev/null
chmod 444 "$secrets"/*

umask 022
mkdir "$folder/scopes" "$folder/scopes/agents" "$folder/scopes/operators"
cp -R deploy/catalogue/. "$folder/scopes/"
mayfly agent new customers --print --key "$folder/clients/customers.private.jwk.json" |
  sed -n '/^keys:/{p;n;p;}' >>"$folder/scopes/resources/customers.yaml"
mayfly agent new report-writer --title 'Writes the weekly report' --owner data-platform --zone reporting \
  --action db:read:customers --directory "$folder/scopes" --key "$folder/clients/report-writer.private.jwk.json" \
  >/dev/null
# Two people: whoever engages the kill switch cannot release it.
mayfly operator new security-on-call --title 'Security on call' --role security --directory "$folder/scopes" \
  --key "$folder/clients/security-on-call.private.jwk.json" >/dev/null
mayfly operator new platform-admin --title 'Platform administrator' --role admin --directory "$folder/scopes" \
  --key "$folder/clients/platform-admin.private.jwk.json" >/dev/null
mayfly scopes check "$folder/scopes"

echo "MAYFLY_ISSUER=https://$host" >"$folder/broker.env"

echo "Made $folder/secrets, $folder/scopes, $folder/clients and $folder/broker.env. Next:"
echo "  docker compose up --build --detach"
