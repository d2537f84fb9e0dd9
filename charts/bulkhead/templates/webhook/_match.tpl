{{/*
What is sent to the webhook, and what the API server may leave out.

Match conditions leave out an object only where it says itself, beyond doubt,
that it is no business of ours; whatever lacks a field that the decision needs
goes to the webhook. No condition can fail on an object that lacks a field:
each is read behind has() or by an optional. (A condition that failed would
refuse the call, as failurePolicy is Fail, and so hit other drivers.)
*/}}

{{/* One webhook: (dict "context" $ "path" "/mutate" "name" "storageclasses.mutate.bulkhead.dev" "rule" "<yaml>" "condition" "<yaml>"), and "namespaced" true for what lies in a namespace. */}}
{{- define "bulkhead.webhook" -}}
- name: {{ .name }}
  admissionReviewVersions: [v1]
  clientConfig:
    # The webhook fills in caBundle.
    service:
      name: bulkhead-webhook
      namespace: {{ .context.Release.Namespace }}
      path: {{ .path }}
      port: 443
  failurePolicy: Fail
  matchPolicy: Equivalent
  sideEffects: None
  timeoutSeconds: {{ .context.Values.webhook.timeoutSeconds }}
  {{- if eq .path "/mutate" }}
  # Again if another webhook changes the object after us.
  reinvocationPolicy: IfNeeded
  {{- end }}
  rules:
    {{- .rule | nindent 4 }}
  {{- if .namespaced }}
  # Our own namespaces, so that a cluster can start from nothing.
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: NotIn
        values:
          - {{ .context.Release.Namespace }}
          - {{ .context.Values.tokens.namespace }}
  {{- end }}
  matchConditions:
    {{- .condition | nindent 4 }}
{{- end }}

{{/* A rule: (dict "group" "" "resource" "persistentvolumes" "scope" "Cluster" "operations" (list "CREATE")). */}}
{{- define "bulkhead.rule" -}}
- apiGroups: [{{ .group | quote }}]
  apiVersions: [v1]
  resources: [{{ .resource }}]
  scope: {{ .scope }}
  operations: [{{ join ", " .operations }}]
{{- end }}

{{/* StorageClasses of our drivers, by either kind of name. */}}
{{- define "bulkhead.match.storageclass" -}}
- name: driver-is-ours
  expression: >-
    !has(object.provisioner)
    || object.provisioner in {{ concat .Values.drivers.csi .Values.drivers.inTree | toJson }}
{{- end }}

{{/* VolumeSnapshotClasses of our drivers. */}}
{{- define "bulkhead.match.volumesnapshotclass" -}}
- name: driver-is-ours
  expression: >-
    !has(object.driver)
    || object.driver in {{ .Values.drivers.csi | toJson }}
{{- end }}

{{/* Annotations that changed: a list of keys. */}}
{{- define "bulkhead.match.annotationsChanged" -}}
{{ toJson . }}.exists(key,
      object.metadata.?annotations[?key] != oldObject.metadata.?annotations[?key])
{{- end }}

{{/* The annotations that say whose an object is (tenancy/origin.go). */}}
{{- define "bulkhead.originKeys" -}}
bulkhead.dev/namespace bulkhead.dev/namespace-uid bulkhead.dev/tenant
{{- end }}

{{/*
Snapshot contents of our drivers; of updates those that touch what a rule reads.
Finalizers of an object on its way out are none of that.
*/}}
{{- define "bulkhead.match.volumesnapshotcontent" -}}
- name: driver-is-ours
  expression: >-
    !has(object.spec)
    || !has(object.spec.driver)
    || object.spec.driver in {{ .Values.drivers.csi | toJson }}
- name: new-or-changed
  expression: >-
    request.operation != "UPDATE"
    || object.?spec != oldObject.?spec
    || {{ include "bulkhead.match.annotationsChanged" (concat (splitList " " (include "bulkhead.originKeys" .)) (list
      "snapshot.storage.kubernetes.io/deletion-secret-name" "snapshot.storage.kubernetes.io/deletion-secret-namespace")) }}
{{- end }}

{{/*
Volumes of our drivers, by a CSI or by the in-tree source; of updates those that
touch what a rule reads.
*/}}
{{- define "bulkhead.match.persistentvolume" -}}
- name: driver-is-ours
  expression: >-
    !has(object.spec)
    || has(object.spec.portworxVolume)
    || (has(object.spec.csi)
    && (!has(object.spec.csi.driver) || object.spec.csi.driver in {{ .Values.drivers.csi | toJson }}))
- name: new-or-changed
  expression: >-
    request.operation != "UPDATE"
    || object.?spec != oldObject.?spec
    || {{ include "bulkhead.match.annotationsChanged" (concat (splitList " " (include "bulkhead.originKeys" .)) (list
      "volume.kubernetes.io/provisioner-deletion-secret-name" "volume.kubernetes.io/provisioner-deletion-secret-namespace"
      "volume.kubernetes.io/controller-modify-secret-name" "volume.kubernetes.io/controller-modify-secret-namespace")) }}
{{- end }}

{{/*
All claims but those that are on their way out, where nothing changed that we or
the driver read: their finalizers must come off even while we are away. That the
object is being deleted is read from what is stored, not from what is sent.
*/}}
{{- define "bulkhead.match.persistentvolumeclaim" -}}
- name: not-only-going
  expression: >-
    request.operation != "UPDATE"
    || !has(oldObject.metadata.deletionTimestamp)
    || !has(object.spec)
    || !has(oldObject.spec)
    || object.spec != oldObject.spec
    || object.metadata.?labels.orValue({}) != oldObject.metadata.?labels.orValue({})
    || object.metadata.?annotations.orValue({}) != oldObject.metadata.?annotations.orValue({})
    || object.metadata.?ownerReferences.orValue([]) != oldObject.metadata.?ownerReferences.orValue([])
{{- end }}
