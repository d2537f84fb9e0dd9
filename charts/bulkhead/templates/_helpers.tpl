{{/*
The names of objects are fixed, not made from the release's: there is one
Bulkhead in a cluster, and the issuer's policy knows its ServiceAccounts by name.
*/}}

{{- define "bulkhead.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
app.kubernetes.io/name: bulkhead
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
app.kubernetes.io/part-of: bulkhead
{{- end }}

{{/* Labels that select the Pods of a component: (dict "context" $ "component" "webhook"). */}}
{{- define "bulkhead.selectorLabels" -}}
app.kubernetes.io/name: bulkhead
app.kubernetes.io/instance: {{ .context.Release.Name }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "bulkhead.image" -}}
{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}
{{- end }}

{{/* The values that have no default, and what the schema cannot say. */}}
{{- define "bulkhead.validate" -}}
{{- $_ := required "issuer.url is missing: set it to the URL of the issuer, e.g. https://issuer.storage.example" .Values.issuer.url }}
{{- $_ := required "storage.cluster is missing: set it to the id of the storage cluster, as the issuer's policy has it in storageCluster" .Values.storage.cluster }}
{{- $_ := required "storage.sdk.address is missing: set it to host:port of the storage cluster's SDK (gRPC)" .Values.storage.sdk.address }}
{{- if eq .Values.tokens.namespace .Release.Namespace }}
{{- fail "tokens.namespace is the release's namespace: it must be one of its own, since no Pod may run there" }}
{{- end }}
{{- $template := .Values.tokens.secretTemplate }}
{{- if and $template (eq .Values.tokens.placement "central") (not (contains "${namespace}" $template)) }}
{{- fail (printf "tokens.secretTemplate is %s: in placement central it needs ${namespace}, or all namespaces would share one Secret" $template) }}
{{- end }}
{{- if and (eq .Values.tokens.placement "tenant") (contains "${namespace}" $template) }}
{{- fail (printf "tokens.secretTemplate is %s: in placement tenant it is one fixed name, without ${namespace}" $template) }}
{{- end }}
{{- /* What is installed now; nothing where nobody can look (helm template). */}}
{{- range (dig "spec" "template" "spec" "containers" list (lookup "apps/v1" "Deployment" .Release.Namespace "bulkhead-sidecar" | default dict)) }}
{{- $installed := .args | default list }}
{{- if has "--placement=tenant" $installed }}
{{- range include "bulkhead.layoutFlags" $ | fromYamlArray }}
{{- if not (has . $installed) }}
{{- fail "the token Secrets lie in the namespaces of tenants, with a finalizer, and these values would leave them there: uninstall first, which takes the finalizers off, then install" }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- if and (include "bulkhead.sdkCA" .) (not .Values.storage.sdk.tls) }}
{{- fail "storage.sdk.caBundle is set but storage.sdk.tls is false: set storage.sdk.tls to true, or leave the bundle out" }}
{{- end }}
{{- end }}

{{/* The ServiceAccount under which the sidecar runs, namespace/name. */}}
{{- define "bulkhead.sidecarAccount" -}}
{{ .Values.sidecar.serviceAccount | default (printf "%s/bulkhead-sidecar" .Release.Namespace) }}
{{- end }}

{{/* It, as the subject of a role binding. */}}
{{- define "bulkhead.sidecarSubject" -}}
{{- $account := splitList "/" (include "bulkhead.sidecarAccount" .) -}}
- kind: ServiceAccount
  name: {{ index $account 1 }}
  namespace: {{ index $account 0 }}
{{- end }}

