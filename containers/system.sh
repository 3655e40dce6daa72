#!/usr/bin/env bash
# What a plane's image has of Debian. Usage (as root): containers/system.sh control|models
set -euo pipefail
case ${1:-} in
    # Fonts for subtitles that are burnt in, as scripts/system_packages.sh installs them.
    control) packages=(ffmpeg fontconfig fonts-noto-core fonts-droid-fallback) ;;
    models) packages=(ffmpeg espeak-ng libgomp1) ;;  # torchcodec loads FFmpeg's libraries
    *) echo "containers/system.sh control|models" >&2; exit 2 ;;
esac
export DEBIAN_FRONTEND=noninteractive
apt-get -qq update
apt-get -qq install -y --no-install-recommends "${packages[@]}" >/dev/null
rm -rf /var/lib/apt/lists/* /var/log/apt /var/log/dpkg.log
