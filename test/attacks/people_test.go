package attacks

import (
	"context"
	_ "embed"
	"fmt"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/rest"

	"github.com/bulkhead-dev/bulkhead/test/actors"
)

// Who applies the objects of a case.
const (
	// clusterAdmin has every right in the first cluster.
	clusterAdmin = "cluster-admin"
	// tenantAdmin is the attacker, with the role "admin" in its own namespace; in
	// friendly cases a team that means no harm.
	tenantAdmin = "tenant-admin"
	// victimAdmin has the role "admin" in the victim's namespace.
	victimAdmin = "victim-admin"
	// sharingAdmin has it in both namespaces of a labelled tenant.
	sharingAdmin = "sharing-admin"
	// clusterOperator has the delegated rights on storage objects of the cluster.
	clusterOperator = "cluster-operator"
	// operatorElsewhere is one in the second cluster, where a namespace of the
	// victim's name exists too.
	operatorElsewhere = "operator-elsewhere"
	// namespaceEditor may write namespaces, as tools for self-service let tenants.
	namespaceEditor = "namespace-editor"
	// backup is the ServiceAccount of a backup tool, with every right.
	backup = "backup"
	// provisioner is the driver's own csi-provisioner, or whoever has its token.
	provisioner = "provisioner"
	// snapshotController makes contents for snapshots.
	snapshotController = "snapshot-controller"
	// binder is the controller that binds claims to volumes.
	binder = "binder"
	// beforeInstall makes setup objects as they were before Bulkhead came.
	beforeInstall = "before-install"
)

var people = []string{
	clusterAdmin, tenantAdmin, victimAdmin, sharingAdmin, clusterOperator, operatorElsewhere, namespaceEditor, backup,
	provisioner, snapshotController, binder,
}

//go:embed testdata/rights.yaml
var rights []byte

// users are the names of those who are bound in testdata/rights.yaml or by the
// chart of the driver.
var users = map[string]string{
	clusterOperator:    "operator",
	operatorElsewhere:  "operator",
	namespaceEditor:    "namespace-editor",
	backup:             "system:serviceaccount:velero:velero",
	provisioner:        "system:serviceaccount:portworx:px-csi",
	snapshotController: "system:serviceaccount:kube-system:snapshot-controller",
	binder:             "system:serviceaccount:kube-system:persistent-volume-binder",
}

// clients of all people, by who they are.
func (s *scene) makeClients() error {
	s.clients = map[string]dynamic.Interface{}
	for _, who := range people {
		config := s.admin.Compute.RESTConfig()
		if who == operatorElsewhere {
			config = s.elsewhere.Compute.RESTConfig()
		}
		// The API server has its own limits.
		config.QPS = -1
		switch who {
		case clusterAdmin:
		case tenantAdmin:
			config.Impersonate = impersonate(s.attacker.User)
		case victimAdmin:
			config.Impersonate = impersonate(s.victim.User)
		case sharingAdmin:
			config.Impersonate = impersonate(s.sharing[0].User)
		default:
			config.Impersonate = impersonate(users[who])
		}
		client, err := dynamic.NewForConfig(config)
		if err != nil {
			return fmt.Errorf("client of %s: %w", who, err)
		}
		s.clients[who] = client
	}
	s.clients[beforeInstall] = s.clients[clusterAdmin]
	return nil
}

func impersonate(user string) rest.ImpersonationConfig {
	return rest.ImpersonationConfig{UserName: user}
}

// giveRights makes the people of a cluster who are no team.
func giveRights(ctx context.Context, admin *actors.ClusterAdmin) error {
	return admin.Compute.Apply(ctx, rights)
}

// alsoAdminOf gives a user the role "admin" in one more namespace.
func alsoAdminOf(ctx context.Context, user string, team *actors.Team) error {
	return team.Admin.Create(ctx, &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "admin-too", Namespace: team.Namespace.Name},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "admin"},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user}},
	})
}
