package sidecar

import (
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"

	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func TestMetricsTellOfTheTokenThatRunsOutFirst(t *testing.T) {
	store := &memoryStore{now: time.Now, secrets: map[tenancy.SecretRef]*corev1.Secret{}}
	began := time.Unix(1_800_000_000, 0)
	add := func(name string, kind state, life, left time.Duration) {
		ref := tenancy.SecretRef{Namespace: "tokens", Name: name}
		tenant := tenancy.Tenant{Namespace: name, UID: uidNew}
		expires := began.Add(left)
		token := grantOf{subject: tenant.Subject("k14c1"), id: name, expires: expires, life: life}.token()
		store.secrets[ref] = slot{ref: ref, state: kind, tenant: tenant}.secret(record{tenant: tenant, expires: expires}, token.Raw)
	}
	wantMetrics := func(want string) {
		t.Helper()
		if err := testutil.CollectAndCompare(&tokenCollector{store}, strings.NewReader(want),
			"bulkhead_sidecar_next_expiry_timestamp_seconds", "bulkhead_sidecar_next_expiry_life_seconds"); err != nil {
			t.Error(err)
		}
	}
	wantMetrics("")
	add("a", live, time.Hour, 30*time.Minute)
	add("b", live, 30*time.Minute, 20*time.Minute)
	add("c", retired, time.Hour, time.Minute)
	wantMetrics(`
# HELP bulkhead_sidecar_next_expiry_life_seconds How long the whole life of the token is that runs out first; absent if there is none or its Secret holds no token.
# TYPE bulkhead_sidecar_next_expiry_life_seconds gauge
bulkhead_sidecar_next_expiry_life_seconds 1800
# HELP bulkhead_sidecar_next_expiry_timestamp_seconds When the first of the live tokens runs out; absent if there are none.
# TYPE bulkhead_sidecar_next_expiry_timestamp_seconds gauge
bulkhead_sidecar_next_expiry_timestamp_seconds 1.8000012e+09
`)
	store.secrets[tenancy.SecretRef{Namespace: "tokens", Name: "b"}].Data = nil
	wantMetrics(`
# HELP bulkhead_sidecar_next_expiry_timestamp_seconds When the first of the live tokens runs out; absent if there are none.
# TYPE bulkhead_sidecar_next_expiry_timestamp_seconds gauge
bulkhead_sidecar_next_expiry_timestamp_seconds 1.8000012e+09
`)
}
