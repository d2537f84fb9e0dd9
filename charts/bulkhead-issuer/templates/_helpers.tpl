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
{{- if .Values.tls.certManager.enabled }}
{{- $_ := required "tls.certManager.issuerRef.name is missing: set it to the Issuer or ClusterIssuer of cert-manager that signs the certificate" .Values.tls.certManager.issuerRef.name }}
{{- if .Values.tls.secretName }}
{{- fail "tls.secretName and tls.certManager.enabled are set: want one, the Secret that you make or that of cert-manager" }}
{{- end }}
{{- else }}
{{- $_ := required "tls.secretName is missing: set it to a Secret of type kubernetes.io/tls whose certificate is for the host of url, or let cert-manager make it by tls.certManager" .Values.tls.secretName }}
{{- end }}
{{- if and .Values.ingress.enabled (include "bulkhead-issuer.hostIsIP" .) }}
{{- fail (printf "ingress.enabled is set but url is %s: an Ingress goes by names, not by addresses" .Values.url) }}
{{- end }}
{{- if and (eq .Values.service.type "ClusterIP") .Values.service.nodePort }}
{{- fail "service.nodePort is set but service.type is ClusterIP: set it to NodePort or LoadBalancer" }}
{{- end }}
{{- if and (ne .Values.service.type "LoadBalancer") (or .Values.service.loadBalancerClass .Values.service.loadBalancerSourceRanges) }}
{{- fail (printf "service.loadBalancerClass and service.loadBalancerSourceRanges are for service.type LoadBalancer, which is %s" .Values.service.type) }}
{{- end }}
{{- if and .Values.bootstrap.adminTokenSecret (not .Values.storage.endpoints) }}
{{- fail "bootstrap.adminTokenSecret needs storage.endpoints: the storage node to set up" }}
{{- end }}
{{- $_ := required "policy.storageCluster is missing: set it to the id of the storage cluster" .Values.policy.storageCluster }}
{{- end }}

{{/* The host of the URL, without port and brackets. */}}
{{- define "bulkhead-issuer.host" -}}
{{ (urlParse .Values.url).hostname }}
{{- end }}

{{/* Not empty if it is an IP address. */}}
{{- define "bulkhead-issuer.hostIsIP" -}}
{{- $host := include "bulkhead-issuer.host" . -}}
{{ if or (regexMatch "^[0-9.]+$" $host) (contains ":" $host) }}yes{{ end }}
{{- end }}

{{/* The Secret with the certificate. */}}
{{- define "bulkhead-issuer.tlsSecret" -}}
{{ ternary "bulkhead-issuer-tls" .Values.tls.secretName .Values.tls.certManager.enabled }}
{{- end }}

{{/* Pods that are nobody in particular. */}}
{{- define "bulkhead-issuer.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* What every container may do: nothing but run. */}}
{{- define "bulkhead-issuer.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* The Secret with the signing keys. */}}
{{- define "bulkhead-issuer.signingKeySecret" -}}
{{ .Values.signingKey.existingSecret | default "bulkhead-issuer-signing-key" }}
{{- end }}
