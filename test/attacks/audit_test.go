package attacks

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/libopenstorage/openstorage/api"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/bulkhead-dev/bulkhead/plugin/audit"
	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// unfilled are the rules that an object breaks that should have been filled in as
// it was made, and was not: its Secrets, its origin, its source.
var unfilled = []string{"BH-B3", "BH-B4", "BH-B6", "BH-C2", "BH-C3", "BH-C6", "BH-E7", "BH-D2"}

// TestTheAuditFindsWhatGotPast makes what the corpus has, attacks and what is
// friendly, while nothing is in force, and has the audit find it: every attack by
// a rule that would have refused it, and nothing that is friendly.
func TestTheAuditFindsWhatGotPast(t *testing.T) {
	s := set(t)
	performances, err := s.rehearse(t.Context(), slices.DeleteFunc(corpus(t), func(c *Case) bool { return !c.canBeFound() }), "q")
	if err != nil {
		t.Fatal(err)
	}
	made := make([]*unstructured.Unstructured, len(performances))
	index := map[*performance]int{}
	for i, p := range performances {
		index[p] = i
	}
	var report *audit.Report
	err = s.asBeforeInstall(t.Context(), func() (err error) {
		together(performances, func(p *performance) {
			if p.failure == nil {
				made[index[p]], p.failure = p.act(t.Context(), s, p.tested[0])
			}
		})
		if err := s.seed(t); err != nil {
			return err
		}
		report, err = s.audit(t.Context())
		return err
	})
	t.Cleanup(func() { s.removeAll(performances, made) })
	if err != nil {
		t.Fatal(err)
	}
	found, missed, friendly := map[string]bool{}, 0, 0
	for i, p := range performances {
		if p.failure != nil {
			t.Logf("%s was not made: %.200v", p.Case, p.failure)
			continue // the API server refuses it by itself, or another has the name
		}
		about := slices.DeleteFunc(slices.Clone(report.Findings), func(f audit.Finding) bool { return !isAbout(f, made[i]) })
		switch {
		case !p.Attack():
			friendly++
			for _, f := range about {
				if !slices.Contains(unfilled, f.Rule) {
					t.Errorf("%s is friendly, and the audit says %s: %v: %s", p.Case, f.Rule, f.Fields, f.Message)
				}
			}
		case !slices.ContainsFunc(about, func(f audit.Finding) bool { return slices.Contains(p.Rules, f.Rule) || p.isNow(f.Rule) }):
			missed++
			t.Errorf("%s: the audit found %v, want one of %v", p.Case, rulesFound(about), p.Rules)
		default:
			for _, rule := range p.Rules {
				found[rule] = found[rule] || slices.Contains(rulesFound(about), rule)
			}
		}
	}
	t.Logf("%d rules found something, %d attacks were missed, %d friendly objects; not checked: %v", len(found), missed, friendly, report.Unchecked)
	for _, row := range rows {
		// E3 is of changes, and D6 of who acts.
		// A7's are found by what they are bound to, C4's are changes.
		if rule := "BH-" + row; !slices.Contains([]string{"E3", "D6", "A7", "C4"}, row) && !found[rule] {
			t.Errorf("no attack was found by rule %s", rule)
		}
	}
	for _, f := range report.Findings {
		about := func(object *unstructured.Unstructured) bool { return object != nil && isAbout(f, object) }
		if !slices.ContainsFunc(made, about) && seeds[f.Object.Name] == "" && !cameOfIt(f) {
			t.Errorf("nobody made this, and the audit says %s: %s %v: %s", f.Rule, f.Object, f.Fields, f.Message)
		}
	}
	for name, rule := range seeds {
		about := slices.DeleteFunc(slices.Clone(report.Findings), func(f audit.Finding) bool { return f.Object.Name != name })
		if !slices.Contains(rulesFound(about), rule) {
			t.Errorf("of %s the audit found %v, want %s", name, rulesFound(about), rule)
		}
	}
}

// cameOfIt reports whether a finding is about what the cluster made of what was made:
// volumes of claims and contents of snapshots, which nothing filled in, the class
// that claims wait for, and the policies that are out of force; or about the namespace
// that the installation exempts.
func cameOfIt(f audit.Finding) bool {
	switch f.Object.Kind {
	case "PersistentVolume":
		return strings.HasPrefix(f.Object.Name, "pvc-") && slices.Contains(unfilled, f.Rule)
	case "VolumeSnapshotContent":
		return strings.HasPrefix(f.Object.Name, "snapcontent-") && (f.Rule == "BH-B2" || slices.Contains(unfilled, f.Rule))
	case "StorageClass":
		return f.Object.Name == actors.CSIClass && f.Rule == "BH-C7"
	case "ValidatingAdmissionPolicy":
		return f.Rule == "BH-E6"
	case "ConfigMap":
		return f.Rule == "BH-E6" && strings.HasSuffix(f.Message, "in namespace "+exempt)
	}
	return false
}

// seeds are what no case of the corpus leaves behind, by the name of the object,
// and the rule that finds it.
var seeds = map[string]string{
	"audit-taken":            "BH-C4",
	"audit-left":             "BH-E14",
	"audit-unsaid":           "BH-E7",
	"bulkhead":               "BH-E6", // the webhook configurations, which are empty then
	tokenNamespace:           "BH-E13",
	"audit-shared-with-all":  "BH-E8",
	"audit-shared-with-some": "BH-E12",
}

const tokenNamespace = "bulkhead-tokens"

