{{/*
The names of objects are fixed: one issuer in a namespace. Issuers of several
storage clusters go into a namespace each.
*/}}

{{- define "bulkhead-issuer.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{ include "bulkhead-issuer.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: bulkhead
{{- end }}

{{- define "bulkhead-issuer.selectorLabels" -}}
app.kubernetes.io/name: bulkhead-issuer
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: issuer
{{- end }}

{{- define "bulkhead-issuer.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The values that have no default. */}}
{{- define "bulkhead-issuer.validate" -}}
{{- $_ := required "url is missing: set it to the https URL by which compute clusters and storage nodes reach the issuer" .Values.url }}
{{- $_ := required "tls.secretName is missing: set it to a Secret of type kubernetes.io/tls whose certificate is for the host of url" .Values.tls.secretName }}
{{- if and .Values.bootstrap.adminTokenSecret (not .Values.storage.endpoints) }}
{{- fail "bootstrap.adminTokenSecret needs storage.endpoints: the storage node to set up" }}
{{- end }}
{{- $_ := required "policy.storageCluster is missing: set it to the id of the storage cluster" .Values.policy.storageCluster }}
{{- end }}

{{/* The Secret with the signing keys. */}}
{{- define "bulkhead-issuer.signingKeySecret" -}}
{{ .Values.signingKey.existingSecret | default "bulkhead-issuer-signing-key" }}
{{- end }}
