{{/* The environment of the service's container. */}}
{{- define "charter-otel.env" -}}
- name: POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- name: POD_UID
  valueFrom: {fieldRef: {fieldPath: metadata.uid}}
- name: POD_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: NODE_NAME
  valueFrom: {fieldRef: {fieldPath: spec.nodeName}}
# `instance` in Prometheus is the pod.
- name: OTEL_RESOURCE_ATTRIBUTES
  value: service.instance.id=$(POD_NAME),k8s.pod.name=$(POD_NAME),k8s.pod.uid=$(POD_UID),k8s.namespace.name=$(POD_NAMESPACE),k8s.node.name=$(NODE_NAME){{ with .Values.settings.OTEL_RESOURCE_ATTRIBUTES }},{{ . }}{{ end }}
- name: CHARTER_AUTH_SECRET
  valueFrom: {secretKeyRef: {name: {{ .Values.auth.secretName }}, key: {{ .Values.auth.key }}}}
- name: CHARTER_AUTH_SECRET_PREVIOUS
  valueFrom: {secretKeyRef: {name: {{ .Values.auth.secretName }}, key: {{ .Values.auth.previousKey }}, optional: true}}
{{- if .Values.redis.passwordSecretName }}
- name: REDIS_PASSWORD
  valueFrom: {secretKeyRef: {name: {{ .Values.redis.passwordSecretName }}, key: {{ .Values.redis.passwordKey }}}}
{{- end }}
{{ include "charter-otel.eventStream" . }}
- name: CHARTER_STATE_DIR
  value: /var/lib/charter-otel
- name: CHARTER_DRAIN_SECONDS
  value: {{ .Values.drainSeconds | quote }}
- name: CHARTER_CONSUMERS
  value: {{ join "," .Values.consumers | quote }}
- name: CHARTER_LOG_FORMAT
  value: json
{{- if .Values.pagerduty.secretName }}
- name: CHARTER_PAGERDUTY_ROUTING_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.pagerduty.secretName }}, key: {{ .Values.pagerduty.key }}}}
{{- else if has "alerts" .Values.consumers }}
{{- fail "consumers names alerts: name the Secret with PagerDuty's integration key in pagerduty.secretName" }}
{{- end }}
{{- with include "charter-otel.otlpEndpoint" . }}
- name: OTEL_EXPORTER_OTLP_ENDPOINT
  value: {{ . }}
{{- end }}
{{- range $name, $value := omit .Values.settings "OTEL_RESOURCE_ATTRIBUTES" }}
{{- with get (include "charter-otel.elsewhere" $ | fromYaml) $name }}
{{- fail (printf "settings.%s has no place here: %s" $name .) }}
{{- end }}
{{- if not (regexMatch "^(CHARTER|OTEL)_[A-Z0-9_]+$" $name) }}
{{- fail (printf "settings.%s is not a variable of the service: they start with CHARTER_ or OTEL_; others go into extraEnv" $name) }}
{{- end }}
- name: {{ $name }}
  value: {{ include "charter-otel.text" $value | quote }}
{{- end }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* Variables that have values of their own, secrets among them. */}}
{{- define "charter-otel.elsewhere" -}}
CHARTER_AUTH_SECRET: it comes from the Secret that auth.secretName names
CHARTER_AUTH_SECRET_PREVIOUS: it comes from the Secret that auth.secretName names
CHARTER_CONSUMERS: use consumers
CHARTER_DRAIN_SECONDS: use drainSeconds, which the grace period follows
CHARTER_EVENT_STREAM: use eventStream
CHARTER_LOG_FORMAT: a pod writes JSON lines
CHARTER_PAGERDUTY_ROUTING_KEY: it comes from the Secret that pagerduty.secretName names
CHARTER_STATE_DIR: it is where the volume is
OTEL_EXPORTER_OTLP_ENDPOINT: use otlpEndpoint
{{- end }}
