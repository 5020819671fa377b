{{/* Names, labels and parts that several templates share. */}}

{{- define "charter-otel.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 50 | trimSuffix "-" }}
{{- end }}

{{/* At most 50 characters: the longest suffix, and the number of a pod, still fit into a label of DNS. */}}
{{- define "charter-otel.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 50 | trimSuffix "-" }}
{{- else if contains (include "charter-otel.name" .) .Release.Name }}
{{- .Release.Name | trunc 50 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "charter-otel.name" .) | trunc 50 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{- define "charter-otel.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "charter-otel.fullname" .) "default" .Values.serviceAccount.create) }}
{{- end }}

{{/* Labels that select the pods of a component: include "charter-otel.selector" (list $ "agent"). */}}
{{- define "charter-otel.selector" -}}
app.kubernetes.io/name: {{ include "charter-otel.name" (index . 0) }}
app.kubernetes.io/instance: {{ (index . 0).Release.Name }}
app.kubernetes.io/component: {{ index . 1 }}
{{- end }}

{{- define "charter-otel.labels" -}}
{{ include "charter-otel.selector" . }}
app.kubernetes.io/version: {{ (index . 0).Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ (index . 0).Release.Service }}
helm.sh/chart: {{ printf "%s-%s" (index . 0).Chart.Name (index . 0).Chart.Version | replace "+" "_" }}
{{- end }}

{{/* An image by digest, or by tag: include "charter-otel.image" (list $ .Values.image). */}}
{{- define "charter-otel.image" -}}
{{- $image := index . 1 -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default (index . 0).Chart.AppVersion }}
{{- end }}
{{- end }}

{{/* What every pod has in common. */}}
{{- define "charter-otel.pod" -}}
serviceAccountName: {{ include "charter-otel.serviceAccountName" . }}
# Nothing here talks to Kubernetes.
automountServiceAccountToken: false
enableServiceLinks: false
{{- with .Values.imagePullSecrets }}
imagePullSecrets: {{- toYaml . | nindent 2 }}
{{- end }}
securityContext: {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- end }}

{{/* What every container has in common. */}}
{{- define "charter-otel.unprivileged" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end }}

{{/* Pods of a component are spread over the nodes, as far as these allow. */}}
{{- define "charter-otel.spread" -}}
- maxSkew: 1
  topologyKey: kubernetes.io/hostname
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels: {{- include "charter-otel.selector" . | nindent 6 }}
{{- end }}

{{/* A claim's spec: include "charter-otel.claim" .Values.persistence. */}}
{{- define "charter-otel.claim" -}}
accessModes: {{ .accessModes | default (list "ReadWriteOnce") | toJson }}
{{- with .storageClassName }}
storageClassName: {{ . }}
{{- end }}
resources:
  requests:
    storage: {{ .size }}
{{- end }}

{{/* Where events live. Without a Redis instances do not know of each other, so there may be one only. */}}
{{- define "charter-otel.eventStream" -}}
{{- $several := or .Values.autoscaling.enabled (gt (int .Values.replicas) 1) -}}
- name: CHARTER_EVENT_STREAM
{{- if .Values.eventStream.secretName }}
  valueFrom: {secretKeyRef: {name: {{ .Values.eventStream.secretName }}, key: {{ .Values.eventStream.key }}}}
{{- else if .Values.eventStream.url }}
{{- if and $several (not (contains "://" (.Values.eventStream.url | trimPrefix "memory://"))) }}
{{- fail (printf "eventStream.url=%s: several instances share a Redis; name one, or set replicas=1 and autoscaling.enabled=false" .Values.eventStream.url) }}
{{- end }}
  value: {{ .Values.eventStream.url | quote }}
{{- else if .Values.redis.enabled }}
  value: redis://{{ if .Values.redis.passwordSecretName }}:$(REDIS_PASSWORD)@{{ end }}{{ include "charter-otel.fullname" . }}-redis:6379/0
{{- else }}
{{- fail "redis.enabled=false: name your Redis in eventStream.url, or in a Secret that eventStream.secretName names; for one instance without any, set eventStream.url=memory://" }}
{{- end }}
{{- end }}

{{- define "charter-otel.otlpEndpoint" -}}
{{- if .Values.otlpEndpoint -}}
{{ .Values.otlpEndpoint }}
{{- else if .Values.collector.enabled -}}
http://{{ include "charter-otel.fullname" . }}-agent:4318
{{- end }}
{{- end }}

{{/* A value of `settings` as text: Helm reads 1000000 as a float and would write 1e+06. */}}
{{- define "charter-otel.text" -}}
{{- if and (kindIs "float64" .) (eq . (floor .)) }}{{ int64 . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{/* The host part of an address to listen on, an IPv6 one in brackets. */}}
{{- define "charter-otel.listen" -}}
{{- if contains ":" .Values.listenAddress }}[{{ .Values.listenAddress }}]{{ else }}{{ .Values.listenAddress }}{{ end }}
{{- end }}
