#!/bin/sh
# Makes the root of the image: node, the libraries that it is linked to, and the few files of /etc that the C
# library asks for. What is not copied here is not in the image.
#
#   sh image-root.sh <folder>
set -eu
root=$1
node=/usr/local/bin/node

mkdir -p "$root/app" "$root/etc" "$root$(dirname "$node")"
cp "$(readlink -f "$(command -v node)")" "$root$node"
ldd "$root$node" | grep -o '/[^ ]*' | while read -r library; do
  cp --parents --dereference "$library" "$root"
done

printf 'mayfly:x:65532:65532::/app:/nonexistent\n' >"$root/etc/passwd"
printf 'mayfly:x:65532:\n' >"$root/etc/group"
printf 'hosts: files dns\n' >"$root/etc/nsswitch.conf"
