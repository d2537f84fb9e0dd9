{{/* Where the serving certificate comes from: webhook.certificates. */}}

{{/* The Secret that holds the serving certificate, for the modes where it is in one. */}}
{{- define "bulkhead.certificates.secret" -}}
{{- with .Values.webhook.certificates -}}
{{- if eq .mode "cert-manager" -}}
bulkhead-webhook-tls
{{- else if eq .mode "existing" -}}
{{ required "webhook.certificates.existing.secretName is missing: name a Secret with tls.crt and tls.key, or take another mode" .existing.secretName }}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The bundle that verifies an existing certificate, if it is given as a value. */}}
{{- define "bulkhead.certificates.caBundle" -}}
{{- with .Values.webhook.certificates -}}
{{- if eq .mode "existing" }}{{ trim (.existing.caBundle | default "") }}{{ end -}}
{{- end -}}
{{- end }}

{{- define "bulkhead.certificates.flags" -}}
- --serving-names=bulkhead-webhook.{{ .Release.Namespace }}.svc
{{- if include "bulkhead.certificates.secret" . }}
- --tls-cert-file=/etc/bulkhead/serving/tls.crt
- --tls-key-file=/etc/bulkhead/serving/tls.key
{{- if and (eq .Values.webhook.certificates.mode "existing") (not (include "bulkhead.certificates.caBundle" .)) }}
- --tls-ca-file=/etc/bulkhead/serving/ca.crt
{{- end }}
{{- else }}
- --ca-secret={{ .Release.Namespace }}/bulkhead-webhook-ca
- --ca-life={{ .Values.webhook.certificates.self.caLife }}
- --ca-trust-delay={{ .Values.webhook.certificates.self.trustDelay }}
{{- end }}
{{- end }}

{{/* What of the CA is in each webhook of the configurations. */}}
{{- define "bulkhead.certificates.clientConfig" -}}
{{- with include "bulkhead.certificates.caBundle" . -}}
caBundle: {{ b64enc . }}
{{- else -}}
# caBundle is filled in by {{ eq .Values.webhook.certificates.mode "cert-manager" | ternary "cert-manager" "the webhook" }}, and no field of the chart's: an upgrade leaves it.
{{- end -}}
{{- end }}

{{/* And on the configurations. */}}
{{- define "bulkhead.certificates.annotations" -}}
{{- if eq .Values.webhook.certificates.mode "cert-manager" -}}
cert-manager.io/inject-ca-from: {{ .Release.Namespace }}/bulkhead-webhook
{{- end -}}
{{- end }}
