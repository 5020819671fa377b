#!/bin/sh
# Builds build/stack/{prometheus,promtool,alertmanager,amtool} in the versions of compose.yaml, which are newer than a
# distribution's. Needs Go and a Go module proxy. CHARTER_TEST_STACK=build/stack lets the tests take them.
# Loki and Tempo are not among them: they are under the AGPL, and tests use the ones that somebody has installed.
set -eu

cd "$(dirname "$0")/../.."
tools="$PWD/build/stack"

PATH="$PATH:/usr/local/go/bin" # where Go's own installer puts it; often missing in a non-login shell

if [ -x "$tools/promtool" ] && [ -x "$tools/amtool" ] && [ -z "$(find "$0" compose.yaml -newer "$tools/promtool" 2>/dev/null)" ]; then
    echo "stack: $tools is up to date"
    exit 0
fi

command -v go >/dev/null || {
    echo "stack: Go is not installed or not on PATH; install Go 1.26 or newer, then run this again" >&2
    exit 1
}

# Prometheus's modules count from v0.300 for its version 3.
pinned() { sed -n "s|.*image: prom/$1:v\([0-9.]*\)$|\1|p" compose.yaml; }
three=$(pinned prometheus | sed 's/^3\.//')
sources=$(mktemp -d)
trap 'chmod -R u+w "$sources" && rm -rf "$sources"' EXIT
mkdir -p "$tools"

# `build MODULE VERSION TAGS COMMAND…` builds in a copy of the module, so that its own replacements hold.
build() {
    module=$1 version=$2 tags=$3
    shift 3
    place=$(go mod download -json "$module@$version" | sed -n 's/.*"Dir": "\(.*\)",*$/\1/p')
    cp -r "$place" "$sources/made"
    chmod -R u+w "$sources/made"
    # The pages of Alertmanager are not in its module; it serves what is in this directory.
    [ ! -e "$sources/made/ui/web.go" ] || mkdir -p "$sources/made/ui/app/dist/elm" "$sources/made/ui/app/dist/mantine"
    for page in "$sources/made/ui/app/dist"/*; do [ ! -d "$page" ] || echo "no pages" >"$page/index.html"; done
    # nice: a build takes every core for minutes, and often runs beside tests.
    (cd "$sources/made" && GOWORK=off nice -n 10 go build -tags "$tags" -o "$tools/" \
        -ldflags "-s -w -X github.com/prometheus/common/version.Version=${version#v}" "$@")
    rm -rf "$sources/made"
}

build github.com/prometheus/alertmanager "v$(pinned alertmanager)" netgo ./cmd/alertmanager ./cmd/amtool
# Without service discovery: it is most of the code, and the tests name their targets.
build github.com/prometheus/prometheus "v0.3$(printf '%02d' "${three%%.*}").${three#*.}" netgo,remove_all_sd ./cmd/prometheus ./cmd/promtool
touch "$tools"/*
echo "stack: prometheus, promtool, alertmanager and amtool are in build/stack"
