#!/bin/sh
# Makes a password for everything that compose.yaml wants one for, in `.env` beside it, which docker
# compose reads and git does not. What is there stays: run it again when a service was added.
#
# A database knows the password it was made with: `.env` and the volumes belong together.
set -eu
cd "$(dirname "$0")/.."
umask 077
touch .env
grep -o '\${[A-Z0-9_]*:?' compose.yaml | tr -d '${:?' | sort -u | while read -r name; do
    if ! grep -q "^$name=." .env; then
        printf '%s=%s\n' "$name" "$(head -c 24 /dev/urandom | od -An -tx1 | tr -d ' \n')" >>.env
        echo "made $name"
    fi
done
