#!/usr/bin/env bash
# Installs what building and running Earmark needs and this machine lacks; a second run only checks.
#   scripts/setup.sh            for `make demo`
#   scripts/setup.sh tests      for `make test`: that, and what only tests use
#   scripts/setup.sh lite2      for comparisons of encoders: what `make demo` needs, and EfficientNet-Lite2
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf 'setup: %s\n' "$*" >&2; }
fail() { say "$@"; exit 1; }

RUST=1.92 PYTHON=3.11 GSTREAMER=1.22
PACKAGES=(
  build-essential pkg-config
  libgstreamer1.0-dev libgstreamer-plugins-base1.0-dev gstreamer1.0-tools
  gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-bad gstreamer1.0-plugins-ugly gstreamer1.0-libav
  libhdf5-dev
  ffmpeg            # messages name it where a recording must be converted
  graphviz          # `earmark graph` draws with it
  gstreamer1.0-alsa # microphones, for pipelines/live_camera.yaml
)
FOR_TESTS=(
  espeak-ng         # fixtures/make_kitchen.py speaks with it
  tesseract-ocr tesseract-ocr-eng # tests/answerer.py reads images with it
  strace            # the tests watch with it that nothing leaves
  python3-gi gir1.2-gstreamer-1.0 gir1.2-gst-plugins-base-1.0 # a program in the guide uses them
  gir1.2-gst-rtsp-server-1.0 mosquitto # the camera and the broker of the tests
)
case ${1:-} in
  '' | lite2) TOOLS=() ;;
  tests)
    PACKAGES+=("${FOR_TESTS[@]}")
    TOOLS=(espeak-ng tesseract)
    ;;
  *) fail "'$1' is nothing to set up; say nothing, 'tests' or 'lite2'" ;;
esac

# at_least FOUND WANTED: is version FOUND at least WANTED?
at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

check_rust() {
  command -v cargo rustc >/dev/null || fail "Rust $RUST or newer is missing: install it from https://rustup.rs"
  local found
  found=$(rustc --version | cut -d ' ' -f 2)
  at_least "$found" "$RUST" || fail "Rust $found is too old, $RUST or newer is needed: run 'rustup update stable'"
}

check_python() {
  command -v python3 >/dev/null || fail "python3 is missing: install Python $PYTHON or newer"
  local found
  found=$(python3 -c 'import platform; print(platform.python_version())')
  at_least "$found" "$PYTHON" || fail "Python $found is too old, $PYTHON or newer is needed"
}

has_venv() { python3 -c 'import ensurepip, venv' 2>/dev/null; }

system_packages() {
  has_venv || PACKAGES+=(python3-venv)
  if command -v apt-get >/dev/null; then
    apt_packages
  else
    other_system
  fi
}

