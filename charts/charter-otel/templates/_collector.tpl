{{/* What agents and gateways have in common: include "charter-otel.collector" (list $ "agent"), as a pod's only container. */}}
{{- define "charter-otel.collector" -}}
{{- $root := index . 0 -}}
{{- $role := index . 1 -}}
{{- $own := index $root.Values.collector $role -}}
{{- $listen := include "charter-otel.listen" $root -}}
- name: collector
  image: {{ include "charter-otel.image" (list $root $root.Values.collector.image) }}
  imagePullPolicy: {{ $root.Values.collector.image.pullPolicy }}
  args:
    {{- range include "charter-otel.collectorFiles" . | splitList "," }}
    - --config=/etc/collector/{{ base . }}
    {{- end }}
  env:
    - {name: CHARTER_COLLECTOR_GRPC_ENDPOINT, value: "{{ $listen }}:4317"}
    - {name: CHARTER_COLLECTOR_HTTP_ENDPOINT, value: "{{ $listen }}:4318"}
    - {name: CHARTER_COLLECTOR_PROMETHEUS_ENDPOINT, value: "{{ $listen }}:8889"}
    - {name: CHARTER_COLLECTOR_HEALTH_ENDPOINT, value: "{{ $listen }}:13133"}
    - {name: CHARTER_COLLECTOR_TELEMETRY_HOST, value: {{ $root.Values.listenAddress | quote }}}
    - {name: CHARTER_COLLECTOR_DIR, value: /var/lib/collector}
    - {name: CHARTER_COLLECTOR_MEMORY_MIB, value: {{ $own.memoryMiB | quote }}}
    - {name: GOMEMLIMIT, value: {{ printf "%vMiB" $own.memoryMiB | quote }}}
    {{- if eq $role "agent" }}
    - {name: CHARTER_GATEWAYS, value: {{ include "charter-otel.gateways" $root | quote }}}
    # Inside the cluster, between pods that the network policy pairs.
    - {name: CHARTER_GATEWAY_INSECURE, value: "true"}
    {{- end }}
    {{- range $name, $value := $root.Values.collector.env }}
    - {name: {{ $name }}, value: {{ include "charter-otel.text" $value | quote }}}
    {{- end }}
  {{- if and (eq $role "gateway") $root.Values.collector.secretName }}
  envFrom:
    - secretRef: {name: {{ $root.Values.collector.secretName }}}
  {{- end }}
  ports:
    - {name: otlp-grpc, containerPort: 4317}
    - {name: otlp-http, containerPort: 4318}
    - {name: telemetry, containerPort: 8888}
    - {name: metrics, containerPort: 8889}
    - {name: health, containerPort: 13133}
  startupProbe:
    httpGet: {path: /, port: health}
    periodSeconds: 2
    timeoutSeconds: 2
    failureThreshold: 60
  livenessProbe:
    httpGet: {path: /, port: health}
    periodSeconds: 10
    timeoutSeconds: 5
    failureThreshold: 6
  readinessProbe:
    tcpSocket: {port: otlp-grpc}
    periodSeconds: 5
    timeoutSeconds: 3
  resources: {{- toYaml $own.resources | nindent 4 }}
  securityContext: {{- include "charter-otel.unprivileged" $root | nindent 4 }}
  volumeMounts:
    - {name: config, mountPath: /etc/collector, readOnly: true}
    - {name: state, mountPath: /var/lib/collector}
{{- end }}

{{/* The configuration files of a role, in the order in which they are laid over each other. */}}
{{- define "charter-otel.collectorFiles" -}}
{{- $root := index . 0 -}}
{{- $files := list "files/collector/base.yaml" (printf "files/collector/%s.yaml" (index . 1)) -}}
{{- if and (eq (index . 1) "gateway") $root.Values.collector.vendor }}
{{- $files = append $files (printf "files/collector/vendors/%s.yaml" $root.Values.collector.vendor) }}
{{- end }}
{{- join "," $files }}
{{- end }}

{{/* The list that agent.yaml reads: a StatefulSet's pods have names. */}}
{{- define "charter-otel.gateways" -}}
{{- $gateway := printf "%s-gateway" (include "charter-otel.fullname" .) -}}
{{- $gateways := list -}}
{{- range $number := until (int .Values.collector.gateway.replicas) }}
{{- $gateways = append $gateways (printf "%s-%d.%s:4317" $gateway $number $gateway) }}
{{- end }}
{{- printf "[%s]" (join "," $gateways) }}
{{- end }}

{{/* A role's ConfigMap; the pods carry its hash, so that a change restarts them. */}}
{{- define "charter-otel.collectorConfig" -}}
{{- $root := index . 0 -}}
apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ include "charter-otel.fullname" $root }}-{{ index . 1 }}
  labels: {{- include "charter-otel.labels" . | nindent 4 }}
data:
  {{- range include "charter-otel.collectorFiles" . | splitList "," }}
  {{- $text := $root.Files.Get . | required (printf "%s is not in the chart; see collector.vendor in values.yaml" .) }}
  {{ base . }}: | {{- $text | nindent 4 }}
  {{- end }}
{{- end }}
