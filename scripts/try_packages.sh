#!/usr/bin/env bash
# Tries the Debian package and the container's steps in clean Debian trees: try_packages.sh deb|container. Needs root and debootstrap.
#   deb        installs target/debian/earmark_*.deb with its dependencies, runs the shipped recording, and removes it again; nothing stays.
#   container  runs the steps of Containerfile, each stage in a tree of its own, with this machine's Rust for the image's.
# Packages come from where this machine's apt gets them. The trees are in TREES=target/trees and are deleted when all went well.
set -euo pipefail
cd "$(dirname "$0")/.."

TREES=${TREES:-$PWD/target/trees}
say() { printf 'packages: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

[ "$(id -u)" = 0 ] || fail "must run as root: it makes trees and enters them"
command -v debootstrap >/dev/null || fail "debootstrap is missing: apt-get install debootstrap"

# mirror: where apt gets packages here.
mirror() { apt-get indextargets --format '$(REPO_URI)' | head -n 1; }

mounted=()
leave() {
  local i
  for ((i = ${#mounted[@]} - 1; i >= 0; i--)); do umount -l "${mounted[i]}" || true; done
  mounted=()
}
trap leave EXIT

# mount_into TREE SOURCE PLACE: SOURCE is seen at PLACE in the tree.
mount_into() {
  mkdir -p "$1$3"
  mount --rbind "$2" "$1$3"
  mounted+=("$1$3")
}

# tree NAME: a clean Debian 12 in $TREES/NAME; prints its path.
tree() {
  local root=$TREES/$1
  if [ ! -e "$root/clean" ]; then
    rm -rf "$root"
    mkdir -p "$root"
    say "$1: a clean Debian tree"
    debootstrap --variant=minbase bookworm "$root" "$(mirror)" >"$TREES/$1.log" || fail "debootstrap failed: $TREES/$1.log"
    # Nothing that is tried here needs to survive a power cut.
    echo force-unsafe-io >"$root/etc/dpkg/dpkg.cfg.d/unsafe-io"
    touch "$root/clean"
  fi
  echo "$root"
}

# inside TREE COMMAND...: runs it in the tree, without this machine's environment.
inside() {
  local root=$1
  shift
  chroot "$root" /usr/bin/env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin DEBIAN_FRONTEND=noninteractive "$@"
}

# files TREE: everything in it but what apt and the system keep for themselves.
files() { (cd "$1" && find etc opt usr var/lib -xdev -not -path 'var/lib/apt/*' -not -path 'var/lib/dpkg/*' -not -path 'var/lib/systemd/*' | sort); }

try_deb() {
  local deb root before
  deb=$(ls -t target/debian/earmark_*.deb 2>/dev/null | head -n 1)
  [ -n "$deb" ] || fail "no target/debian/earmark_*.deb: run 'make deb' first"
  root=$(tree deb)
  mount_into "$root" /proc /proc
  mount_into "$root" /dev /dev
  cp "$deb" "$root/earmark.deb"
  cp fixtures/kitchen.mp4 "$root/kitchen.mp4"
  say "deb: its dependencies, then the package"
  inside "$root" apt-get update -q >"$TREES/deb.log"
  # Dependencies first, so that what the package itself leaves can be told from what they leave.
  inside "$root" apt-get install -y -q --no-install-recommends /earmark.deb >>"$TREES/deb.log" 2>&1 || fail "apt-get cannot install it: $TREES/deb.log"
  inside "$root" apt-get purge -y -q earmark >>"$TREES/deb.log" 2>&1
  before=$(files "$root")
  inside "$root" apt-get install -y -q --no-install-recommends /earmark.deb >>"$TREES/deb.log" 2>&1
  say "deb: runs the shipped recording"
  inside "$root" earmark doctor
  inside "$root" earmark run gated --input /kitchen.mp4 --output /tmp/kitchen.h5 --overwrite --quiet
  inside "$root" earmark verify /tmp/kitchen.h5
  inside "$root" earmark inspect /tmp/kitchen.h5 >/dev/null
  inside "$root" man -w earmark >/dev/null 2>&1 || [ -e "$root/usr/share/man/man1/earmark.1.gz" ] || fail "the package has no man page"
  for element in eventness anchorgate framepick featuresink; do
    inside "$root" gst-inspect-1.0 "$element" >/dev/null 2>&1 ||
      { [ ! -x "$root/usr/bin/gst-inspect-1.0" ] || fail "gst-inspect-1.0 does not find $element"; }
  done
  inside "$root" apt-get purge -y -q earmark >>"$TREES/deb.log" 2>&1
  diff <(echo "$before") <(files "$root" | grep -v -e '/\.cache' ) || fail "the package leaves or takes files (above)"
  leave
  rm -rf "$root"
  say "deb: installed, run and removed; nothing was left"
}

# steps STAGE: the RUN lines of a stage of Containerfile, joined; stage 1 builds, stage 2 runs.
steps() {
  awk -v stage="$1" '
    /^FROM /{n++; next}
    n != stage {next}
    /^RUN /{on = 1; sub(/^RUN /, "")}
    on {line = $0; more = sub(/\\$/, "", line); text = text line; if (!more) {print text; text = ""; on = 0}}' Containerfile
}

try_container() {
  local build run toolchain
  build=$(tree build)
  mount_into "$build" /proc /proc
  mount_into "$build" /dev /dev
  # The image of the first stage has Rust and a C compiler.
  toolchain=$(rustc --print sysroot)
  mount_into "$build" "$toolchain" /usr/local/rust
  mkdir -p "$build/src"
  git archive HEAD | tar -x -C "$build/src"
  say "container: the stage that builds"
  inside "$build" apt-get update -q >"$TREES/build.log"
  inside "$build" apt-get install -y -q --no-install-recommends gcc libc6-dev ca-certificates >>"$TREES/build.log" 2>&1
  # Certificates, pip and cargo as they are set up here.
  cp /etc/ssl/certs/ca-certificates.crt "$build/etc/ssl/certs/"
  for place in /etc/pip.conf /root/.config/pip /root/.cargo/config.toml; do
    [ ! -e "$place" ] || { mkdir -p "$build$(dirname "$place")" && cp -r "$place" "$build$place"; }
  done
  steps 1 | while read -r step; do
    inside "$build" sh -ec "export PATH=/usr/local/rust/bin:\$PATH; cd /src; $step" >>"$TREES/build.log" 2>&1 </dev/null ||
      fail "a step failed: $TREES/build.log"
  done
  run=$(tree run)
  mount_into "$run" /proc /proc
  mount_into "$run" /dev /dev
  mkdir -p "$run/opt"
  cp -a "$build/opt/earmark" "$run/opt/"
  say "container: the stage that runs"
  steps 2 | while read -r step; do
    case $step in
      *'earmark doctor'*) inside "$run" su earmark -s /bin/sh -c "export PATH=/opt/earmark/bin:\$PATH; cd /data; $step" </dev/null ;;
      *) inside "$run" sh -ec "$step" >>"$TREES/run.log" 2>&1 </dev/null ;;
    esac || fail "a step failed: $step (see $TREES/run.log)"
  done
  inside "$run" su earmark -s /bin/sh -c 'export PATH=/opt/earmark/bin:$PATH; cd /data && earmark-demo && earmark verify kitchen.h5'
  leave
  rm -rf "$build" "$run"
  say "container: both stages work; the demo ran as a user other than root"
}

case ${1:-} in
  deb) try_deb ;;
  container) try_container ;;
  *) fail "say deb or container" ;;
esac
