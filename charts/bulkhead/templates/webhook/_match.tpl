{{/*
What is sent to the webhook, and what the API server may leave out.

Match conditions leave out an object only where it says itself, beyond doubt,
that it is no business of ours; whatever lacks a field that the decision needs
goes to the webhook. Of updates they let through those alone that touch what a
rule reads: finalizers, status and the annotations of controllers go on while we
are away, also of an object on its way out. No condition can fail on an object
that lacks a field: each is read behind has() or by an optional. (A condition
that failed would refuse the call, as failurePolicy is Fail, and so hit other
drivers.)
*/}}

{{/*
All kinds that are sent, in one table for both configurations. "match" names the
template of the conditions, "mutateMatch" another one for injection; "mutate" is
whether anything is injected;
"namespaced" leaves our own namespaces out, so that a cluster can start from
nothing; "dispensable" objects are admitted as they are while no webhook
answers. The versions of custom resources are all, since their webhook rules would
not be converted to a version that is not served.
*/}}
{{- define "bulkhead.webhook.kinds" -}}
- {name: storageclasses, mutate: true, group: storage.k8s.io, versions: [v1], resources: [storageclasses], scope: Cluster}
- {name: volumeattributesclasses, creationOnly: true, group: storage.k8s.io, versions: [v1, v1beta1, v1alpha1], resources: [volumeattributesclasses], scope: Cluster}
- {name: persistentvolumeclaims, mutate: true, mutateMatch: claiminjection, namespaced: true, group: "", versions: [v1], resources: [persistentvolumeclaims, persistentvolumeclaims/status], scope: Namespaced}
- {name: claimreferences, namespaced: true, group: "", versions: [v1], resources: [persistentvolumeclaims, persistentvolumeclaims/status], scope: Namespaced}
- {name: persistentvolumes, mutate: true, group: "", versions: [v1], resources: [persistentvolumes, persistentvolumes/status], scope: Cluster}
- {name: provisionedvolumes, mutate: true, dispensable: true, creationOnly: true, group: "", versions: [v1], resources: [persistentvolumes], scope: Cluster}
- {name: pods, creationOnly: true, namespaced: true, group: "", versions: [v1], resources: [pods], scope: Namespaced}
- {name: namespaces, group: "", versions: [v1], resources: [namespaces, namespaces/status, namespaces/finalize], scope: Cluster}
- {name: volumesnapshotclasses, mutate: true, group: snapshot.storage.k8s.io, versions: ["*"], resources: [volumesnapshotclasses], scope: Cluster}
- {name: volumesnapshots, group: snapshot.storage.k8s.io, versions: ["*"], resources: [volumesnapshots], scope: Namespaced}
- {name: volumesnapshotcontents, mutate: true, group: snapshot.storage.k8s.io, versions: ["*"], resources: [volumesnapshotcontents, volumesnapshotcontents/status], scope: Cluster}
- {name: volumegroupsnapshotclasses, mutate: true, group: groupsnapshot.storage.k8s.io, versions: ["*"], resources: [volumegroupsnapshotclasses], scope: Cluster}
- {name: volumegroupsnapshots, group: groupsnapshot.storage.k8s.io, versions: ["*"], resources: [volumegroupsnapshots], scope: Namespaced}
- {name: volumegroupsnapshotcontents, mutate: true, group: groupsnapshot.storage.k8s.io, versions: ["*"], resources: [volumegroupsnapshotcontents, volumegroupsnapshotcontents/status], scope: Cluster}
- {name: stork, mutate: true, group: stork.libopenstorage.org, versions: ["*"], scope: "*", resources: [volumesnapshotrestores, volumesnapshotschedules, groupvolumesnapshots, migrations, migrationschedules, applicationbackups, applicationbackupschedules, applicationrestores, applicationclones, clusterdomainupdates]}
- {name: storksnapshots, match: stork, mutate: true, group: volumesnapshot.external-storage.k8s.io, versions: ["*"], scope: Namespaced, resources: [volumesnapshots]}
- {name: cdi, group: cdi.kubevirt.io, versions: ["*"], scope: "*", resources: [datavolumes, datasources, dataimportcrons, objecttransfers]}
{{- end }}

