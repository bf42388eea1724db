#!/usr/bin/env bash
# Installs the command, the plugin, models, pipelines and ONNX Runtime under PREFIX, or takes exactly those files away.
#   scripts/install.sh install|uninstall      PREFIX=/usr/local   DESTDIR=   PLUGIN_LINK=no
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*"; }
fail() { printf 'install: %s\n' "$*" >&2; exit 1; }

PREFIX=${PREFIX:-/usr/local} DESTDIR=${DESTDIR:-} PLUGIN_LINK=${PLUGIN_LINK:-no} TARGET=${CARGO_TARGET_DIR:-target}/release
case $PREFIX in
  /*) ;;
  *) fail "PREFIX is '$PREFIX', but must be an absolute path" ;;
esac
PREFIX=${PREFIX%/}
list=$PREFIX/share/earmark/installed.list # one line a path: f a file, d a folder that was not there before

# Where this machine's GStreamer looks for plugins, and the same place under PREFIX.
system_plugins=$(pkg-config --variable=pluginsdir gstreamer-1.0 2>/dev/null || true)
system_prefix=$(pkg-config --variable=prefix gstreamer-1.0 2>/dev/null || true)
case $system_plugins in
  "${system_prefix:-/usr}"/*) plugins=$PREFIX${system_plugins#"${system_prefix:-/usr}"} ;;
  *) plugins=$PREFIX/lib/gstreamer-1.0 ;;
esac

record() { printf '%s %s\n' "$1" "$2" >>"$DESTDIR$list"; }

# folder DIR: makes it and its parents, recording those that were not there.
folder() {
  [ -d "$DESTDIR$1" ] && return
  [ "$1" = / ] || folder "$(dirname "$1")"
  mkdir "$DESTDIR$1" 2>/dev/null || fail "cannot create $DESTDIR$1: may you write there?"
  new_folders+=("$1")
}

# put MODE SOURCE DIR: copies one file into DIR.
put() {
  folder "$3"
  install -m "$1" "$2" "$DESTDIR$3/" || fail "cannot write to $DESTDIR$3: may you write there?"
  files+=("$3/$(basename "$2")")
}

# link_plugin: with PLUGIN_LINK=yes, makes GStreamer find the plugin without GST_PLUGIN_PATH where PREFIX is not GStreamer's own. That
# writes outside PREFIX, so it is only done when asked for.
link_plugin() {
  local from=$plugins/libgstearmark.so into
  [ "$plugins" = "$system_plugins" ] && return
  if [ -n "$DESTDIR" ] || [ "$PLUGIN_LINK" != yes ]; then
    say "For GStreamer's own tools: export GST_PLUGIN_PATH=$plugins (or install with PLUGIN_LINK=yes, which puts a link where they look)"
    return
  fi
  if [ -n "$system_plugins" ] && [ -w "$system_plugins" ]; then
    into=$system_plugins
  else
    into=${XDG_DATA_HOME:-$HOME/.local/share}/gstreamer-1.0/plugins # searched for this user
  fi
  if [ -e "$into/libgstearmark.so" ] && [ ! -L "$into/libgstearmark.so" ]; then
    say "$into/libgstearmark.so is there already and was left alone; GStreamer finds that one first."
    return
  fi
  folder "$into"
  ln -sfn "$from" "$into/libgstearmark.so"
  files+=("$into/libgstearmark.so")
  say "GStreamer finds the plugin through $into/libgstearmark.so"
}

install_all() {
  local file
  for file in "$TARGET/earmark" "$TARGET/libgstearmark.so"; do
    [ -f "$file" ] || fail "$file is missing: run 'make build' first"
  done
  for file in models/built/libonnxruntime.so models/built/*.onnx; do
    [ -f "$file" ] || fail "$file is missing: run 'make setup' first"
  done
  [ -e "$DESTDIR$list" ] && remove_all # what an earlier version left

  files=() new_folders=()
  folder "$PREFIX/share/earmark"
  put 755 "$TARGET/earmark" "$PREFIX/bin"
  put 644 "$TARGET/libgstearmark.so" "$plugins"
  put 644 models/built/libonnxruntime.so "$PREFIX/lib/earmark"
  for file in models/*.yaml; do put 644 "$file" "$PREFIX/share/earmark/models"; done
  for file in models/built/*.onnx models/built/*.csv; do put 644 "$file" "$PREFIX/share/earmark/models/built"; done
  for file in pipelines/*.yaml pipelines/schema.json; do put 644 "$file" "$PREFIX/share/earmark/pipelines"; done
  made=$(mktemp -d)
  "$TARGET/earmark" completions bash >"$made/earmark"
  "$TARGET/earmark" completions zsh >"$made/_earmark"
  "$TARGET/earmark" completions fish >"$made/earmark.fish"
  "$TARGET/earmark" man --output "$made/man" --quiet
  put 644 "$made/earmark" "$PREFIX/share/bash-completion/completions"
  put 644 "$made/_earmark" "$PREFIX/share/zsh/site-functions"
  put 644 "$made/earmark.fish" "$PREFIX/share/fish/vendor_completions.d"
  for file in "$made"/man/*.1; do put 644 "$file" "$PREFIX/share/man/man1"; done
  rm -r "$made"
  for file in README.md CHANGELOG.md LICENSE*; do
    [ -f "$file" ] && put 644 "$file" "$PREFIX/share/doc/earmark"
  done
  link_plugin

  for file in "${files[@]}"; do record f "$file"; done
  for file in "${new_folders[@]}"; do record d "$file"; done
  [ -z "$DESTDIR" ] || say "The licence of yamnet.onnx is not stated by its package: do not redistribute it."
  say "Installed ${#files[@]} files under $DESTDIR$PREFIX; 'make uninstall PREFIX=$PREFIX' takes them away."
}

remove_all() {
  local kind path folders=()
  [ -f "$DESTDIR$list" ] || fail "$DESTDIR$list is missing: nothing is installed under $DESTDIR$PREFIX"
  while read -r kind path; do
    case $kind in
      f) rm -f "$DESTDIR$path" ;;
      d) folders+=("$path") ;;
    esac
  done <"$DESTDIR$list"
  rm -f "$DESTDIR$list"
  # Deepest first; a folder that holds somebody else's file stays.
  printf '%s\n' "${folders[@]}" | sort -r | while read -r path; do
    [ -z "$path" ] || rmdir "$DESTDIR$path" 2>/dev/null || true
  done
}

case ${1:-} in
  install) install_all ;;
  uninstall)
    remove_all
    say "Removed Earmark from $DESTDIR$PREFIX."
    ;;
  *) fail "say install or uninstall" ;;
esac
