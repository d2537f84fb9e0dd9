{{/*
The first layer: what can be decided from an object alone is decided inside the
API server, by policies. They say what the webhook would say of the same object
(webhook/rule_*.go), in the same words: keys and texts come from
files/firstlayer.yaml, which is generated from the code.

No expression can fail on an object that lacks a field: each is read behind has()
or by an optional. (One that failed would refuse the request, as failurePolicy is
Fail, and so hit other drivers.)
*/}}

{{- define "bulkhead.firstLayer" -}}
{{ .Files.Get "files/firstlayer.yaml" }}
{{- end }}

{{/* Whether the API server has the policies, and they are wanted: "true" or nothing. */}}
{{- define "bulkhead.firstLayer.mutating" -}}
{{- if and .Values.webhook.firstLayer.mutating (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/MutatingAdmissionPolicy") }}true{{ end }}
{{- end }}
{{- define "bulkhead.firstLayer.validating" -}}
{{- if and .Values.webhook.firstLayer.validating (.Capabilities.APIVersions.Has "admissionregistration.k8s.io/v1/ValidatingAdmissionPolicy") }}true{{ end }}
{{- end }}

{{/* The token Secret's name for a namespace: (dict "context" $ "namespace" "request.namespace"), an expression. */}}
{{- define "bulkhead.cel.tokenSecretName" -}}
{{- $placeholder := (include "bulkhead.firstLayer" .context | fromYaml).placeholder -}}
{{- $parts := list -}}
{{- range $i, $part := splitList $placeholder (include "bulkhead.secretTemplate" .context) -}}
{{- if $i }}{{ $parts = append $parts $.namespace }}{{ end -}}
{{- if $part }}{{ $parts = append $parts ($part | toJson) }}{{ end -}}
{{- end -}}
{{ join " + " $parts }}
{{- end }}

{{/* And its namespace. */}}
{{- define "bulkhead.cel.tokenSecretNamespace" -}}
{{- if eq .context.Values.tokens.placement "tenant" }}{{ .namespace }}{{ else }}{{ .context.Values.tokens.namespace | toJson }}{{ end }}
{{- end }}

{{/* The annotations that point a claim to its token, with what belongs there: a list of pairs. */}}
{{- define "bulkhead.cel.tokenAnnotations" -}}
{{- $keys := (include "bulkhead.firstLayer" . | fromYaml).keys -}}
[[{{ $keys.authSecretName | toJson }}, {{ include "bulkhead.cel.tokenSecretName" (dict "context" . "namespace" "request.namespace") }}], [{{ $keys.authSecretNamespace | toJson }}, {{ include "bulkhead.cel.tokenSecretNamespace" (dict "context" . "namespace" "request.namespace") }}]]
{{- end }}

{{/* The same as a map. */}}
{{- define "bulkhead.cel.tokenMap" -}}
{{- $keys := (include "bulkhead.firstLayer" . | fromYaml).keys -}}
{ {{ $keys.authSecretName | toJson }}: {{ include "bulkhead.cel.tokenSecretName" (dict "context" . "namespace" "request.namespace") }}, {{ $keys.authSecretNamespace | toJson }}: {{ include "bulkhead.cel.tokenSecretNamespace" (dict "context" . "namespace" "request.namespace") }} }
{{- end }}

{{/*
What follows is asked of every claim, most of which are plain, and they wait for
it. So it is spelled out key by key, as a way through a list of keys takes several
times as long, and a chain that a plain claim leaves early. The API server evaluates
all match conditions before it looks at the first: those that are ours are one, in
which the tests that need not go through anything come first, as an expression may
only cost so much.
*/}}

{{/* Whether the annotations, which are there, point a claim to its token. */}}
{{- define "bulkhead.cel.annotated" -}}
{{- $keys := (include "bulkhead.firstLayer" . | fromYaml).keys -}}
{{- $here := dict "context" . "namespace" "request.namespace" -}}
object.metadata.annotations[?{{ $keys.authSecretName | toJson }}].orValue("") == {{ include "bulkhead.cel.tokenSecretName" $here }}
&& object.metadata.annotations[?{{ $keys.authSecretNamespace | toJson }}].orValue("") == {{ include "bulkhead.cel.tokenSecretNamespace" $here }}
{{- end }}

{{- define "bulkhead.cel.pointed" -}}
has(object.metadata.annotations) && {{ include "bulkhead.cel.annotated" . }}
{{- end }}

{{/* Whether the annotations, which are there, point it elsewhere. Most are right, which is asked first. */}}
{{- define "bulkhead.cel.annotatedElsewhere" -}}
{{- $keys := (include "bulkhead.firstLayer" . | fromYaml).keys -}}
{{- $here := dict "context" . "namespace" "request.namespace" -}}
{{- $name := $keys.authSecretName | toJson -}}
{{- $namespace := $keys.authSecretNamespace | toJson -}}
(!({{ include "bulkhead.cel.annotated" . }})
&& (({{ $name }} in object.metadata.annotations && object.metadata.annotations[{{ $name }}] != {{ include "bulkhead.cel.tokenSecretName" $here }})
|| ({{ $namespace }} in object.metadata.annotations && object.metadata.annotations[{{ $namespace }}] != {{ include "bulkhead.cel.tokenSecretNamespace" $here }})))
{{- end }}

{{/* Whether a label points it anywhere. */}}
{{- define "bulkhead.cel.labelled" -}}
{{- $keys := (include "bulkhead.firstLayer" . | fromYaml).keys -}}
(has(object.metadata.labels)
&& ({{ $keys.authSecretName | toJson }} in object.metadata.labels || {{ $keys.authSecretNamespace | toJson }} in object.metadata.labels))
{{- end }}

{{/*
Whether a rule may have something against a key among the annotations or labels:
(dict "context" $). With "pointed" true it is known by then that two annotations are
those that point the claim to its token, with "labelled" true such labels count too.
*/}}
{{- define "bulkhead.cel.suspiciousKey" -}}
{{- $keys := (include "bulkhead.firstLayer" .context | fromYaml).keys -}}
{{- $whole := concat $keys.forbidden (ternary list $keys.tunable (eq .context.Values.webhook.rules.tunable "allow")) -}}
{{- $pointers := ternary (list $keys.authSecretName $keys.authSecretNamespace) list (default false .labelled) -}}
{{- range $field := list "annotations" "labels" -}}
{{- $those := ternary (concat $whole $pointers) $whole (eq $field "labels") -}}
{{ if eq $field "labels" }}
|| {{ end }}(has(object.metadata.{{ $field }}){{ if and $.pointed (eq $field "annotations") }} && size(object.metadata.annotations) > 2{{ end }}
&& object.metadata.{{ $field }}.exists(k, k in {{ $those | toJson }}
{{- range concat $keys.forbiddenPrefixes $keys.legacyPrefixes }}
|| k.startsWith({{ . | toJson }})
{{- end }}))
{{- end }}
{{- end }}

{{/* The kind of a data source, "<kind>.<group>": its field. The core group may be null. */}}
{{- define "bulkhead.cel.sourceKind" -}}
object.spec.{{ . }}.kind + "." + (object.spec.{{ . }}.?apiGroup.orValue(null) == null ? "" : object.spec.{{ . }}.apiGroup)
{{- end }}

{{/* Whether a rule of the first layer may have something against a claim of ours: as suspiciousKey. */}}
{{- define "bulkhead.cel.suspiciousClaim" -}}
{{- $kinds := include "bulkhead.cel.sourceKinds" .context -}}
(has(object.spec.dataSource) && !({{ include "bulkhead.cel.sourceKind" "dataSource" }} in {{ $kinds }}))
|| (has(object.spec.dataSourceRef)
&& (!({{ include "bulkhead.cel.sourceKind" "dataSourceRef" }} in {{ $kinds }})
|| !(object.spec.dataSourceRef.?namespace.orValue("") in ["", request.namespace])))
|| {{ include "bulkhead.cel.suspiciousKey" . }}
{{- end }}

{{/* The kinds that a claim may take its data from. */}}
{{- define "bulkhead.cel.sourceKinds" -}}
{{ concat (include "bulkhead.firstLayer" . | fromYaml).sourceKinds .Values.webhook.rules.dataSourceKinds | toJson }}
{{- end }}

{{/* The class of a claim as it was. */}}
{{- define "bulkhead.cel.oldClassName" -}}
{{ (include "bulkhead.firstLayer" . | fromYaml).className | replace "object." "oldObject." }}
{{- end }}

{{/* One reason to refuse: (dict "context" $ "denial" "forbiddenKey" "field" "an expression" "about" "an expression, may be left out"). */}}
{{- define "bulkhead.cel.denial" -}}
{{- $d := index (include "bulkhead.firstLayer" .context | fromYaml).denials .denial -}}
{{ printf "%s: " $d.rule | toJson }} + {{ .field }} + ": " + {{ with .about }}{{ . }} + " " + {{ end }}{{ printf "%s; %s" $d.message $d.mend | toJson }}
{{- end }}

{{/*
What each policy judges. A rule is a list of reasons to refuse, empty if there is
none; the name of its template is its id. "match" names the template of a condition
that holds wherever a rule has a reason, and for few other objects: the API server
would look for the words of a denial even where there is none.
*/}}
{{- define "bulkhead.firstLayer.policies" -}}
# Claims of the classes that are known to be ours: the webhook adds a match
# condition for that, and judges those of classes that are new.
- name: claims
  rules: [BH-A1, BH-A10, BH-A2, BH-A4]
  resources: [persistentvolumeclaims, persistentvolumeclaims/status]
  operations: [CREATE, UPDATE]
  match: suspiciousClaim
  variables: claims
# Claims of any class: Stork acts on these annotations alone.
- name: references
  rules: [BH-A5]
  resources: [persistentvolumeclaims, persistentvolumeclaims/status]
  operations: [CREATE, UPDATE]
  match: suspiciousReference
- name: pods
  rules: [BH-C5]
  resources: [pods]
  # The volumes of a Pod are immutable.
  operations: [CREATE]
  match: inlineVolume
- name: namespaces
  rules: [BH-E3]
  resources: [namespaces, namespaces/status, namespaces/finalize]
  operations: [CREATE, UPDATE]
  match: tenant
  # The message of a policy that asks the authorizer cannot be an expression.
  reason: unassignable
{{- end }}

{{- define "bulkhead.firstLayer.variables.claims" -}}
# Whether the claim gets its class by this request.
- name: enters
  expression: >-
    request.operation != "UPDATE"
    || {{ (include "bulkhead.firstLayer" . | fromYaml).className }}
    != {{ include "bulkhead.cel.oldClassName" . }}
# Keys that the driver has yet to read and that this request brings, each with
# the field that it is in. The driver reads them once, when it makes the volume.
- name: unread
  expression: >-
    request.operation != "UPDATE" || oldObject.spec.?volumeName.orValue("") == ""
- name: keys
  expression: >-
    !variables.unread ? [] :
    {{- range $i, $field := list "annotations" "labels" }}
    {{ if $i }}+ {{ end }}object.metadata.?{{ $field }}.orValue({}).filter(k, variables.enters
    || object.metadata.?{{ $field }}[?k] != oldObject.metadata.?{{ $field }}[?k]).map(k, ["metadata.{{ $field }}[" + k + "]", string(k)])
    {{- end }}
# Where the claim takes its data from, each with the field that says so.
- name: sources
  expression: >-
    !variables.enters ? [] :
    {{- range $i, $field := list "dataSource" "dataSourceRef" }}
    {{ if $i }}+ {{ end }}(has(object.spec.{{ $field }})
    ? [["spec.{{ $field }}.kind", {{ include "bulkhead.cel.sourceKind" $field }}]] : [])
    {{- end }}
{{- end }}

{{- define "bulkhead.firstLayer.match.suspiciousClaim" -}}
- name: suspicious
  expression: >-
    {{ (include "bulkhead.firstLayer" . | fromYaml).className }} != ""
    && ({{ include "bulkhead.cel.suspiciousClaim" (dict "context" .) | nindent 4 }})
    && {{ include "bulkhead.cel.judgedHere" . }}
{{- end }}

{{- define "bulkhead.firstLayer.match.suspiciousReference" -}}
- name: suspicious
  expression: >-
    ((has(object.metadata.annotations) && {{ include "bulkhead.cel.annotatedElsewhere" . | nindent 4 }})
    || {{ include "bulkhead.cel.labelled" . | nindent 4 }})
    && {{ include "bulkhead.cel.judgedHere" . }}
{{- end }}

{{- define "bulkhead.firstLayer.match.inlineVolume" -}}
- name: suspicious
  expression: >-
    object.spec.?volumes.orValue([]).exists(v, has(v.csi) || has(v.portworxVolume))
    && {{ include "bulkhead.cel.judgedHere" . }}
{{- end }}

{{/* A namespace that is exempt from the rules does not assign itself a tenant either. */}}
{{- define "bulkhead.firstLayer.match.tenant" -}}
{{- $label := (include "bulkhead.firstLayer" . | fromYaml).keys.tenant | toJson -}}
- name: suspicious
  expression: >-
    object.metadata.?labels[?{{ $label }}]
    != (request.operation == "UPDATE" ? oldObject.metadata.?labels[?{{ $label }}] : optional.none())
    && {{ include "bulkhead.cel.judged" (dict "context" . "namespace" "object.metadata.name" "others" list) }}
{{- end }}

{{/* Another namespace is another tenant's, unless this one is of a labelled tenant: then the webhook knows. */}}
{{- define "bulkhead.firstLayer.BH-A1" -}}
variables.enters
&& !(object.spec.?dataSourceRef.?namespace.orValue("") in ["", request.namespace])
&& namespaceObject.metadata.?labels[?{{ (include "bulkhead.firstLayer" . | fromYaml).keys.tenant | toJson }}].orValue("") == ""
? [{{ include "bulkhead.cel.denial" (dict "context" . "denial" "foreignSource" "field" (toJson "spec.dataSourceRef.namespace")) }}] : []
{{- end }}

{{- define "bulkhead.firstLayer.BH-A2" -}}
variables.sources.filter(s, !(s[1] in {{ include "bulkhead.cel.sourceKinds" . }}))
.map(s, {{ include "bulkhead.cel.denial" (dict "context" . "denial" "unguardedKind" "field" "s[0]" "about" `"\"" + s[1] + "\""`) }})
{{- end }}

{{- define "bulkhead.firstLayer.BH-A4" -}}
{{- $keys := (include "bulkhead.firstLayer" . | fromYaml).keys -}}
variables.keys.filter(k, k[1] in {{ $keys.forbidden | toJson }}
|| {{ $keys.forbiddenPrefixes | toJson }}.exists(p, k[1].startsWith(p)))
.map(k, {{ include "bulkhead.cel.denial" (dict "context" . "denial" "forbiddenKey" "field" "k[0]") }})
{{- /* What a class allows is for the webhook to look up. */}}
{{- if eq .Values.webhook.rules.tunable "deny" }}
+ variables.keys.filter(k, k[1] in {{ $keys.tunable | toJson }})
.map(k, {{ include "bulkhead.cel.denial" (dict "context" . "denial" "keptKey" "field" "k[0]") }})
{{- end }}
{{- end }}

{{/* As a claim gets its class the annotations are written over before this is asked. */}}
{{- define "bulkhead.firstLayer.BH-A5" -}}
{{ include "bulkhead.cel.tokenAnnotations" . }}
.filter(e, object.metadata.?annotations[?e[0]].orValue(e[1]) != e[1]
&& (request.operation != "UPDATE" || object.metadata.?annotations[?e[0]] != oldObject.metadata.?annotations[?e[0]]))
.map(e, {{ include "bulkhead.cel.denial" (dict "context" . "denial" "foreignToken" "field" `"metadata.annotations[" + e[0] + "]"`) }})
+ {{ include "bulkhead.cel.tokenAnnotations" . }}
.filter(e, object.metadata.?labels[?e[0]].hasValue()
&& (request.operation != "UPDATE" || object.metadata.?labels[?e[0]] != oldObject.metadata.?labels[?e[0]]))
.map(e, {{ include "bulkhead.cel.denial" (dict "context" . "denial" "labelledToken" "field" `"metadata.labels[" + e[0] + "]"`) }})
{{- end }}

{{- define "bulkhead.firstLayer.BH-A10" -}}
variables.keys.filter(k, {{ (include "bulkhead.firstLayer" . | fromYaml).keys.legacyPrefixes | toJson }}.exists(p, k[1].startsWith(p)))
.map(k, {{ include "bulkhead.cel.denial" (dict "context" . "denial" "legacyKey" "field" "k[0]") }})
{{- end }}

{{- define "bulkhead.firstLayer.BH-C5" -}}
object.spec.?volumes.orValue([]).filter(v, has(v.csi) && v.csi.?driver.orValue("") in {{ include "bulkhead.match.driverNames" . }})
.map(v, {{ include "bulkhead.cel.denial" (dict "context" . "denial" "inlineVolume" "field" `"spec.volumes[" + v.name + "].csi"`) }})
+ object.spec.?volumes.orValue([]).filter(v, has(v.portworxVolume))
.map(v, {{ include "bulkhead.cel.denial" (dict "context" . "denial" "inlineVolume" "field" `"spec.volumes[" + v.name + "].portworxVolume"`) }})
{{- end }}

{{/* Whether the namespace has volumes is for the webhook to look up. */}}
{{- define "bulkhead.firstLayer.BH-E3" -}}
{{- $data := include "bulkhead.firstLayer" . | fromYaml -}}
{{- $label := $data.keys.tenant | toJson -}}
(request.operation != "UPDATE" || object.metadata.?labels[?{{ $label }}] != oldObject.metadata.?labels[?{{ $label }}])
&& [object.metadata.?labels[?{{ $label }}].orValue(""),
request.operation == "UPDATE" ? oldObject.metadata.?labels[?{{ $label }}].orValue("") : ""]
.exists(tenant, tenant != ""
&& !authorizer.group({{ $data.assign.group | toJson }}).resource({{ $data.assign.resource | toJson }}).name(tenant).check({{ $data.assign.verb | toJson }}).allowed())
? ["{{ $data.denials.unassignable.rule }}"] : []
{{- end }}

{{/* A reason that is the same for all objects. */}}
{{- define "bulkhead.firstLayer.reason.unassignable" -}}
{{- $data := include "bulkhead.firstLayer" . | fromYaml -}}
{{- with $data.denials.unassignable }}{{ .rule }}: metadata.labels[{{ $data.keys.tenant }}]: {{ .message }}; {{ .mend }}{{ end }}
{{- end }}

{{/* A rule, but not for the users who are exempt from it: (dict "context" $ "rule" "BH-A1"). */}}
{{- define "bulkhead.firstLayer.rule" -}}
{{- $users := list -}}
{{- range $user, $rules := .context.Values.webhook.rules.exemptUsers -}}
{{- if has $.rule $rules }}{{ $users = append $users $user }}{{ end -}}
{{- end -}}
{{- $expression := include (printf "bulkhead.firstLayer.%s" .rule) .context -}}
{{- if $users -}}
request.userInfo.username in {{ $users | toJson }} ? [] : ({{ $expression }})
{{- else -}}
{{ $expression }}
{{- end -}}
{{- end }}

{{/*
Whether a namespace is not one of the release's own, nor of others: (dict "context" $
"namespace" "request.namespace" "others" list). An expression, and the last that is
asked: the API server takes a policy's namespaceSelector apart anew for every write of
any kind.
*/}}
{{- define "bulkhead.cel.judged" -}}
!({{ .namespace }} in {{ concat (list .context.Release.Namespace .context.Values.tokens.namespace) .others | uniq | toJson }})
{{- end }}

{{/* The same for what is in a namespace. */}}
{{- define "bulkhead.cel.judgedHere" -}}
{{ include "bulkhead.cel.judged" (dict "context" . "namespace" "request.namespace" "others" .Values.webhook.rules.exemptNamespaces) }}
{{- end }}