{{/* The webhooks of one configuration: (dict "context" $ "step" "mutate"). */}}
{{- define "bulkhead.webhooks" -}}
{{- range include "bulkhead.webhook.kinds" .context | fromYamlArray }}
{{- if or .mutate (eq $.step "validate") }}
- name: {{ .name }}.{{ $.step }}.bulkhead.dev
  admissionReviewVersions: [v1]
  clientConfig:
    {{- include "bulkhead.certificates.clientConfig" $.context | nindent 4 }}
    service:
      name: bulkhead-webhook
      namespace: {{ $.context.Release.Namespace }}
      path: /{{ $.step }}
      port: 443
  failurePolicy: {{ ternary "Ignore" "Fail" (default false .dispensable) }}
  matchPolicy: Equivalent
  sideEffects: None
  timeoutSeconds: {{ $.context.Values.webhook.timeoutSeconds }}
  {{- if eq $.step "mutate" }}
  # Again if another webhook changes the object after us.
  reinvocationPolicy: IfNeeded
  {{- end }}
  rules:
    - apiGroups: [{{ .group | quote }}]
      apiVersions: {{ .versions | toJson }}
      resources: {{ .resources | toJson }}
      scope: {{ .scope | quote }}
      operations: {{ ternary (list "CREATE") (list "CREATE" "UPDATE") (default false .creationOnly) | toJson }}
  {{- if .namespaced }}
  namespaceSelector:
    matchExpressions:
      - key: kubernetes.io/metadata.name
        operator: NotIn
        values:
          - {{ $.context.Release.Namespace }}
          - {{ $.context.Values.tokens.namespace }}
  {{- end }}
  matchConditions:
    {{- $match := default .name .match }}
    {{- if eq $.step "mutate" }}{{ $match = default $match .mutateMatch }}{{ end }}
    {{- include (printf "bulkhead.match.%s" $match) $.context | trim | nindent 4 }}
{{- end }}
{{- end }}
{{- end }}

{{/* Whether any of the annotations changed: (list "key" ...). */}}
{{- define "bulkhead.match.annotationsChanged" -}}
{{ toJson . }}.exists(key, object.metadata.?annotations[?key] != oldObject.metadata.?annotations[?key])
{{- end }}

{{/* The annotations that say whose an object is (tenancy/origin.go), and more: (list "key" ...). */}}
{{- define "bulkhead.match.referencesChanged" -}}
{{ include "bulkhead.match.annotationsChanged" (concat (list "bulkhead.dev/namespace" "bulkhead.dev/namespace-uid" "bulkhead.dev/tenant") .) }}
{{- end }}

{{/* Names of our drivers: those that we are told of and others that they are known to have (tenancy/drivers.go). */}}
{{- define "bulkhead.match.driverNames" -}}
{{ concat .Values.drivers.csi .Values.drivers.inTree (include "bulkhead.firstLayer" . | fromYaml).knownDrivers | uniq | toJson }}
{{- end }}

{{- define "bulkhead.match.storageclasses" -}}
- name: driver-is-ours
  expression: >-
    !has(object.provisioner)
    || object.provisioner in {{ include "bulkhead.match.driverNames" . }}
- name: new-or-changed
  expression: >-
    request.operation != "UPDATE" || object.?parameters != oldObject.?parameters
{{- end }}

{{- define "bulkhead.match.volumeattributesclasses" -}}
- name: driver-is-ours
  expression: >-
    !has(object.driverName)
    || object.driverName in {{ .Values.drivers.csi | toJson }}
{{- end }}

{{/* Snapshot classes, single and of groups. */}}
{{- define "bulkhead.match.volumesnapshotclasses" -}}
- name: driver-is-ours
  expression: >-
    !has(object.driver)
    || object.driver in {{ .Values.drivers.csi | toJson }}
- name: new-or-changed
  expression: >-
    request.operation != "UPDATE" || object.?driver != oldObject.?driver || object.?parameters != oldObject.?parameters
{{- end }}
{{- define "bulkhead.match.volumegroupsnapshotclasses" -}}
{{ include "bulkhead.match.volumesnapshotclasses" . }}
{{- end }}