apt_packages() {
  local package missing=()
  for package in "${PACKAGES[@]}"; do
    case $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) in
      installed) ;;
      *) missing+=("$package") ;;
    esac
  done
  [ ${#missing[@]} -gt 0 ] || return 0

  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    command -v sudo >/dev/null || fail "neither root nor sudo: have an administrator run 'apt-get install ${missing[*]}'"
    root=(sudo)
  fi
  scripts/step.sh packages "reading apt-get's lists" "${root[@]}" apt-get update -q ||
    say "apt-get update failed; trying with the lists already here"
  scripts/step.sh packages "installing ${missing[*]}" \
    "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "${missing[@]}" ||
    fail "apt-get could not install the packages named above"
  has_venv || fail "python3 at $(command -v python3) cannot make virtual environments: put Debian's /usr/bin first in PATH"
}

# What apt-get brings may be too old, and the compiler would say so only after minutes.
check_gstreamer() {
  local found
  found=$(pkg-config --modversion gstreamer-1.0 2>/dev/null) || fail "pkg-config doesn't find gstreamer-1.0: is PKG_CONFIG_PATH right?"
  at_least "$found" "$GSTREAMER" ||
    fail "GStreamer $found is too old, $GSTREAMER or newer is needed: Debian 12, Ubuntu 23.04, Fedora 38 and newer ones have it"
}

# Without apt-get: name what is missing and how it is called elsewhere.
other_system() {
  local missing=() module tool plugin
  for tool in cc pkg-config gst-launch-1.0 gst-inspect-1.0 ffmpeg dot "${TOOLS[@]}"; do
    command -v "$tool" >/dev/null || missing+=("the command $tool")
  done
  for module in gstreamer-1.0 gstreamer-base-1.0 gstreamer-app-1.0 gstreamer-audio-1.0 gstreamer-video-1.0 gstreamer-pbutils-1.0 \
    gstreamer-check-1.0; do
    pkg-config --atleast-version="$GSTREAMER" "$module" 2>/dev/null || missing+=("$module $GSTREAMER or newer, for pkg-config")
  done
  command -v h5cc >/dev/null || pkg-config --exists hdf5 2>/dev/null || missing+=("the HDF5 headers and library")
  if command -v gst-inspect-1.0 >/dev/null; then
    for plugin in playback isomp4 videoparsersbad x264 libav; do
      gst-inspect-1.0 --exists "$plugin" 2>/dev/null || gst-inspect-1.0 "$plugin" >/dev/null 2>&1 ||
        missing+=("the GStreamer plugin $plugin")
    done
  fi
  has_venv || missing+=("Python's venv module")
  [ ${#missing[@]} -gt 0 ] || return 0

  say "this system has no apt-get, so these must be installed by hand first:"
  printf '  - %s\n' "${missing[@]}" >&2
  cat >&2 <<END
They come with:
  Debian, Ubuntu  ${PACKAGES[*]}
  Fedora          gcc pkgconf gstreamer1-devel gstreamer1-plugins-base-devel gstreamer1-plugins-base-tools gstreamer1-plugins-good
                  gstreamer1-plugins-bad-free gstreamer1-plugins-ugly (RPM Fusion) gstreamer1-plugin-libav hdf5-devel hdf5
                  ffmpeg (RPM Fusion) espeak-ng tesseract graphviz python3
  Arch            base-devel gstreamer gst-plugins-base gst-plugins-good gst-plugins-bad gst-plugins-ugly gst-libav hdf5
                  ffmpeg espeak-ng tesseract tesseract-data-eng graphviz python
  macOS           brew install pkgconf gstreamer hdf5 ffmpeg espeak-ng graphviz python
END
  exit 1
}

# The virtual environment builds and checks the models, carries ONNX Runtime, and reads HDF5 files in the tests.
virtual_environment() {
  local venv=models/built/venv wanted=models/requirements.txt
  cmp -s "$wanted" "$venv/requirements.installed" && return 0
  rm -rf "$venv"
  python3 -m venv "$venv" || fail "python3 could not make a virtual environment in $venv"
  scripts/step.sh python "installing the packages of $wanted into $venv" \
    "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes --only-binary :all: --no-deps -r "$wanted" ||
    fail "pip could not install $wanted; is there a network?"
  cp "$wanted" "$venv/requirements.installed"
}

# What the tests of the Python package and the guide's notebooks need besides, in the same environment.
test_packages() {
  local venv=models/built/venv wanted=python/requirements.txt
  cmp -s "$wanted" "$venv/test-requirements.installed" && return 0
  scripts/step.sh python "installing the packages of $wanted into $venv" \
    "$venv/bin/python" -m pip install --disable-pip-version-check --require-hashes --only-binary :all: --no-deps --no-compile -r "$wanted" ||
    fail "pip could not install $wanted; is there a network?"
  cp "$wanted" "$venv/test-requirements.installed"
}

check_rust
check_python
system_packages
check_gstreamer
mkdir -p models/built
if command -v flock >/dev/null; then # two runs at once take turns
  exec 9>models/built/.lock
  flock 9
fi
virtual_environment
[ "${1:-}" != tests ] || test_packages
OPTIONAL=()
[ "${1:-}" != lite2 ] || OPTIONAL=(efficientnet-lite2)
scripts/step.sh models "fetching and checking the models" models/built/venv/bin/python models/build.py --check "${OPTIONAL[@]}"
