{{/* What is there while `helm test` runs, and no longer: annotations, by their weight. */}}
{{- define "bulkhead.testHook" -}}
helm.sh/hook: test
helm.sh/hook-weight: {{ . | quote }}
helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded,hook-failed
{{- end }}

{{/*
A Pod that runs one check, with the account that may do what the check does:
(dict "context" $ "component" "webhook" "args" list). It stays when it fails, to be
read.
*/}}
{{- define "bulkhead.testPod" -}}
{{- $ := .context }}
apiVersion: v1
kind: Pod
metadata:
  name: bulkhead-test-{{ .component }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "bulkhead.labels" $ | nindent 4 }}
    app.kubernetes.io/component: test
  annotations:
    helm.sh/hook: test
    helm.sh/hook-delete-policy: before-hook-creation,hook-succeeded
spec:
  restartPolicy: Never
  serviceAccountName: bulkhead-test-{{ .component }}
  automountServiceAccountToken: true
  enableServiceLinks: false
  securityContext:
    {{- include "bulkhead.podSecurity" $ | nindent 4 }}
  containers:
    - name: check
      image: {{ include "bulkhead.image" $ }}
      imagePullPolicy: {{ $.Values.image.pullPolicy }}
      command: ["/bulkhead/{{ .component }}"]
      args: {{ toJson .args }}
      securityContext:
        {{- include "bulkhead.containerSecurity" $ | nindent 8 }}
      resources:
        requests:
          cpu: 10m
          memory: 32Mi
        limits:
          memory: 128Mi
  {{- $component := index $.Values .component }}
  {{- with $component.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with $component.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
---
apiVersion: v1
kind: ServiceAccount
metadata:
  name: bulkhead-test-{{ .component }}
  namespace: {{ $.Release.Namespace }}
  labels:
    {{- include "bulkhead.labels" $ | nindent 4 }}
    app.kubernetes.io/component: test
  annotations:
    {{- include "bulkhead.testHook" "-2" | nindent 4 }}
automountServiceAccountToken: false
{{- end }}

{{/* Gives that account the Role of its name in a namespace: (dict "context" $ "component" "webhook" "namespace" "default"). */}}
{{- define "bulkhead.testBinding" -}}
{{- $ := .context }}
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: bulkhead-test-{{ .component }}
  namespace: {{ .namespace }}
  labels:
    {{- include "bulkhead.labels" $ | nindent 4 }}
    app.kubernetes.io/component: test
  annotations:
    {{- include "bulkhead.testHook" "-1" | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: bulkhead-test-{{ .component }}
subjects:
  - kind: ServiceAccount
    name: bulkhead-test-{{ .component }}
    namespace: {{ $.Release.Namespace }}
{{- end }}