{{/* Of snapshots those alone that name their content: the others are of a claim, and guarded there. */}}
{{- define "bulkhead.match.volumesnapshots" -}}
- name: names-its-content
  expression: >-
    object.?spec.?source.?volumeSnapshotContentName.hasValue()
    && (request.operation != "UPDATE" || object.?spec.?source != oldObject.?spec.?source)
{{- end }}
{{- define "bulkhead.match.volumegroupsnapshots" -}}
- name: names-its-content
  expression: >-
    object.?spec.?source.?volumeGroupSnapshotContentName.hasValue()
    && (request.operation != "UPDATE" || object.?spec.?source != oldObject.?spec.?source)
{{- end }}

{{/* Snapshot contents of our drivers; the driver of one can be changed. */}}
{{- define "bulkhead.match.volumesnapshotcontents" -}}
- name: driver-is-ours
  expression: >-
    !has(object.spec)
    || !has(object.spec.driver)
    || object.spec.driver in {{ include "bulkhead.match.driverNames" . }}
- name: new-or-changed
  expression: >-
    request.operation != "UPDATE"
    || object.?spec != oldObject.?spec
    || object.?status.?snapshotHandle != oldObject.?status.?snapshotHandle
    || object.?status.?volumeSnapshotInfoList != oldObject.?status.?volumeSnapshotInfoList
    || object.?status.?volumeSnapshotHandlePairList != oldObject.?status.?volumeSnapshotHandlePairList
    || {{ include "bulkhead.match.referencesChanged" (list
      "snapshot.storage.kubernetes.io/deletion-secret-name" "snapshot.storage.kubernetes.io/deletion-secret-namespace"
      "groupsnapshot.storage.kubernetes.io/deletion-secret-name" "groupsnapshot.storage.kubernetes.io/deletion-secret-namespace"
      "snapshot.storage.kubernetes.io/allow-volume-mode-change") }}
{{- end }}
{{- define "bulkhead.match.volumegroupsnapshotcontents" -}}
{{ include "bulkhead.match.volumesnapshotcontents" . }}
{{- end }}

{{/* Volumes of our drivers, by a CSI or by the in-tree source. */}}
{{- define "bulkhead.match.persistentvolumes" -}}
- name: driver-is-ours
  expression: >-
    !has(object.spec)
    || has(object.spec.portworxVolume)
    || (has(object.spec.csi)
    && (!has(object.spec.csi.driver) || object.spec.csi.driver in {{ include "bulkhead.match.driverNames" . }}))
- name: new-or-changed
  expression: >-
    request.operation != "UPDATE"
    || object.?spec.?claimRef != oldObject.?spec.?claimRef
    || object.?spec.?csi != oldObject.?spec.?csi
    || object.?spec.?portworxVolume != oldObject.?spec.?portworxVolume
    || {{ include "bulkhead.match.referencesChanged" (list
      "openstorage.io/auth-secret-name" "openstorage.io/auth-secret-namespace"
      "volume.kubernetes.io/provisioner-deletion-secret-name" "volume.kubernetes.io/provisioner-deletion-secret-namespace"
      "volume.kubernetes.io/controller-modify-secret-name" "volume.kubernetes.io/controller-modify-secret-namespace") }}
- name: not-provisioned
  expression: >-
    !({{ include "bulkhead.match.provisioned" . }})
{{- end }}

{{/*
What the driver's own provisioner makes for a claim, complete: by the Secret of
the claim's namespace in every call. The webhook adds whose it is, and asks about
what no claim waits for. A claim must get its volume while no webhook runs, so
here the provisioner's word is taken then; it reads every token, and would not
need a volume to abuse it.
*/}}
{{- define "bulkhead.match.provisionedvolumes" -}}
- name: provisioned
  expression: >-
    {{ include "bulkhead.match.provisioned" . }}
{{- end }}

