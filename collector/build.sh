#!/bin/sh
# Builds build/otelcol-charter from collector/builder.yaml with the OpenTelemetry Collector Builder.
# Needs Go and a Go module proxy. Does nothing while the binary is newer than this script and the manifest.
set -eu

cd "$(dirname "$0")/.."
manifest=collector/builder.yaml
binary=build/otelcol-charter
work=build/collector

PATH="$PATH:/usr/local/go/bin" # where Go's own installer puts it; often missing in a non-login shell

if [ -x "$binary" ] && [ -z "$(find "$manifest" "$0" -newer "$binary" 2>/dev/null)" ]; then
    echo "collector: $binary is up to date"
    exit 0
fi

command -v go >/dev/null || {
    echo "collector: Go is not installed or not on PATH; install Go 1.26 or newer, then run this again" >&2
    exit 1
}

# The builder is pinned to the release of the components: it refuses a mix.
release=$(sed -n 's/.*otlpreceiver \(v[0-9.]*\).*/\1/p' "$manifest")
[ -n "$release" ] || {
    echo "collector: no otlpreceiver version in $manifest; the builder's version is read from it" >&2
    exit 1
}

mkdir -p "$work"
# nice: a build takes every core for minutes, and often runs beside tests.
nice -n 10 go run "go.opentelemetry.io/collector/cmd/builder@$release" --config "$manifest" --ldflags "-s -w"
# Moved into place only when complete, so that an interrupted build leaves no half binary.
mv "$work/otelcol-charter" "$binary"
"$binary" --version
