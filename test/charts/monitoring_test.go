package charts

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"

	"github.com/bulkhead-dev/bulkhead/tenancy"
	"github.com/bulkhead-dev/bulkhead/test/actors"
	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// alert is a rule of Prometheus.
type alert struct {
	Alert, Expr string
	Labels      map[string]string
	Annotations map[string]string
}

// alertsOf are those of a chart.
func alertsOf(t *testing.T, chart string) (alerts []alert) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	if err := yaml.Unmarshal(read(t, "charts", chart, "files/alerts.yaml"), &file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		alerts = append(alerts, group.Rules...)
	}
	if len(alerts) < 5 {
		t.Fatalf("%s has %d alerts", chart, len(alerts))
	}
	return alerts
}

func TestAlertsPassTheirUnitTests(t *testing.T) {
	for _, chart := range charts() {
		if err := promtool(t.Context(), "check", "rules", "--lint=all", "--lint-fatal", "../../../charts/"+chart+"/files/alerts.yaml"); err != nil {
			t.Error(err)
		}
		tests := chart + "_alerts_test.yaml"
		if err := promtool(t.Context(), "test", "rules", tests); err != nil {
			t.Error(err)
		}
		var file struct {
			Tests []struct {
				AlertRuleTest []struct {
					AlertName string `json:"alertname"`
					ExpAlerts []any  `json:"exp_alerts"`
				} `json:"alert_rule_test"`
			}
		}
		if err := yaml.Unmarshal(read(t, "test/charts/testdata", tests), &file); err != nil {
			t.Fatal(err)
		}
		for _, alert := range alertsOf(t, chart) {
			fires, rests := false, false
			for _, test := range file.Tests {
				for _, expected := range test.AlertRuleTest {
					fires = fires || expected.AlertName == alert.Alert && len(expected.ExpAlerts) > 0
					rests = rests || expected.AlertName == alert.Alert && len(expected.ExpAlerts) == 0
				}
			}
			if !fires || !rests {
				t.Errorf("%s: a test in which it fires: %v; in which it rests: %v", alert.Alert, fires, rests)
			}
		}
	}
}

func TestEachAlertSaysWhatToDo(t *testing.T) {
	docs := string(read(t, "docs/alerts.md"))
	var names []string
	for _, chart := range charts() {
		for _, alert := range alertsOf(t, chart) {
			names = append(names, alert.Alert)
			if !strings.Contains(docs, "\n### "+alert.Alert+"\n") {
				t.Errorf("docs/alerts.md has no section for %s", alert.Alert)
			}
			if want := "docs/alerts.md#" + strings.ToLower(alert.Alert); !strings.HasSuffix(alert.Annotations["runbook_url"], want) {
				t.Errorf("%s: the runbook is %q", alert.Alert, alert.Annotations["runbook_url"])
			}
			if !slices.Contains([]string{"info", "warning", "critical"}, alert.Labels["severity"]) {
				t.Errorf("%s: severity %q", alert.Alert, alert.Labels["severity"])
			}
		}
	}
	for _, section := range regexp.MustCompile(`(?m)^### (\S+)$`).FindAllStringSubmatch(docs, -1) {
		if !slices.Contains(names, section[1]) {
			t.Errorf("docs/alerts.md has a section for %s, which is no alert", section[1])
		}
	}
}

// What a chart ships is what was tested: the files, untouched by the templates.
func TestRulesAndDashboardsAreRenderedAsTheyAre(t *testing.T) {
	for chart, name := range map[string]string{"bulkhead": "bulkhead", "bulkhead-issuer": "bulkhead-issuer"} {
		objects := objectsOf(t, chart, newestVersion, valueSets(t, chart)["everything"])
		rule := find(objects, "PrometheusRule", name)
		var want map[string]any
		if err := yaml.Unmarshal(read(t, "charts", chart, "files/alerts.yaml"), &want); err != nil {
			t.Fatal(err)
		}
		if got, err := json.Marshal(rule.Object["spec"]); err != nil || !sameJSON(t, got, want) {
			t.Errorf("%s: the rules are not those of the file (%v)", chart, err)
		}
		dashboard := as[corev1.ConfigMap](t, find(objects, "ConfigMap", name+"-dashboard"))
		if got, want := dashboard.Data[name+".json"], string(read(t, "charts", chart, "files/dashboard.json")); strings.TrimSpace(got) != strings.TrimSpace(want) {
			t.Errorf("%s: the dashboard is not that of the file", chart)
		}
	}
}

func sameJSON(t *testing.T, got []byte, want any) bool {
	t.Helper()
	raw, err := json.Marshal(want)
	if err != nil {
		t.Fatal(err)
	}
	return bytes.Equal(got, raw)
}

