package status

import (
	"io"
	"testing"
	"time"

	"github.com/bulkhead-dev/bulkhead/plugin/output"
	"github.com/bulkhead-dev/bulkhead/plugin/output/outputtest"
	"github.com/bulkhead-dev/bulkhead/sidecar"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

var (
	now  = time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	shop = tenancy.Tenant{Namespace: "shop", UID: "0b1d3a52-5a0c-4f3e-9d2f-0c6f8a1b2c3d"}
)

// tokenAt is a token of an hour that was written so long ago.
func tokenAt(tenant tenancy.Tenant, ago time.Duration) sidecar.Token {
	written := now.Add(-ago)
	return sidecar.Token{
		Secret: tenancy.SecretRef{Namespace: "bulkhead-tokens", Name: "bulkhead-" + tenant.Namespace}, Tenant: tenant,
		Subject: tenant.Subject("k14c1"), Cluster: "k14c1",
		Written: written, Refresh: written.Add(39 * time.Minute), Expires: written.Add(time.Hour),
	}
}

func TestTheStateOfAToken(t *testing.T) {
	reborn := shop
	reborn.UID = "7e6f5d4c-3b2a-4190-8877-665544332211"
	for name, c := range map[string]struct {
		token       *sidecar.Token
		takes, lazy bool
		volumes     int
		want        State
		problem     bool
	}{
		"new":                            {new(tokenAt(shop, time.Minute)), true, false, 1, Fresh, false},
		"past its refresh":               {new(tokenAt(shop, 40*time.Minute)), true, false, 1, Due, false},
		"with a tenth of its life left":  {new(tokenAt(shop, 54*time.Minute)), true, false, 1, Expiring, true},
		"over":                           {new(tokenAt(shop, 61*time.Minute)), true, false, 1, Expired, true},
		"of a namespace made again":      {new(tokenAt(reborn, time.Minute)), true, false, 1, Foreign, true},
		"none":                           {nil, true, false, 0, Missing, true},
		"none, and none is due":          {nil, false, false, 0, NotSelected, false},
		"none is due, and volumes":       {nil, false, false, 2, NotSelected, true},
		"none, until a claim":            {nil, true, true, 0, NotAsked, false},
		"none, with volumes, when lazy":  {nil, true, true, 1, Missing, true},
		"one that says nothing of time":  {&sidecar.Token{Tenant: shop, Subject: shop.Subject("k14c1")}, true, false, 1, Expired, true},
		"one that says nothing at all":   {&sidecar.Token{}, true, false, 1, Foreign, true},
		"one, and none is due any more":  {new(tokenAt(shop, time.Minute)), false, false, 1, Fresh, false},
		"retained, past its refresh too": {new(tokenAt(shop, 47*time.Minute)), true, true, 1, Due, false},
	} {
		n := Namespace{Name: "shop", Volumes: c.volumes}
		var token sidecar.Token
		if c.token != nil {
			token = *c.token
		}
		n.judge(shop, token, c.token != nil, c.takes, c.lazy, now)
		if n.State != c.want || (len(n.Problems) > 0) != c.problem {
			t.Errorf("%s: %s, problems %v; want %s", name, n.State, n.Problems, c.want)
		}
	}
}

func TestASidecarThatWasRestartedIsNoProblem(t *testing.T) {
	for name, c := range map[string]struct {
		states  []State
		unread  []string
		problem bool
	}{
		"and tokens are valid":    {[]State{Missing, Due}, nil, false},
		"and there are no tokens": {[]State{Missing, NotAsked}, nil, true},
		"and all have expired":    {[]State{Expired}, nil, true},
		"and nobody knows":        {[]State{Unknown}, []string{"token Secrets"}, false},
	} {
		r := &Report{Unread: c.unread}
		for _, state := range c.states {
			r.Namespaces = append(r.Namespaces, Namespace{State: state})
		}
		if r.firstToken(); r.HasProblems() != c.problem {
			t.Errorf("%s: %v", name, r.Problems)
		}
	}
}

func report() *Report {
	expires := now.Add(50 * time.Minute)
	r := &Report{
		Cluster: Cluster{
			Name: "k14c1", Version: "0.1.0", Driver: tenancy.CSIDriver, Issuer: "https://issuer.example", StorageCluster: "px-1",
			Placement: "central", CredentialExpires: &expires, Leader: "bulkhead-sidecar-0", WebhookMode: mode([]string{"BH-A4=warn", "BH-C1=enforce"}),
			WebhookReady: 1, WebhookReplicas: 2,
		},
		Problems: []string{"1 of 2 replicas of the webhook serve"},
	}
	fresh := Namespace{Name: "shop", Tenant: "shop", Volumes: 3}
	fresh.judge(shop, tokenAt(shop, 10*time.Minute), true, true, false, now)
	missing := Namespace{Name: "evil\x1b[2Jname", Tenant: "tenant/payments"}
	missing.judge(shop, sidecar.Token{}, false, true, false, now)
	r.Namespaces = []Namespace{fresh, missing, left(tokenAt(tenancy.Tenant{Namespace: "gone", UID: shop.UID}, 5*time.Minute), now)}
	return r
}

func TestPrint(t *testing.T) {
	for format, file := range map[output.Format]string{output.Table: "table.txt", output.JSON: "report.json", output.YAML: "report.yaml"} {
		r := report()
		outputtest.Golden(t, file, format, r, func(w io.Writer) error { return r.Print(w, now) })
	}
}
