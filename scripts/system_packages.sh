#!/usr/bin/env bash
# Installs what is missing of ffmpeg, espeak-ng and Python 3.11 with its venv module, on Debian and Ubuntu, and fonts for
# subtitles in all scripts: Noto without its Chinese, Japanese and Korean (12 MB to fetch), and Droid Fallback for those
# (2 MB; fonts-noto-cjk looks better and has 57 MB). Without them letters a font lacks are painted as boxes.
# With the word "browser" also Chromium, in which some tests look at pages, and with "node" Node.js and npm, for a client
# that one test uploads with; where there are none, those tests are skipped. With "monitoring" also Prometheus and its
# promtool, for the tests of the alert rules. With "haproxy" also HAProxy, for the upgrades of an API behind one.
# Usage: scripts/system_packages.sh [PYTHON] [browser] [node] [monitoring] [haproxy]
set -euo pipefail
cd "$(dirname "$0")/.."
python=${1:-python3.11}
extras=" ${*:2} "

can_make_venvs() { "$python" -c 'import ensurepip, venv' 2>/dev/null; }

missing=()
command -v ffmpeg >/dev/null && command -v ffprobe >/dev/null || missing+=(ffmpeg)
command -v espeak-ng >/dev/null || missing+=(espeak-ng)
[ -x .venv/bin/pip ] || can_make_venvs || missing+=(python3.11 python3.11-venv)
has_browser() {
    local name
    for name in chromium chromium-browser google-chrome google-chrome-stable; do
        command -v "$name" >/dev/null && return 0
    done
    return 1
}
wanted=()
has_font() { command -v fc-list >/dev/null && [ -n "$(fc-list ":lang=$1" family)" ]; }
has_font th || wanted+=(fonts-noto-core)
has_font ja || wanted+=(fonts-droid-fallback)
[[ $extras == *" browser "* ]] && ! has_browser && wanted+=(chromium)
if [[ $extras == *" node "* ]]; then
    command -v node >/dev/null || wanted+=(nodejs)
    command -v npm >/dev/null || wanted+=(npm)
fi
if [[ $extras == *" monitoring "* ]]; then
    command -v prometheus >/dev/null && command -v promtool >/dev/null || wanted+=(prometheus)
fi
if [[ $extras == *" haproxy "* ]]; then
    command -v haproxy >/dev/null || [ -x /usr/sbin/haproxy ] || wanted+=(haproxy)
fi
[ ${#missing[@]} -eq 0 ] && [ ${#wanted[@]} -eq 0 ] && exit 0

as_root=()
if [ "$(id -u)" -ne 0 ]; then
    as_root=(sudo)
fi
if ! command -v apt-get >/dev/null || ! command -v "${as_root[0]:-true}" >/dev/null; then
    [ ${#missing[@]} -eq 0 ] && exit 0
    echo "Please install ${missing[*]} with your system's package manager, then run make again." >&2
    exit 1
fi
apt=("${as_root[@]+"${as_root[@]}"}" env DEBIAN_FRONTEND=noninteractive apt-get -qq)

echo "Installing ${missing[*]+"${missing[*]} "}${wanted[*]+"${wanted[*]} "}…"
"${apt[@]}" update
if [ ${#wanted[@]} -gt 0 ] && ! "${apt[@]}" install -y --no-install-recommends "${wanted[@]}" >/dev/null; then
    echo "apt-get could not install ${wanted[*]}: what needs them is left out." >&2
fi
if [ ${#missing[@]} -gt 0 ] && ! "${apt[@]}" install -y --no-install-recommends "${missing[@]}" >/dev/null; then
    echo "apt-get could not install ${missing[*]}. Where the distribution has no Python 3.11, install it another way" >&2
    echo "(pyenv, or Ubuntu's PPA deadsnakes) and run make PYTHON=/path/to/python3.11" >&2
    exit 1
fi
if [ ! -x .venv/bin/pip ] && ! can_make_venvs; then
    echo "$python has no venv module. Run make PYTHON=/path/to/python3.11 with a whole Python 3.11." >&2
    exit 1
fi
