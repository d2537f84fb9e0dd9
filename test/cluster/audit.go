package cluster

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"strings"
)

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
	file, err := os.Open(c.auditLog())
	if err != nil {
		return nil, fmt.Errorf("audit log of %s: %w", c.Name, err)
	}
	defer func() { _ = file.Close() }()
	calls := map[Call]bool{}
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var event auditEvent
		if err := json.Unmarshal(lines.Bytes(), &event); err != nil {
			// The last line of a server that was killed may have no end.
			continue
		}
		if event.User.Username == "system:serviceaccount:"+releaseNamespace+":"+account {
			event.addTo(calls)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("audit log of %s: %w", c.Name, err)
	}
	return calls, nil
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
	Annotations map[string]string `json:"annotations"`
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
