package clients

import (
	"context"
	"fmt"
	"testing"

	"github.com/go-logr/logr"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"
)

const finalizer = "test.example.com/guard"

// reconciler gives each labelled ConfigMap a ReplicaSet of its own and counts its updates on a status annotation.
type reconciler struct{ client.Client }

func (r *reconciler) Reconcile(ctx context.Context, request ctrl.Request) (ctrl.Result, error) {
	var source corev1.ConfigMap
	if err := r.Get(ctx, request.NamespacedName, &source); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if !source.DeletionTimestamp.IsZero() {
		if controllerutil.RemoveFinalizer(&source, finalizer) {
			return ctrl.Result{}, r.Update(ctx, &source)
		}
		return ctrl.Result{}, nil
	}
	if controllerutil.AddFinalizer(&source, finalizer) {
		if err := r.Update(ctx, &source); err != nil {
			return ctrl.Result{}, err
		}
	}
	set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: source.Name, Namespace: source.Namespace}}
	_, err := controllerutil.CreateOrUpdate(ctx, r.Client, set, func() error {
		if set.CreationTimestamp.IsZero() {
			set.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": source.Name}}
			set.Spec.Template = template(source.Name)
		}
		set.Spec.Replicas = count(int32(len(source.Data)))
		return controllerutil.SetControllerReference(&source, set, r.Scheme())
	})
	if err != nil {
		return ctrl.Result{}, err
	}
	set.Status.ObservedGeneration, set.Status.Replicas = set.Generation, *set.Spec.Replicas
	return ctrl.Result{}, r.Status().Update(ctx, set)
}

// A manager with leader election, an index, a cache of one namespace and a reconciler that owns what it makes.
func TestManager(t *testing.T) {
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(context.Background())
			room := room(t)
			manager, err := ctrl.NewManager(config(t, body), ctrl.Options{
				Cache:                         cache.Options{DefaultNamespaces: map[string]cache.Config{room: {}}},
				LeaderElection:                true,
				LeaderElectionID:              "manager",
				LeaderElectionNamespace:       room,
				LeaderElectionReleaseOnCancel: true,
				Logger:                        logr.Discard(),
				Metrics:                       metricsserver.Options{BindAddress: "0"},
			})
			try(t, "manager", err)
			try(t, "index", manager.GetFieldIndexer().IndexField(ctx, &appsv1.ReplicaSet{}, "owner", func(object client.Object) []string {
				return []string{object.GetOwnerReferences()[0].Name}
			}))
			try(t, "controller", ctrl.NewControllerManagedBy(manager).Named("maps-"+name).For(&corev1.ConfigMap{}).
				Owns(&appsv1.ReplicaSet{}).Complete(&reconciler{manager.GetClient()}))
			ended := make(chan error, 1)
			go func() { ended <- manager.Start(ctx) }()
			defer func() {
				cancel()
				try(t, "the manager's end", within(t, "the manager's end", ended))
			}()
			if !manager.GetCache().WaitForCacheSync(ctx) {
				t.Fatal("the cache did not sync")
			}

			own := manager.GetClient()
			source := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: room}, Data: map[string]string{"a": "", "b": ""}}
			try(t, "create", own.Create(ctx, source))
			replicas := func(n int32) func() error {
				return func() error {
					var sets appsv1.ReplicaSetList
					if err := own.List(ctx, &sets, client.InNamespace(room), client.MatchingFields{"owner": "web"}); err != nil {
						return err
					}
					if len(sets.Items) != 1 || *sets.Items[0].Spec.Replicas != n || sets.Items[0].Status.Replicas != n {
						return fmt.Errorf("sets: %+v", sets.Items)
					}
					return nil
				}
			}
			eventually(t, "a set of two", replicas(2))
			patch := client.MergeFrom(source.DeepCopy())
			source.Data["c"] = ""
			try(t, "patch", own.Patch(ctx, source, patch))
			eventually(t, "a set of three", replicas(3))

			// Whoever changes what is owned is put right; what is deleted comes back.
			set := &appsv1.ReplicaSet{ObjectMeta: metav1.ObjectMeta{Name: "web", Namespace: room}}
			try(t, "meddle", own.Patch(ctx, set, client.RawPatch("application/merge-patch+json", []byte(`{"spec":{"replicas":9}}`))))
			eventually(t, "a set of three again", replicas(3))
			was := set.UID
			try(t, "delete what is owned", own.Delete(ctx, set, client.PropagationPolicy(metav1.DeletePropagationBackground)))
			eventually(t, "another set", func() error {
				var now appsv1.ReplicaSet
				if err := own.Get(ctx, client.ObjectKeyFromObject(set), &now); err != nil {
					return err
				}
				if now.UID == was {
					return fmt.Errorf("it is still the old one")
				}
				return nil
			})
			// The finalizer holds the source until the reconciler lets go, and the collector takes the set along.
			try(t, "delete", own.Delete(ctx, source))
			for _, object := range []client.Object{source, set} {
				eventually(t, fmt.Sprintf("no %T", object), func() error {
					err := manager.GetAPIReader().Get(ctx, client.ObjectKeyFromObject(object), object)
					if err == nil {
						return fmt.Errorf("it is there: %v", object.GetFinalizers())
					}
					if apierrors.IsNotFound(err) {
						return nil
					}
					return err
				})
			}
		})
	}
}
