// Package clients does with client-go and controller-runtime what their users do with them, on the cluster of $KUBECONFIG.
//
// tests/tests/clients.rs starts that cluster: kube-apiserver, etcd, kube-controller-manager. No node is needed, so pods stay
// pending here; upstream's kubectls run some.
package clients

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
)

// patience is for a loaded machine; whoever waits goes on as soon as he can.
const patience = 60 * time.Second

// bodies are the encodings that typed clients speak.
var bodies = map[string]string{
	"json":     "application/json",
	"protobuf": "application/vnd.kubernetes.protobuf",
}

// config is the administrator's, for clients of this encoding.
func config(t *testing.T, body string) *rest.Config {
	t.Helper()
	config, err := clientcmd.BuildConfigFromFlags("", os.Getenv("KUBECONFIG"))
	if err != nil {
		t.Fatal(err)
	}
	config.ContentType = body
	config.AcceptContentTypes = body
	config.QPS, config.Burst = 200, 200
	return config
}

func typed(t *testing.T, body string) kubernetes.Interface {
	t.Helper()
	return kubernetes.NewForConfigOrDie(config(t, body))
}

// room makes a namespace for one test and takes it away, with what is in it, after that.
func room(t *testing.T) string {
	t.Helper()
	client := typed(t, bodies["json"])
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: name + "-"}}
	made, err := client.CoreV1().Namespaces().Create(context.Background(), namespace, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.CoreV1().Namespaces().Delete(context.Background(), made.Name, metav1.DeleteOptions{}); err != nil {
			t.Error(err)
		}
	})
	return made.Name
}

// try ends the test at an error; what is the deed.
func try(t *testing.T, what string, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%s: %v (%T)", what, err, err)
	}
}

// eventually waits until check finds nothing wrong any more, and tells the last complaint.
func eventually(t *testing.T, what string, check func() error) {
	t.Helper()
	last := fmt.Errorf("never looked")
	poll := func(context.Context) (bool, error) {
		last = check()
		return last == nil, nil
	}
	if err := wait.PollUntilContextTimeout(context.Background(), 50*time.Millisecond, patience, true, poll); err != nil {
		t.Fatalf("%s: %v; last: %v", what, err, last)
	}
}
