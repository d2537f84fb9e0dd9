package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/bulkhead-dev/bulkhead/test/cluster"
)

// audit compares the tokens that there were with the issuer's audit log.
type audit struct {
	replicas  []*cluster.Replica
	accounted *check
}

// compare looks for each token id in the logs of all replicas. A line may be cut
// short, where the disk was full: then no token was handed out. But it must not run
// into the next.
func (a *audit) compare(ids map[string]bool) error {
	minted := map[string]bool{}
	for _, replica := range a.replicas {
		raw, err := os.ReadFile(replica.Disk.Path(cluster.AuditLog))
		if err != nil {
			return fmt.Errorf("audit log of %s: %w", replica.Name, err)
		}
		lines := bufio.NewScanner(bytes.NewReader(raw))
		lines.Buffer(nil, maxLine)
		for number := 1; lines.Scan(); number++ {
			var entry struct {
				Result, JTI string
			}
			err := json.Unmarshal(lines.Bytes(), &entry)
			switch {
			case err == nil && entry.Result == "granted":
				minted[entry.JTI] = true
			case err != nil && bytes.HasSuffix(lines.Bytes(), []byte("}")):
				a.accounted.broken("line %d of the audit log of %s has taken in the one before it: %.120q…", number, replica.Name, lines.Text())
			}
		}
		if err := lines.Err(); err != nil {
			return fmt.Errorf("audit log of %s: %w", replica.Name, err)
		}
	}
	for id := range ids {
		if minted[id] {
			a.accounted.held()
		} else {
			a.accounted.broken("token %s is in no audit log", id)
		}
	}
	return nil
}