{{- define "bulkhead.match.provisioned" -}}
{{- $keys := (include "bulkhead.firstLayer" . | fromYaml).keys -}}
{{- $users := list -}}
{{- range .Values.provisioner.serviceAccounts -}}
{{- $users = append $users (printf "system:serviceaccount:%s" (replace "/" ":" .)) -}}
{{- end -}}
{{- $ref := dict "context" . "namespace" "object.spec.claimRef.namespace" -}}
{{- $name := include "bulkhead.cel.tokenSecretName" $ref -}}
{{- $namespace := include "bulkhead.cel.tokenSecretNamespace" $ref -}}
request.operation == "CREATE"
    && request.userInfo.username in {{ $users | toJson }}
    && has(object.spec) && has(object.spec.claimRef) && has(object.spec.csi) && !has(object.spec.portworxVolume)
    && object.spec.csi.?driver.orValue("") in {{ .Values.drivers.csi | toJson }}
    && object.spec.claimRef.?namespace.orValue("") != ""
    && object.spec.claimRef.?uid.orValue("") != ""
    && object.metadata.?name.orValue("") == "pvc-" + object.spec.claimRef.uid
    {{- range $keys.volumeSecretReferences }}
    && object.spec.csi.?{{ . }}.?name.orValue("") == {{ $name }}
    && object.spec.csi.?{{ . }}.?namespace.orValue("") == {{ $namespace }}
    {{- end }}
    && object.metadata.?annotations[?{{ $keys.deletionSecretName | toJson }}].orValue("") == {{ $name }}
    && object.metadata.?annotations[?{{ $keys.deletionSecretNamespace | toJson }}].orValue("") == {{ $namespace }}
    && object.metadata.?annotations[?{{ $keys.modifySecretName | toJson }}].orValue({{ $name }}) == {{ $name }}
    && object.metadata.?annotations[?{{ $keys.modifySecretNamespace | toJson }}].orValue({{ $namespace }}) == {{ $namespace }}
    && !{{ $keys.origin | toJson }}.exists(key, key in object.metadata.annotations)
{{- end }}

{{/*
All new claims. Of updates: what a rule reads as long as the claim lives, and
every annotation and label until it is bound, since the driver reads them all.
Not what Kubernetes itself writes to provision and bind, so that claims of every
driver go on while we are away: those annotations mean nothing to the driver, and
the binder writes a claim into a volume of ours first, which is guarded there.
*/}}
{{- define "bulkhead.match.claimChanged" -}}
{{- $keys := (include "bulkhead.firstLayer" . | fromYaml).keys -}}
request.operation != "UPDATE"
    || !has(object.spec)
    || !has(oldObject.spec)
    || object.spec.?storageClassName != oldObject.spec.?storageClassName
    || (object.spec.?volumeName != oldObject.spec.?volumeName
    && !(request.userInfo.username in ["system:serviceaccount:kube-system:persistent-volume-binder", "system:kube-controller-manager"]))
    || object.spec.?volumeAttributesClassName != oldObject.spec.?volumeAttributesClassName
    || object.spec.?dataSource != oldObject.spec.?dataSource
    || object.spec.?dataSourceRef != oldObject.spec.?dataSourceRef
    || object.spec.?selector != oldObject.spec.?selector
    || {{ include "bulkhead.match.annotationsChanged" (concat (list $keys.authSecretName $keys.authSecretNamespace $keys.betaStorageClass) $keys.storkSource) }}
    || (oldObject.spec.?volumeName.orValue("") == ""
    && (object.metadata.?labels.orValue({}) != oldObject.metadata.?labels.orValue({})
    || object.metadata.?annotations.orValue({}).exists(key,
      !key.startsWith("volume.kubernetes.io/")
      && !key.startsWith("pv.kubernetes.io/")
      && key != "volume.beta.kubernetes.io/storage-provisioner"
      && object.metadata.?annotations[?key] != oldObject.metadata.?annotations[?key])))
{{- end }}