// dashboardExpressions are the expressions of a chart's dashboard, with a value for
// what Grafana puts in, and those by which it finds the namespaces.
func dashboardExpressions(t *testing.T, chart string) (expressions []string) {
	t.Helper()
	var dashboard struct {
		Panels []struct {
			Title   string
			Targets []struct{ Expr string }
		}
		Templating struct {
			List []struct{ Type, Query string }
		}
	}
	if err := json.Unmarshal(read(t, "charts", chart, "files/dashboard.json"), &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		if len(panel.Targets) == 0 {
			t.Errorf("%s: panel %q shows nothing", chart, panel.Title)
		}
		for _, target := range panel.Targets {
			expressions = append(expressions, strings.NewReplacer("$__rate_interval", "5m", "$namespace", ".*").Replace(target.Expr))
		}
	}
	for _, variable := range dashboard.Templating.List {
		if metric, found := strings.CutPrefix(variable.Query, "label_values("); found {
			metric, _, _ = strings.Cut(metric, ",")
			expressions = append(expressions, metric)
		}
	}
	if len(expressions) < 8 {
		t.Fatalf("the dashboard of %s has %d expressions", chart, len(expressions))
	}
	return expressions
}

// givenByPrometheus are the labels that a scrape brings.
func givenByPrometheus(label string) bool {
	return slices.Contains([]string{"namespace", "job", "pod", "instance"}, label)
}

// TestEveryMetricIsReal holds what alerts and dashboards ask for against what the
// binaries tell once all of it has happened: each metric is there, with each label
// and, where one is named, its value.
func TestEveryMetricIsReal(t *testing.T) {
	scraped := scrapeAfterALife(t)
	for _, chart := range charts() {
		expressions := dashboardExpressions(t, chart)
		for _, alert := range alertsOf(t, chart) {
			expressions = append(expressions, alert.Expr)
		}
		found, err := selectors(t.Context(), expressions)
		if err != nil {
			t.Fatal(err)
		}
		for i, expression := range expressions {
			if len(found[i]) == 0 {
				t.Errorf("%s asks for nothing", expression)
			}
			for _, selector := range found[i] {
				// Prometheus' own.
				if slices.Contains(selector, matcher{"__name__", "=", "up"}) {
					continue
				}
				if !slices.ContainsFunc(scraped, func(s series) bool { return s.matches(selector) }) {
					t.Errorf("%s\nasks for %v, which nobody tells", expression, selector)
				}
			}
			for _, label := range groupings(expression) {
				if !givenByPrometheus(label) && !slices.ContainsFunc(scraped, func(s series) bool { return s[label] != "" && named(s, found[i]) }) {
					t.Errorf("%s\ngroups by %s, which no series of it has", expression, label)
				}
			}
		}
	}
	if slices.ContainsFunc(scraped, func(s series) bool { return s.matches([]matcher{{"__name__", "=", "bulkhead_no_such_metric"}}) }) {
		t.Error("anything matches")
	}
}

// groupings are the labels of `by (…)`.
func groupings(expression string) (labels []string) {
	for _, by := range regexp.MustCompile(`by \(([^)]*)\)`).FindAllStringSubmatch(expression, -1) {
		for label := range strings.SplitSeq(by[1], ",") {
			labels = append(labels, strings.TrimSpace(label))
		}
	}
	return labels
}

// series is one of a scrape: its labels, with the name as __name__.
type series map[string]string

func (s series) matches(selector []matcher) bool {
	for _, m := range selector {
		value, there := s[m.Label]
		switch {
		case givenByPrometheus(m.Label):
		case !there:
			return false
		case m.Type == "=" && value != m.Value:
			return false
		case m.Type == "=~" && !regexp.MustCompile("^(?:"+m.Value+")$").MatchString(value):
			return false
		}
	}
	return true
}

func named(s series, selectors [][]matcher) bool {
	return slices.ContainsFunc(selectors, func(selector []matcher) bool {
		return slices.Contains(selector, matcher{"__name__", "=", s["__name__"]})
	})
}

var (
	sample = regexp.MustCompile(`^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? \S+$`)
	label  = regexp.MustCompile(`([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"`)
)

func parseScrape(text []byte) (all []series) {
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		parts := sample.FindStringSubmatch(lines.Text())
		if parts == nil {
			continue
		}
		s := series{"__name__": parts[1]}
		for _, pair := range label.FindAllStringSubmatch(parts[2], -1) {
			s[pair[1]] = pair[2]
		}
		all = append(all, s)
	}
	return all
}