{{/* What every container may do: nothing but run. */}}
{{- define "bulkhead.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end }}

{{/* Pods that need no socket of the driver. */}}
{{- define "bulkhead.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{/* CA bundles, empty for the system's roots. */}}
{{- define "bulkhead.issuerCA" -}}
{{ trim (.Values.issuer.caBundle | default "") }}
{{- end }}
{{- define "bulkhead.sdkCA" -}}
{{ trim (.Values.storage.sdk.caBundle | default "") }}
{{- end }}

{{- define "bulkhead.clientCA" -}}
{{ trim (.Values.webhook.clientCABundle | default "") }}
{{- end }}

{{/* The flags by which the sidecar and the webhook ask the issuer for tokens. */}}
{{- define "bulkhead.issuerFlags" -}}
- --issuer-url={{ .Values.issuer.url }}
{{- if include "bulkhead.issuerCA" . }}
- --issuer-ca-file=/etc/bulkhead/issuer-ca/ca.crt
{{- end }}
- --credential-file=/var/run/secrets/bulkhead/token
- --storage-cluster={{ .Values.storage.cluster }}
{{- end }}

{{/* The name of a live token Secret: a template in placement central, fixed in placement tenant. */}}
{{- define "bulkhead.secretTemplate" -}}
{{- if .Values.tokens.secretTemplate }}{{ .Values.tokens.secretTemplate }}
{{- else if eq .Values.tokens.placement "tenant" }}bulkhead-token
{{- else }}bulkhead-${namespace}
{{- end }}
{{- end }}

{{/* The flags that say where the token Secrets lie. */}}
{{- define "bulkhead.layoutFlags" -}}
- --placement={{ .Values.tokens.placement }}
- --token-namespace={{ .Values.tokens.namespace }}
- --token-secret-template={{ include "bulkhead.secretTemplate" . }}
{{- end }}

{{/* The flags by which the SDK of the storage cluster is called. */}}
{{- define "bulkhead.sdkFlags" -}}
- --sdk-address={{ .Values.storage.sdk.address }}
- --sdk-tls={{ .Values.storage.sdk.tls }}
{{- if include "bulkhead.sdkCA" . }}
- --sdk-ca-file=/etc/bulkhead/sdk-ca/ca.crt
{{- end }}
{{- end }}

{{/* The flags that decide what the webhook's rules say. */}}
{{- define "bulkhead.ruleFlags" -}}
{{- range .Values.drivers.csi }}
- --csi-driver={{ . }}
{{- end }}
{{- range .Values.drivers.inTree }}
- --in-tree-plugin={{ . }}
{{- end }}
{{- range .Values.provisioner.serviceAccounts }}
- --provisioner-service-account={{ . }}
{{- end }}
- --sidecar-service-account={{ include "bulkhead.sidecarAccount" . }}
{{- with .Values.webhook.rules }}
- --tunable={{ .tunable }}
- --stork={{ .stork }}
{{- range $rule, $mode := .modes }}
- --rule-mode={{ $rule }}={{ $mode }}
{{- end }}
{{- range .exemptNamespaces }}
- --exempt-namespace={{ . }}
{{- end }}
{{- range $user, $rules := .exemptUsers }}
- {{ printf "--exempt-user=%s=%s" $user (join "," $rules) | quote }}
{{- end }}
{{- range .dataSourceKinds }}
- --data-source-kind={{ . }}
{{- end }}
{{- end }}
{{- end }}

{{/* The volumes that bulkhead.issuerFlags point to, and their mounts. */}}
{{- define "bulkhead.issuerVolumes" -}}
# The credential. Its audience is the issuer alone, so that it opens nothing in
# this cluster, and this cluster's API token is none.
- name: credential
  projected:
    sources:
      - serviceAccountToken:
          audience: {{ .Values.issuer.url | quote }}
          expirationSeconds: 3600
          path: token
{{- if include "bulkhead.issuerCA" . }}
- name: issuer-ca
  configMap:
    name: bulkhead-issuer-ca
{{- end }}
{{- end }}
{{- define "bulkhead.issuerMounts" -}}
- name: credential
  mountPath: /var/run/secrets/bulkhead
  readOnly: true
{{- if include "bulkhead.issuerCA" . }}
- name: issuer-ca
  mountPath: /etc/bulkhead/issuer-ca
  readOnly: true
{{- end }}
{{- end }}

{{/* Replicas apart where that is possible, without keeping one from starting. */}}
{{- define "bulkhead.spread" -}}
{{- $selector := include "bulkhead.selectorLabels" . }}
{{- range list "kubernetes.io/hostname" "topology.kubernetes.io/zone" }}
- topologyKey: {{ . }}
  maxSkew: 1
  whenUnsatisfiable: ScheduleAnyway
  labelSelector:
    matchLabels:
      {{- $selector | nindent 6 }}
  # Counts the Pods of one version, or a rolling update would end lopsided.
  matchLabelKeys: [pod-template-hash]
{{- end }}
{{- end }}
