package webhook

import (
	"fmt"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

//go:generate go run ./generate ../charts/bulkhead/files/firstlayer.yaml

// firstLayer is what the policies that the API server evaluates by itself share
// with the rules here. The chart's templates put it into their expressions, so
// that no key and no text is written twice.
type firstLayer struct {
	Keys    firstLayerKeys             `json:"keys"`
	Denials map[string]firstLayerReply `json:"denials"`
	// KnownDrivers are all names under which the driver has been installed.
	KnownDrivers []string `json:"knownDrivers"`
	// SourceKinds are "<kind>.<group>".
	SourceKinds []string `json:"sourceKinds"`
	// Placeholder stands for the namespace in the name of a token Secret.
	Placeholder string `json:"placeholder"`
	// ClassName is the class of a claim, an expression.
	ClassName string `json:"className"`
	Assign    struct {
		Verb     string `json:"verb"`
		Group    string `json:"group"`
		Resource string `json:"resource"`
	} `json:"assign"`
}

type firstLayerKeys struct {
	Forbidden         []string `json:"forbidden"`
	ForbiddenPrefixes []string `json:"forbiddenPrefixes"`
	LegacyPrefixes    []string `json:"legacyPrefixes"`
	Tunable           []string `json:"tunable"`
	// Origin say whose a volume is.
	Origin []string `json:"origin"`
	// StorkSource point a claim to a snapshot elsewhere.
	StorkSource             []string `json:"storkSource"`
	AuthSecretName          string   `json:"authSecretName"`
	AuthSecretNamespace     string   `json:"authSecretNamespace"`
	DeletionSecretName      string   `json:"deletionSecretName"`
	DeletionSecretNamespace string   `json:"deletionSecretNamespace"`
	ModifySecretName        string   `json:"modifySecretName"`
	ModifySecretNamespace   string   `json:"modifySecretNamespace"`
	BetaStorageClass        string   `json:"betaStorageClass"`
	Tenant                  string   `json:"tenant"`
	// VolumeSecretReferences are fields of a csi source.
	VolumeSecretReferences []string `json:"volumeSecretReferences"`
}

// firstLayerReply is a Denial without its field.
type firstLayerReply struct {
	Rule    string `json:"rule"`
	Message string `json:"message"`
	Mend    string `json:"mend"`
}

// FirstLayer is the data of the chart's policies, in YAML.
func FirstLayer() ([]byte, error) {
	var legacy, prefixes []string
	for _, prefix := range tenancy.ForbiddenPrefixes() {
		if strings.HasPrefix(prefix, legacyPrefix) {
			legacy = append(legacy, prefix)
		} else {
			prefixes = append(prefixes, prefix)
		}
	}
	reply := func(rule string, d Denial) firstLayerReply { return firstLayerReply{rule, d.Message, d.Mend} }
	data := firstLayer{
		Keys: firstLayerKeys{
			Forbidden: tenancy.ForbiddenKeys(), ForbiddenPrefixes: prefixes, LegacyPrefixes: legacy,
			Tunable: tenancy.TunableKeys(), Origin: originKeys(), StorkSource: storkSnapshotSource,
			AuthSecretName: tenancy.AuthSecretName, AuthSecretNamespace: tenancy.AuthSecretNamespace,
			DeletionSecretName: tenancy.DeletionSecretName, DeletionSecretNamespace: tenancy.DeletionSecretNamespace,
			ModifySecretName: tenancy.ModifySecretName, ModifySecretNamespace: tenancy.ModifySecretNamespace,
			BetaStorageClass: tenancy.BetaStorageClass, Tenant: tenancy.TenantLabel,
		},
		Denials: map[string]firstLayerReply{
			"foreignSource": reply(ruleA1.id, foreignSource),
			"legacyKey":     reply(ruleA10.id, legacyKey),
			"unguardedKind": reply(ruleA2.id, unguardedKind),
			"forbiddenKey":  reply(ruleA4.id, forbiddenKey),
			"keptKey":       reply(ruleA4.id, keptKey),
			"foreignToken":  reply(ruleA5.id, foreignToken),
			"labelledToken": reply(ruleA5.id, labelledToken),
			"inlineVolume":  reply(ruleC5.id, inlineVolume),
			"unassignable":  reply(ruleE3.id, unassignable),
		},
		KnownDrivers: tenancy.KnownNames(), SourceKinds: slices.Clone(guardedKinds),
		Placeholder: tenancy.Placeholder, ClassName: classNameExpression("object"),
	}
	for _, reference := range secretReferences(&corev1.CSIPersistentVolumeSource{}) {
		data.Keys.VolumeSecretReferences = append(data.Keys.VolumeSecretReferences, reference.name)
	}
	data.Assign.Verb, data.Assign.Group, data.Assign.Resource = assignVerb, assignGroup, assignResource
	text, err := yaml.Marshal(data)
	if err != nil {
		return nil, fmt.Errorf("encode the data of the policies: %w", err)
	}
	return text, nil
}