// scrapeAfterALife is what all components tell once tokens were published, objects
// injected, refused, exempt, asked about, and could not be decided.
func scrapeAfterALife(t *testing.T) (all []series) {
	t.Helper()
	ctx := t.Context()
	team, err := admin().NewTeam(ctx, "team-metrics")
	if err != nil {
		t.Fatal(err)
	}
	volume := mustBind(t, team)
	check := func(namespace string) error {
		_, err := run(ctx, "test/charts", nil, binaries.Webhook, "check", "--kubeconfig", admin().Compute.Kubeconfig, "--namespace", namespace)
		return err
	}
	if err := check(team.Namespace.Name); err != nil {
		t.Error(err)
	}
	if _, err := admin().NewTeam(ctx, exempt); err != nil {
		t.Fatal(err)
	}
	if err := check(exempt); err == nil || !strings.Contains(err.Error(), "is namespace "+exempt+" not exempt?") {
		t.Errorf("in a namespace that is exempt: %v", err)
	}
	if _, err := run(ctx, "test/charts", nil, binaries.Sidecar, "check", "--kubeconfig", admin().Compute.Kubeconfig, "--namespace", installed); err != nil {
		t.Error(err)
	}
	if _, err := run(ctx, "test/charts", nil, binaries.Issuer, "check", "--issuer-url", stage.Env.Storage.IssuerURL, "--ca-file", stage.Env.Storage.IssuerCAFile); err != nil {
		t.Error(err)
	}
	// A handle whose volume the storage cluster says is the team's.
	if err := handle(ctx, team, "known", volume); err != nil {
		t.Error(err)
	}
	all = append(all, scrape(t, stage.Env.Storage.Issuer, "bulkhead_issuer_exchanges_total")...)
	// The stage's issuer is told of no storage node.
	issuers, err := stage.Env.StartIssuers(ctx, cluster.IssuersConfig{
		URL: stage.Env.Storage.IssuerURL, Replicas: 1, Clusters: "- {name: k14c9, discovery: 'https://oidc.example'}", Announce: []string{stage.Env.Storage.SDKAddress},
	})
	if err != nil {
		t.Fatal(err)
	}
	all = append(all, scrape(t, issuers.Replicas[0].Process, "bulkhead_issuer_storage_key_known")...)
	issuers.Replicas[0].Stop()

	// One that nobody can be asked about.
	stage.Env.Storage.Server.Freeze()
	err = handle(ctx, team, "unknown", "1234567890")
	stage.Env.Storage.Server.Thaw()
	if err == nil {
		t.Error("a handle that nobody vouched for is let through")
	}
	all = append(all, scrape(t, admin().Compute.Webhook, "bulkhead_webhook_requests_total")...)
	return append(all, scrape(t, admin().Compute.Sidecars[0], "bulkhead_sidecar_next_expiry_life_seconds")...)
}

func mustBind(t *testing.T, team *actors.Team) (volume string) {
	t.Helper()
	handles, err := team.MakeBound(t.Context(), team.Claim("data", actors.CSIClass))
	if err != nil {
		t.Fatal(err)
	}
	return handles[0]
}

// handle shows the API server a PersistentVolume with a raw handle, as a dry run.
func handle(ctx context.Context, team *actors.Team, name, volume string) error {
	pv := &corev1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: corev1.PersistentVolumeSpec{
			Capacity:    corev1.ResourceList{corev1.ResourceStorage: resource.MustParse("1Gi")},
			AccessModes: []corev1.PersistentVolumeAccessMode{corev1.ReadWriteOnce},
			ClaimRef:    &corev1.ObjectReference{Namespace: team.Namespace.Name, Name: "raw"},
			PersistentVolumeSource: corev1.PersistentVolumeSource{CSI: &corev1.CSIPersistentVolumeSource{
				Driver: tenancy.CSIDriver, VolumeHandle: volume,
			}},
		},
	}
	_, err := admin().Compute.Client.CoreV1().PersistentVolumes().Create(ctx, pv, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
	return err
}

// scrape is what a component tells, as soon as it tells of the metric.
func scrape(t *testing.T, p *cluster.Process, metric string) (all []series) {
	t.Helper()
	err := cluster.Poll(t.Context(), time.Minute, func(ctx context.Context) error {
		text, err := p.Metrics(ctx)
		if err != nil {
			return err
		}
		all = parseScrape(text)
		if !slices.ContainsFunc(all, func(s series) bool { return s["__name__"] == metric }) {
			return fmt.Errorf("it tells nothing of %s", metric)
		}
		return nil
	})
	if err != nil {
		t.Fatal(fmt.Errorf("%s: %w", p.Name, err))
	}
	return all
}
