#!/usr/bin/env bash
# Translates a few captions with the bundled model and draws what it attends to. Needs no network.
# Usage: examples/demo.sh [FOLDER]   (where the picture goes, build/demo unless given)
set -euo pipefail
export HF_HUB_OFFLINE=1
out="${1:-build/demo}"
captions="$(dirname "$0")/captions.en.txt"

echo "English"
sed 's/^/  /' "$captions"
for language in de:German fr:French cs:Czech; do
    echo "${language#*:}"
    qkv translate --from en --to "${language%%:*}" < "$captions" | sed 's/^/  /'
done

echo
qkv explain multi30k "$(head -n 1 "$captions")" --from en --to de --out "$out/attention.png" --force
