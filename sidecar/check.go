package sidecar

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
)

// Check waits until the leader says, in the ConfigMap of its status in the given
// namespace, that it gets tokens and that the storage cluster accepts them. When
// the time is up it fails with what is wrong. out gets a line for each condition.
func Check(ctx context.Context, config *rest.Config, namespace string, timeout time.Duration, out io.Writer) error {
	client, err := kubernetes.NewForConfig(config)
	if err != nil {
		return fmt.Errorf("kubeconfig: %w", err)
	}
	var last error
	err = wait.PollUntilContextTimeout(ctx, time.Second, timeout, true, func(ctx context.Context) (bool, error) {
		status, err := client.CoreV1().ConfigMaps(namespace).Get(ctx, StatusName, metav1.GetOptions{})
		if err != nil {
			last = fmt.Errorf("the sidecar has not told its status: %w", err)
			return false, nil
		}
		last = healthy(status.Data[StatusConditions])
		return last == nil, nil
	})
	if err != nil {
		if last != nil {
			return last
		}
		return fmt.Errorf("status of the sidecar: %w", err)
	}
	for _, condition := range conditionTypes() {
		if _, err := fmt.Fprintln(out, condition+": True"); err != nil {
			return err //nolint:wrapcheck // there is nothing to add
		}
	}
	return nil
}

func conditionTypes() []string { return []string{CredentialValid, IssuerReachable, StorageReachable} }

// healthy says what keeps tokens from being had, nil if nothing does.
func healthy(text string) error {
	var conditions []metav1.Condition
	if err := json.Unmarshal([]byte(text), &conditions); err != nil {
		return fmt.Errorf("the sidecar's status cannot be read: %w", err)
	}
	for _, conditionType := range conditionTypes() {
		switch c := meta.FindStatusCondition(conditions, conditionType); {
		case c == nil:
			return fmt.Errorf("%s: not known yet", conditionType)
		case c.Status != metav1.ConditionTrue:
			return fmt.Errorf("%s: %s: %s", conditionType, c.Reason, c.Message)
		}
	}
	return nil
}