{{/*
Of claims whose class may be ours (the webhook adds a match condition for that)
those in which a rule could find something, or to which something is to be added.
A plain one that has the annotations of its token is finished: by the first layer
or by hand, it never leaves the API server.
*/}}
{{- define "bulkhead.match.persistentvolumeclaims" -}}
{{- $data := include "bulkhead.firstLayer" . | fromYaml -}}
- name: unfinished
  expression: >-
    ({{ include "bulkhead.match.claimChanged" . }})
    && (!has(object.spec)
    || (({{ $data.className }} != "" || object.spec.?volumeAttributesClassName.orValue("") != "")
    && (object.spec.?volumeAttributesClassName.orValue("") != ""
    || has(object.spec.dataSource)
    || has(object.spec.dataSourceRef)
    || !({{ include "bulkhead.cel.pointed" . | nindent 4 }})
    || {{ include "bulkhead.cel.suspiciousKey" (dict "context" . "pointed" true) | nindent 4 }})
    && !({{ include "bulkhead.match.claimHasReference" . }})))
{{- end }}

{{/*
Nothing but the annotations is injected, whatever a claim of ours refers to. What
the first layer would refuse is sent all the same, so that the user learns the
webhook's reasons with its, and operators that it was refused.
*/}}
{{- define "bulkhead.match.claiminjection" -}}
- name: unfinished
  expression: >-
    ({{ include "bulkhead.match.claimChanged" . }})
    && (!has(object.spec)
    || ({{ (include "bulkhead.firstLayer" . | fromYaml).className }} != ""
    && (!({{ include "bulkhead.cel.pointed" . | nindent 4 }})
    || {{ include "bulkhead.cel.suspiciousClaim" (dict "context" . "pointed" true "labelled" true) | nindent 4 }})))
{{- end }}

{{/*
Claims that carry a reference: it is judged whatever the class, as the claim may
end in a volume of ours.
*/}}
{{- define "bulkhead.match.claimreferences" -}}
- name: with-references
  expression: >-
    ({{ include "bulkhead.match.claimChanged" . }})
    && {{ include "bulkhead.match.claimHasReference" . }}
{{- end }}

{{- define "bulkhead.match.claimHasReference" -}}
{{- $keys := (include "bulkhead.firstLayer" . | fromYaml).keys -}}
has(object.spec)
    && ((has(object.spec.volumeName) && object.spec.volumeName != "")
    || has(object.spec.selector)
    || {{ include "bulkhead.cel.labelled" . | nindent 4 }}
    || (has(object.metadata.annotations)
    && !(size(object.metadata.annotations) == 2 && {{ include "bulkhead.cel.annotated" . | nindent 4 }})
    && ((has(object.spec.storageClassName)
    && object.metadata.annotations[?{{ $keys.betaStorageClass | toJson }}].orValue(object.spec.storageClassName) != object.spec.storageClassName)
    {{- range $keys.storkSource }}
    || {{ . | toJson }} in object.metadata.annotations
    {{- end }}
    || {{ include "bulkhead.cel.annotatedElsewhere" . | nindent 4 }})))
{{- end }}

{{/* Pods with an inline volume of ours. The volumes of a Pod are immutable. */}}
{{- define "bulkhead.match.pods" -}}
- name: inline-volume-of-ours
  expression: >-
    object.spec.?volumes.orValue([]).exists(v,
      has(v.portworxVolume) || (has(v.csi) && v.csi.?driver.orValue("") in {{ include "bulkhead.match.driverNames" . }}))
{{- end }}

{{/* Namespaces that join or leave a labelled tenant. */}}
{{- define "bulkhead.match.namespaces" -}}
- name: tenant-changes
  expression: >-
    request.operation == "UPDATE"
    ? object.metadata.?labels[?"bulkhead.dev/tenant"] != oldObject.metadata.?labels[?"bulkhead.dev/tenant"]
    : object.metadata.?labels[?"bulkhead.dev/tenant"].hasValue()
{{- end }}

{{- define "bulkhead.match.stork" -}}
- name: new-or-changed
  expression: >-
    request.operation != "UPDATE"
    || object.?spec != oldObject.?spec
    || {{ include "bulkhead.match.annotationsChanged" (list
      "openstorage.io/auth-secret-name" "openstorage.io/auth-secret-namespace"
      "stork.libopenstorage.org/snapshot-restore-namespaces" "stork/snapshot-restore-namespaces") }}
{{- end }}

{{- define "bulkhead.match.cdi" -}}
- name: new-or-changed
  expression: >-
    request.operation != "UPDATE" || object.?spec != oldObject.?spec
{{- end }}
