// Command minimal is the least that a webhook of controller-runtime can be which
// points claims of one class to their token and refuses what the object alone
// shows to be bad: the product's is compared with it.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strconv"

	"github.com/go-logr/logr"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/clientcmd"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/webhook"
	"sigs.k8s.io/controller-runtime/pkg/webhook/admission"

	"github.com/bulkhead-dev/bulkhead/internal/flags"
	"github.com/bulkhead-dev/bulkhead/tenancy"
)

func main() {
	ctrl.SetLogger(logr.Discard())
	if err := run(ctrl.SetupSignalHandler(), os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "minimal:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	var g guard
	f := pflag.NewFlagSet("minimal", pflag.ContinueOnError)
	address := f.String("address", "", "host:port to serve on, with TLS")
	certificates := f.String("certificates", "", "folder with tls.crt and tls.key")
	f.StringVar(&g.class, "class", "", "StorageClass whose claims are guarded")
	kubeconfig := f.String("kubeconfig", "", "path of a kubeconfig: all claims are kept in a cache, for look-ups; none if empty")
	flags.Layout(f, &g.layout)
	if err := f.Parse(args); err != nil {
		return fmt.Errorf("flags: %w", err)
	}
	host, text, err := net.SplitHostPort(*address)
	if err != nil {
		return fmt.Errorf("--address: %w", err)
	}
	port, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("--address: %w", err)
	}
	if *kubeconfig != "" {
		if err := keepClaims(ctx, *kubeconfig); err != nil {
			return err
		}
	}
	server := webhook.NewServer(webhook.Options{Host: host, Port: port, CertDir: *certificates})
	server.Register("/mutate", &admission.Webhook{Handler: admission.HandlerFunc(g.mutate)})
	server.Register("/validate", &admission.Webhook{Handler: admission.HandlerFunc(g.validate)})
	return server.Start(ctx)
}

// keepClaims fills a cache, and keeps it true until ctx ends.
func keepClaims(ctx context.Context, kubeconfig string) error {
	config, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return fmt.Errorf("--kubeconfig: %w", err)
	}
	config.DisableCompression = true // as the product has it
	claims, err := cache.New(config, cache.Options{})
	if err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	if _, err := claims.GetInformer(ctx, &corev1.PersistentVolumeClaim{}, cache.BlockUntilSynced(false)); err != nil {
		return fmt.Errorf("cache: %w", err)
	}
	go func() {
		if err := claims.Start(ctx); err != nil {
			fmt.Fprintln(os.Stderr, "minimal:", err)
			os.Exit(1)
		}
	}()
	return nil
}

// guard is all that it knows.
type guard struct {
	class  string
	layout tenancy.Layout
}

func (g *guard) mutate(_ context.Context, req admission.Request) admission.Response {
	var claim corev1.PersistentVolumeClaim
	if err := json.Unmarshal(req.Object.Raw, &claim); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	if !g.ours(&claim) {
		return admission.Allowed("")
	}
	if claim.Annotations == nil {
		claim.Annotations = map[string]string{}
	}
	maps.Copy(claim.Annotations, g.token(req.Namespace))
	changed, err := json.Marshal(&claim)
	if err != nil {
		return admission.Errored(http.StatusInternalServerError, err)
	}
	return admission.PatchResponseFromRaw(req.Object.Raw, changed)
}

func (g *guard) validate(_ context.Context, req admission.Request) admission.Response {
	var claim corev1.PersistentVolumeClaim
	if err := json.Unmarshal(req.Object.Raw, &claim); err != nil {
		return admission.Errored(http.StatusBadRequest, err)
	}
	for key, want := range g.token(req.Namespace) {
		have, there := claim.Annotations[key]
		_, labelled := claim.Labels[key]
		if (there && have != want) || labelled {
			return admission.Denied(key + " points to another token")
		}
	}
	if !g.ours(&claim) {
		return admission.Allowed("")
	}
	for _, keys := range []map[string]string{claim.Annotations, claim.Labels} {
		for key := range keys {
			if tenancy.Classify(key) == tenancy.Forbidden {
				return admission.Denied(key + " is taken for a forbidden parameter by the storage driver")
			}
		}
	}
	if s := claim.Spec.DataSource; s != nil && !sourceKind(s.APIGroup, s.Kind) {
		return admission.Denied("spec.dataSource is neither a claim nor a snapshot")
	}
	if s := claim.Spec.DataSourceRef; s != nil {
		if !sourceKind(s.APIGroup, s.Kind) {
			return admission.Denied("spec.dataSourceRef is neither a claim nor a snapshot")
		}
		if s.Namespace != nil && *s.Namespace != req.Namespace {
			return admission.Denied("spec.dataSourceRef.namespace is not the claim's own")
		}
	}
	return admission.Allowed("")
}

func (g *guard) ours(claim *corev1.PersistentVolumeClaim) bool {
	return claim.Spec.StorageClassName != nil && *claim.Spec.StorageClassName == g.class
}

// token are the annotations that point to the namespace's token.
func (g *guard) token(namespace string) map[string]string {
	all := map[string]string{}
	for _, pair := range g.layout.ClaimAnnotations(namespace) {
		maps.Copy(all, pair.Values())
	}
	return all
}

func sourceKind(group *string, kind string) bool {
	name := kind + "."
	if group != nil {
		name += *group
	}
	return slices.Contains([]string{"PersistentVolumeClaim.", "VolumeSnapshot.snapshot.storage.k8s.io"}, name)
}
