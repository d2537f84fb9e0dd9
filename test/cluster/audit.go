package cluster

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"
)

// maxAuditLog bounds the audit log, in MiB. At the server's own bound, 100, it would
// begin another one, and what was before would not be found.
const maxAuditLog = 10_000

// auditPolicy has the API server note what the product asks of it, but no
// bodies: those of Secrets hold tokens. A watch is noted when it begins, or those
// that still run would be missing.
const auditPolicy = `apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: Metadata
  userGroups: ["system:serviceaccounts:` + releaseNamespace + `"]
- level: None
`

// Call is a kind of call to the API server, by what RBAC decides on.
type Call struct {
	Verb, Group, Resource, Subresource string
	// Namespace is empty for what lies in none and for calls across all.
	Namespace string
	// Name is empty for calls that are about no single object. A list or a watch
	// that is limited to one name by a field selector has it.
	Name string
	// Applied is whether the object came to be by server-side apply: unlike those
	// of other calls that create, its name was looked at.
	Applied bool
	// Denied is whether RBAC forbade it.
	Denied bool
}

func (c Call) String() string {
	resource := c.Resource
	if c.Subresource != "" {
		resource += "/" + c.Subresource
	}
	if c.Group != "" {
		resource += "." + c.Group
	}
	text := c.Verb + " " + resource + " " + c.Namespace + "/" + c.Name
	if c.Denied {
		text += " (denied)"
	}
	return text
}

// ProductCalls are the kinds of calls that a ServiceAccount of the product has
// made since the cluster's start.
func (c *Compute) ProductCalls(account string) (map[Call]bool, error) {
	calls := map[Call]bool{}
	_, err := c.audited(account, 0, func(event auditEvent) { event.addTo(calls) })
	return calls, err
}

// Answered is a call that the API server has answered.
type Answered struct {
	Verb, Resource, Namespace, Name string
	// When it was answered, and with which HTTP status.
	When   time.Time
	Status int
}

// AnsweredCalls are the calls that a ServiceAccount of the product has made, from a
// point in time on: zero for the cluster's start, else the next that the last call
// returned.
func (c *Compute) AnsweredCalls(account string, from int64) (calls []Answered, next int64, err error) {
	next, err = c.audited(account, from, func(event auditEvent) {
		call := Answered{Verb: event.Verb, When: event.StageTimestamp, Status: event.ResponseStatus.Code}
		if ref := event.ObjectRef; ref != nil {
			call.Resource, call.Namespace, call.Name = ref.Resource, ref.Namespace, ref.Name
		}
		calls = append(calls, call)
	})
	return calls, next, err
}

// audited reads the lines of the audit log about a ServiceAccount, from an offset
// on, and returns the offset after the last one that is whole.
func (c *Compute) audited(account string, from int64, see func(auditEvent)) (next int64, err error) {
	file, err := os.Open(c.auditLog())
	if err != nil {
		return from, fmt.Errorf("audit log of %s: %w", c.Name, err)
	}
	defer func() { _ = file.Close() }()
	if _, err := file.Seek(from, io.SeekStart); err != nil {
		return from, fmt.Errorf("audit log of %s: %w", c.Name, err)
	}
	for lines := bufio.NewReader(file); ; {
		line, err := lines.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			// What has no end yet is read the next time; of a server that was killed
			// it stays so.
			return from, nil
		} else if err != nil {
			return from, fmt.Errorf("audit log of %s: %w", c.Name, err)
		}
		from += int64(len(line))
		var event auditEvent
		if err := json.Unmarshal(line, &event); err != nil {
			// A server that was started again goes on in the line where the last
			// one was killed.
			continue
		}
		if event.User.Username == "system:serviceaccount:"+releaseNamespace+":"+account {
			see(event)
		}
	}
}

func (c *Compute) auditLog() string { return c.dir.path("audit.log") }

// auditEvent is what is read of an Event of audit.k8s.io/v1.
type auditEvent struct {
	Verb string `json:"verb"`
	User struct {
		Username string `json:"username"`
	} `json:"user"`
	// ObjectRef is nil for what is no resource, such as /healthz.
	ObjectRef *struct {
		APIGroup    string `json:"apiGroup"`
		Resource    string `json:"resource"`
		Subresource string `json:"subresource"`
		Namespace   string `json:"namespace"`
		Name        string `json:"name"`
	} `json:"objectRef"`
	ResponseStatus struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	} `json:"responseStatus"`
	StageTimestamp time.Time         `json:"stageTimestamp"`
	Annotations    map[string]string `json:"annotations"`
}

func (e auditEvent) addTo(calls map[Call]bool) {
	ref := e.ObjectRef
	if ref == nil {
		return
	}
	call := Call{
		Verb: e.Verb, Group: ref.APIGroup, Resource: ref.Resource, Subresource: ref.Subresource,
		Namespace: ref.Namespace, Name: ref.Name,
	}
	if e.Verb == "create" {
		// What the API server found in the body, after it had decided.
		call.Name = ""
	}
	switch {
	case e.Annotations["authorization.k8s.io/decision"] == "forbid":
		call.Denied = true
	case e.Verb == "patch" && e.ResponseStatus.Code == http.StatusCreated:
		made := call
		made.Verb, made.Applied = "create", true
		calls[made] = true
	case e.Verb == "patch" && e.ResponseStatus.Code == http.StatusForbidden && strings.Contains(e.ResponseStatus.Message, "cannot create"):
		// Decided late, once the server has seen that there is nothing to patch.
		made := call
		made.Verb, made.Applied, made.Denied = "create", true, true
		calls[made] = true
	}
	calls[call] = true
}
