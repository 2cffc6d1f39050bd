package clients

import (
	"context"
	"encoding/json"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/util/retry"
)

func template(app string) corev1.PodTemplateSpec {
	return corev1.PodTemplateSpec{
		ObjectMeta: metav1.ObjectMeta{Labels: map[string]string{"app": app}},
		Spec: corev1.PodSpec{Containers: []corev1.Container{{
			Name: "main", Image: "busybox", Command: []string{"sleep", "1000"},
			Resources: corev1.ResourceRequirements{
				Requests: corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("10m")},
			},
			Ports: []corev1.ContainerPort{{ContainerPort: 80}},
		}}},
	}
}

func count(n int32) *int32 { return &n }

// What a client of either encoding does with objects, from the first create to the last deletion.
func TestTyped(t *testing.T) {
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, client, room := context.Background(), typed(t, body), room(t)
			maps := client.CoreV1().ConfigMaps(room)

			// Watch from before the first write.
			list, err := maps.List(ctx, metav1.ListOptions{})
			try(t, "list", err)
			watcher, err := maps.Watch(ctx, metav1.ListOptions{ResourceVersion: list.ResourceVersion, LabelSelector: "app=web"})
			try(t, "watch", err)
			defer watcher.Stop()

			made, err := maps.Create(ctx, &corev1.ConfigMap{
				ObjectMeta: metav1.ObjectMeta{Name: "words", Labels: map[string]string{"app": "web"}},
				Data:       map[string]string{"a": "1"},
				BinaryData: map[string][]byte{"b": {0, 255, 7}},
			}, metav1.CreateOptions{})
			try(t, "create", err)
			if made.UID == "" || made.ResourceVersion == "" || made.CreationTimestamp.IsZero() || made.BinaryData["b"][1] != 255 {
				t.Fatalf("made: %+v", made)
			}
			_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "words"}}, metav1.CreateOptions{})
			if !apierrors.IsAlreadyExists(err) {
				t.Fatalf("a name that is taken: %v", err)
			}

			// A stale update is a conflict, which a retry on the newest gets over.
			stale := made.DeepCopy()
			made.Data["a"] = "2"
			made, err = maps.Update(ctx, made, metav1.UpdateOptions{})
			try(t, "update", err)
			stale.Data["a"] = "3"
			if _, err = maps.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
				t.Fatalf("a stale update: %v", err)
			}
			try(t, "retry on conflict", retry.RetryOnConflict(retry.DefaultRetry, func() error {
				if _, err := maps.Update(ctx, stale, metav1.UpdateOptions{}); !apierrors.IsConflict(err) {
					return err
				}
				newest, err := maps.Get(ctx, "words", metav1.GetOptions{})
				if err != nil {
					return err
				}
				newest.Data["a"] = "3"
				_, err = maps.Update(ctx, newest, metav1.UpdateOptions{})
				return err
			}))

			// The patches, each in its own words.
			for kind, patch := range map[types.PatchType]string{
				types.MergePatchType:          `{"data":{"merge":"x"}}`,
				types.StrategicMergePatchType: `{"data":{"strategic":"x"}}`,
				types.JSONPatchType:           `[{"op":"add","path":"/data/json","value":"x"}]`,
			} {
				_, err = maps.Patch(ctx, "words", kind, []byte(patch), metav1.PatchOptions{})
				try(t, string(kind), err)
			}
			got, err := maps.Get(ctx, "words", metav1.GetOptions{})
			try(t, "get", err)
			if len(got.Data) != 4 || got.Data["a"] != "3" || got.Data["json"] != "x" {
				t.Fatalf("after the patches: %v", got.Data)
			}
			uid := types.UID("another")
			err = maps.Delete(ctx, "words", metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &uid}})
			if !apierrors.IsConflict(err) {
				t.Fatalf("a deletion of another object: %v", err)
			}
			try(t, "delete", maps.Delete(ctx, "words", metav1.DeleteOptions{}))
			if _, err = maps.Get(ctx, "words", metav1.GetOptions{}); !apierrors.IsNotFound(err) {
				t.Fatalf("what is gone: %v", err)
			}
			var told []watch.EventType
			for event := range watcher.ResultChan() {
				if _, ok := event.Object.(*corev1.ConfigMap); !ok {
					t.Fatalf("told of %T", event.Object)
				}
				told = append(told, event.Type)
				if event.Type == watch.Deleted {
					break
				}
			}
			if len(told) != 7 || told[0] != watch.Added || told[5] != watch.Modified {
				t.Fatalf("told: %v", told)
			}

			// Errors carry what typed clients look for.
			_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "Bad_Name"}}, metav1.CreateOptions{})
			status, ok := err.(apierrors.APIStatus)
			if !ok || !apierrors.IsInvalid(err) || status.Status().Details.Causes[0].Field != "metadata.name" {
				t.Fatalf("a bad name: %v", err)
			}
		})
	}
}

