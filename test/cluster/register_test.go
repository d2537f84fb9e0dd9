package cluster

import (
	"strings"
	"testing"
)

func TestAddClustersToAPolicy(t *testing.T) {
	const entry = "- name: k14c1\n  jwks:\n    keys: []\n"
	for _, test := range []struct {
		name, policy, entries string
		want, wantErr         string
	}{
		{
			name: "the first", policy: "storageCluster: s\nmaxLife: 1m0s\nclusters: []\n", entries: entry,
			want: "clusters:\n- jwks:\n    keys: []\n  name: k14c1\nmaxLife: 1m0s\nstorageCluster: s\n",
		},
		{
			name: "clusters absent", policy: "storageCluster: s\n", entries: entry,
			want: "clusters:\n- jwks:\n    keys: []\n  name: k14c1\nstorageCluster: s\n",
		},
		{
			name: "the second", policy: "clusters:\n- name: other\n", entries: entry,
			want: "clusters:\n- name: other\n- jwks:\n    keys: []\n  name: k14c1\n",
		},
		{name: "no entry", policy: "clusters: []\n", entries: "", wantErr: "no entries"},
		{name: "an entry that is no list", policy: "clusters: []\n", entries: "name: k14c1\n", wantErr: "read the new entries"},
		{name: "a policy that is no map", policy: "- x\n", entries: entry, wantErr: "read the policy"},
		{name: "clusters that are no list", policy: "clusters: many\n", entries: entry, wantErr: "not a list"},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := addClusters([]byte(test.policy), []byte(test.entries))
			if test.wantErr != "" {
				if err == nil || !strings.Contains(err.Error(), test.wantErr) {
					t.Fatalf("got error %v, want one with %q", err, test.wantErr)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != test.want {
				t.Errorf("got:\n%s", got)
			}
		})
	}
}

func TestMetricValue(t *testing.T) {
	const text = "# HELP a_b Help.\n# TYPE a_b gauge\na_b_more 7\na_b 2\n"
	if value, err := metricValue([]byte(text), "a_b"); err != nil || value != 2 {
		t.Errorf("got %v, %v", value, err)
	}
	if _, err := metricValue([]byte(text), "a"); err == nil {
		t.Error("a missing metric is no error")
	}
}
