#!/bin/sh
# Builds build/tools/helm and build/tools/kube-score, which the chart's checks use, and fetches the definitions of
# custom resources into build/tools/crds. Needs Go and a Go module proxy. Does nothing while all are newer than this.
set -eu

cd "$(dirname "$0")/.."
tools="$PWD/build/tools"

PATH="$PATH:/usr/local/go/bin" # where Go's own installer puts it; often missing in a non-login shell

if [ -x "$tools/helm" ] && [ -x "$tools/kube-score" ] && [ -d "$tools/crds" ] &&
    [ -z "$(find "$0" -newer "$tools/kube-score" 2>/dev/null)" ]; then
    echo "charts: helm, kube-score and the definitions are up to date"
    exit 0
fi

command -v go >/dev/null || {
    echo "charts: Go is not installed or not on PATH; install Go 1.26 or newer, then run this again" >&2
    exit 1
}

# nice: a build takes every core for minutes, and often runs beside tests.
GOBIN="$tools" nice -n 10 go install -ldflags "-s -w" helm.sh/helm/v4/cmd/helm@v4.3.2
GOBIN="$tools" nice -n 10 go install -ldflags "-s -w" github.com/zegl/kube-score/cmd/kube-score@v1.20.0

# What defines ServiceMonitor, PrometheusRule and ScaledObject is in the modules of the projects that define them.
files() {
    directory=$(go mod download -json "$1" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
    shift
    for file in "$@"; do install -m 644 "$directory/$file" "$tools/crds.part/"; done
}
rm -rf "$tools/crds.part" "$tools/crds"
mkdir "$tools/crds.part"
files github.com/prometheus-operator/prometheus-operator@v0.93.0 \
    example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml \
    example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml
files github.com/kedacore/keda/v2@v2.21.0 config/crd/bases/keda.sh_scaledobjects.yaml
mv "$tools/crds.part" "$tools/crds"

touch "$tools/helm" "$tools/kube-score"
echo "charts: helm, kube-score and the definitions are in build/tools"
