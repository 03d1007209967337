#!/bin/sh
# Makes every Secret that the overlays name and nobody else makes:
#   k8s/secrets.sh FOLDER && kubectl apply --server-side -f FOLDER/secrets.yaml
# The folder keeps passwords and keys for the next time: what is there stays, and what a new service wants is
# added. It belongs into a vault, and not into the tree. `users.json` in it is no secret: the public key for
# the ConfigMap `policy`.
#
#   NATS_ADDRESS            where the broker is, if it is your own
#   DATABASE_URL_ORDERS, …  where a service's database is, if PostgreSQL is your own
#   BACKUP_ACCESS_KEY, BACKUP_SECRET_KEY   of the store that backups go to
set -eu
if [ $# -ne 1 ]; then
    echo "usage: $0 FOLDER" >&2
    exit 64
fi
umask 077
mkdir -p "$1"
folder=$(cd "$1" && pwd)
cd "$(dirname "$0")/.."
broker=${NATS_ADDRESS:-nats.shop.svc.cluster.local:4222}
passwords=$folder/passwords
touch "$passwords"

variable() { printf '%s_%s' "$1" "$(printf %s "$2" | tr 'a-z-' 'A-Z_')"; }
value() { eval "printf %s \"\${$1:-}\""; }
# A user's password: digits and letters, so that it means itself wherever it stands.
password() {
    name=$(variable NATS_PASSWORD "$1")
    grep -q "^$name=." "$passwords" ||
        printf '%s=%s\n' "$name" "$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')" >>"$passwords"
    sed -n "s/^$name=//p" "$passwords"
}
begin() {
    printf -- '---\napiVersion: v1\nkind: Secret\nmetadata:\n  name: %s\n  namespace: shop\nstringData:\n' "$1"
}
entry() { printf "  %s: '%s'\n" "$1" "$(printf %s "$2" | sed "s/'/''/g")"; }
# Each line ends with one, whether or not the last one of a file does.
text() { printf '  %s: |\n' "$1" && awk '{ print "    " $0 }'; }

${MESHCTL:-cargo mesh} provision keys --keys "$folder/keys" >&2
cp "$folder/keys/operator/users.json" "$folder/users.json"

users=$(sed -n 's/^ *user: "\([a-z-]*\)".*/\1/p' nats/generated/users.conf)
{
    filled=$(cat nats/generated/users.conf)
    for user in $users; do
        password=$(password "$user")
        # The operator's is that of the Job that makes streams.
        case $user in meshctl) begin streams-nats ;; *) begin "$user-nats" ;; esac
        entry url "nats://$user:$password@$broker"
        name=$(variable NATS_PASSWORD "$user")
        filled=$(printf '%s\n' "$filled" | sed "s/\\\$$name\$/\"$password\"/")
    done
    begin nats-auth
    printf 'authorization {\n%s\n}\n' "$filled" | text auth.conf
    for keys in "$folder"/keys/*/; do
        service=$(basename "$keys")
        for file in "$keys"*; do
            case "$service/$(basename "$file")" in
            operator/* | */service.key | */keys.json | */users.json) continue ;;
            esac
            begin "$service-secrets"
            text "$(basename "$file")" <"$file"
        done
    done
    for file in k8s/generated/databases/*.yaml; do
        service=$(basename "$file" .yaml)
        url=$(value "$(variable DATABASE_URL "$service")")
        [ "$service" = kustomization ] || [ -z "$url" ] || { begin "$service-database-app" && entry uri "$url"; }
    done
    if [ -n "${BACKUP_ACCESS_KEY:-}" ] && [ -n "${BACKUP_SECRET_KEY:-}" ]; then
        begin backups
        entry access-key "$BACKUP_ACCESS_KEY"
        entry secret-key "$BACKUP_SECRET_KEY"
    fi
} >"$folder/secrets.yaml.new"
mv "$folder/secrets.yaml.new" "$folder/secrets.yaml"
echo "  $(grep -c '^kind: Secret' "$folder/secrets.yaml") secrets in $folder/secrets.yaml"