// Workloads with their subresources: scale, status, binding; the controllers make what belongs to them.
func TestWorkloads(t *testing.T) {
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, client, room := context.Background(), typed(t, body), room(t)

			controllers := client.CoreV1().ReplicationControllers(room)
			pod := template("web")
			_, err := controllers.Create(ctx, &corev1.ReplicationController{
				ObjectMeta: metav1.ObjectMeta{Name: "web"},
				Spec:       corev1.ReplicationControllerSpec{Replicas: count(2), Template: &pod},
			}, metav1.CreateOptions{})
			try(t, "create", err)
			pods := client.CoreV1().Pods(room)
			selected := metav1.ListOptions{LabelSelector: labels.Set{"app": "web"}.String()}
			so := func(n int) func() error {
				return func() error {
					list, err := pods.List(ctx, selected)
					if err == nil && len(list.Items) != n {
						return apierrors.NewBadRequest("pods: " + string(rune('0'+len(list.Items))))
					}
					return err
				}
			}
			eventually(t, "two pods", so(2))
			scale, err := controllers.GetScale(ctx, "web", metav1.GetOptions{})
			try(t, "get scale", err)
			if scale.Spec.Replicas != 2 || scale.Status.Selector != "app=web" {
				t.Fatalf("scale: %+v", scale)
			}
			scale.Spec.Replicas = 3
			_, err = controllers.UpdateScale(ctx, "web", scale, metav1.UpdateOptions{})
			try(t, "update scale", err)
			eventually(t, "three pods", so(3))

			// A pod's quantities, binding, status and eviction-free deletion.
			list, err := pods.List(ctx, metav1.ListOptions{FieldSelector: fields.OneTermEqualSelector("spec.nodeName", "").String()})
			try(t, "list by field", err)
			one := &list.Items[0]
			if one.Spec.Containers[0].Resources.Requests.Cpu().MilliValue() != 10 || one.OwnerReferences[0].Name != "web" {
				t.Fatalf("pod: %+v", one)
			}
			node, err := client.CoreV1().Nodes().Create(ctx, &corev1.Node{ObjectMeta: metav1.ObjectMeta{GenerateName: "node-"}}, metav1.CreateOptions{})
			try(t, "create node", err)
			defer func() { try(t, "delete node", client.CoreV1().Nodes().Delete(ctx, node.Name, metav1.DeleteOptions{})) }()
			try(t, "bind", pods.Bind(ctx, &corev1.Binding{
				ObjectMeta: metav1.ObjectMeta{Name: one.Name}, Target: corev1.ObjectReference{Kind: "Node", Name: node.Name},
			}, metav1.CreateOptions{}))
			one, err = pods.Get(ctx, one.Name, metav1.GetOptions{})
			try(t, "get pod", err)
			if one.Spec.NodeName != node.Name {
				t.Fatalf("bound to %q", one.Spec.NodeName)
			}
			one.Status.Phase = corev1.PodRunning
			one.Status.PodIP, one.Status.PodIPs = "10.1.2.3", []corev1.PodIP{{IP: "10.1.2.3"}}
			one, err = pods.UpdateStatus(ctx, one, metav1.UpdateOptions{})
			try(t, "update status", err)
			if one.Status.Phase != corev1.PodRunning {
				t.Fatalf("status: %+v", one.Status)
			}
			now := int64(0)
			try(t, "delete pod", pods.Delete(ctx, one.Name, metav1.DeleteOptions{GracePeriodSeconds: &now}))
			background := metav1.DeletePropagationBackground
			try(t, "delete", controllers.Delete(ctx, "web", metav1.DeleteOptions{PropagationPolicy: &background}))
			eventually(t, "no pods", so(0))

			// Kinds of other groups, and what the server adds to them.
			deployment, err := client.AppsV1().Deployments(room).Create(ctx, &appsv1.Deployment{
				ObjectMeta: metav1.ObjectMeta{Name: "web"},
				Spec: appsv1.DeploymentSpec{
					Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "other"}}, Template: template("other"),
				},
			}, metav1.CreateOptions{})
			try(t, "create deployment", err)
			if *deployment.Spec.Replicas != 1 || deployment.Spec.Strategy.RollingUpdate.MaxSurge.StrVal != "25%" {
				t.Fatalf("defaults: %+v", deployment.Spec)
			}
			service, err := client.CoreV1().Services(room).Create(ctx, &corev1.Service{
				ObjectMeta: metav1.ObjectMeta{Name: "web"},
				Spec:       corev1.ServiceSpec{Selector: map[string]string{"app": "web"}, Ports: []corev1.ServicePort{{Port: 80}}},
			}, metav1.CreateOptions{})
			try(t, "create service", err)
			if service.Spec.ClusterIP == "" || service.Spec.Ports[0].TargetPort.IntVal != 80 {
				t.Fatalf("service: %+v", service.Spec)
			}
			try(t, "delete collection", client.AppsV1().Deployments(room).DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{}))
		})
	}
}

// Pages of a list are one revision, in both encodings.
func TestPages(t *testing.T) {
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, client, room := context.Background(), typed(t, body), room(t)
			secrets := client.CoreV1().Secrets(room)
			for range 7 {
				_, err := secrets.Create(ctx, &corev1.Secret{
					ObjectMeta: metav1.ObjectMeta{GenerateName: "s-"}, StringData: map[string]string{"word": "x"},
				}, metav1.CreateOptions{})
				try(t, "create", err)
			}
			found, options := 0, metav1.ListOptions{Limit: 3}
			for pages := 1; ; pages++ {
				page, err := secrets.List(ctx, options)
				try(t, "list", err)
				found += len(page.Items)
				for _, secret := range page.Items {
					if string(secret.Data["word"]) != "x" || secret.Type != corev1.SecretTypeOpaque {
						t.Fatalf("secret: %+v", secret)
					}
				}
				if options.Continue = page.Continue; options.Continue == "" {
					if pages != 3 || found != 7 {
						t.Fatalf("%d pages, %d secrets", pages, found)
					}
					break
				}
			}
			// What is asked for is a table or the metadata alone, as kubectl and metadata informers ask.
			raw, err := client.CoreV1().RESTClient().Get().Namespace(room).Resource("secrets").
				SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(ctx)
			try(t, "table", err)
			var table metav1.Table
			try(t, "table", json.Unmarshal(raw, &table))
			if len(table.Rows) != 7 || table.ColumnDefinitions[0].Name != "Name" {
				t.Fatalf("table: %s", raw)
			}
		})
	}
}