// seed makes them. The webhook and the policies are out of force.
func (s *scene) seed(t *testing.T) error {
	t.Helper()
	ctx := t.Context()
	handle, victim := s.values["VICTIM_VOLUME"], s.victim.Tenant()
	gone := tenancy.Tenant{Namespace: "gone", UID: "7e6f5d4c-3b2a-4190-8877-665544332211"}
	for name, about := range map[string]struct {
		namespace string
		origin    map[string]string
	}{
		"audit-taken":  {s.attacker.Namespace.Name, victim.Origin()},
		"audit-left":   {gone.Namespace, gone.Origin()},
		"audit-unsaid": {s.victim.Namespace.Name, nil},
	} {
		pv := actors.StaticVolume(name, handle, about.namespace, name)
		pv.Annotations = about.origin
		if err := s.admin.Create(ctx, pv); err != nil {
			return err
		}
		t.Cleanup(func() { _ = s.admin.Delete(context.Background(), pv) })
	}
	quota := &corev1.ResourceQuota{}
	if err := s.admin.Get(ctx, client.ObjectKey{Namespace: tokenNamespace, Name: "bulkhead-no-pods"}, quota); err != nil {
		return err
	}
	if err := s.admin.Delete(ctx, quota.DeepCopy()); err != nil {
		return err
	}
	t.Cleanup(func() {
		quota.ResourceVersion, quota.UID = "", ""
		if err := s.admin.Create(context.Background(), quota); err != nil {
			t.Error(err)
		}
	})
	return s.share(t)
}

// share opens volumes of the victim on the storage cluster, as their owner may.
func (s *scene) share(t *testing.T) error {
	t.Helper()
	storageClient, err := stage.Env.Storage.Dial()
	if err != nil {
		return err
	}
	admin, err := stage.Env.Storage.AsAdmin(t.Context())
	if err != nil {
		return err
	}
	owner := s.victim.Subject()
	for name, acls := range map[string]*api.Ownership_AccessControl{
		"audit-shared-with-all":  {Public: &api.Ownership_PublicAccessControl{Type: api.Ownership_Read}},
		"audit-shared-with-some": {Collaborators: map[string]api.Ownership_AccessType{s.attacker.Subject(): api.Ownership_Read}},
	} {
		made, err := api.NewOpenStorageVolumeClient(storageClient.Conn()).Create(admin, &api.SdkVolumeCreateRequest{
			Name: name, Spec: &api.VolumeSpec{Size: 1 << 30, HaLevel: 1},
		})
		if err != nil {
			return err
		}
		id := made.GetVolumeId()
		seeds[id] = seeds[name]
		delete(seeds, name)
		if err := storageClient.SetOwnership(admin, id, &api.Ownership{Owner: owner, Acls: acls}); err != nil {
			return err
		}
		t.Cleanup(func() {
			again, err := stage.Env.Storage.AsAdmin(context.Background())
			if err == nil {
				_, err = api.NewOpenStorageVolumeClient(storageClient.Conn()).Delete(again, &api.SdkVolumeDeleteRequest{VolumeId: id})
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	return nil
}

// canBeFound reports whether the case makes an object that stays, and that is at
// fault as it is.
func (c *Case) canBeFound() bool {
	if c.As == operatorElsewhere || c.ThroughController || c.DryRun || c.Subresource != "" || slices.Contains(c.Rules, "BH-E3") {
		return false
	}
	return c.How == howCreate && (c.Expect == expectRefused || !c.Attack())
}

// audit is what kubectl bulkhead audit says of the scene's cluster.
func (s *scene) audit(ctx context.Context) (*audit.Report, error) {
	binaries, err := cluster.Build(ctx, &bytes.Buffer{})
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, binaries.KubectlBulkhead, "audit", "-o", "json", "--fail-on", "none",
		"--kubeconfig", s.admin.Compute.Kubeconfig, "--storage-token-file", stage.Env.Storage.AdminTokenFile)
	var problems bytes.Buffer
	cmd.Stderr = &problems
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("audit: %w: %s", err, problems.String())
	}
	var report audit.Report
	if err := json.Unmarshal(out, &report); err != nil {
		return nil, fmt.Errorf("audit: %w", err)
	}
	return &report, nil
}

// isAbout reports whether a finding is about the object, or about what was made
// before it for the case: that has its name, or one that begins with it.
func isAbout(f audit.Finding, object *unstructured.Unstructured) bool {
	return strings.HasPrefix(f.Object.Name, object.GetName()) && (f.Object.Namespace == "" || f.Object.Namespace == object.GetNamespace())
}

// isNow reports whether a rule finds what has become of the attack since. The
// binder binds a free volume to the first claim that fits, and then the volume is
// at fault.
func (p *performance) isNow(rule string) bool {
	bound := []string{"BH-C1", "BH-C3"}
	return slices.Contains(bound, rule) && (p.Folder == "A6" || p.Folder == "A7" || p.Folder == "C1")
}

func rulesFound(findings []audit.Finding) []string {
	var rules []string
	for _, f := range findings {
		rules = append(rules, f.Rule)
	}
	slices.Sort(rules)
	return slices.Compact(rules)
}

// removeAll removes what was made: other tests share the teams.
func (s *scene) removeAll(performances []*performance, made []*unstructured.Unstructured) {
	for i, object := range made {
		if object == nil {
			continue
		}
		client, err := s.resource(clusterAdmin, object)
		if err == nil {
			err = client.Delete(context.Background(), object.GetName(), metav1.DeleteOptions{})
		}
		if ignoreNotFound(err) != nil {
			performances[i].failure = errors.Join(performances[i].failure, err)
		}
	}
}
