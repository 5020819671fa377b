#!/bin/sh
# Builds build/tools/helm and build/tools/kube-score, which the chart's checks use. Needs Go and a Go module proxy.
# Does nothing while both are newer than this script.
set -eu

cd "$(dirname "$0")/.."
tools="$PWD/build/tools"

PATH="$PATH:/usr/local/go/bin" # where Go's own installer puts it; often missing in a non-login shell

if [ -x "$tools/helm" ] && [ -x "$tools/kube-score" ] && [ -z "$(find "$0" -newer "$tools/kube-score" 2>/dev/null)" ]; then
    echo "charts: helm and kube-score are up to date"
    exit 0
fi

command -v go >/dev/null || {
    echo "charts: Go is not installed or not on PATH; install Go 1.26 or newer, then run this again" >&2
    exit 1
}

# nice: a build takes every core for minutes, and often runs beside tests.
GOBIN="$tools" nice -n 10 go install -ldflags "-s -w" helm.sh/helm/v4/cmd/helm@v4.3.2
GOBIN="$tools" nice -n 10 go install -ldflags "-s -w" github.com/zegl/kube-score/cmd/kube-score@v1.20.0
touch "$tools/helm" "$tools/kube-score"
echo "charts: helm and kube-score are in build/tools"
