package clients

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/events"
	"k8s.io/client-go/tools/leaderelection"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	"k8s.io/client-go/tools/record"
	watchtools "k8s.io/client-go/tools/watch"
	"k8s.io/client-go/util/workqueue"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes/scheme"
	typedcorev1 "k8s.io/client-go/kubernetes/typed/core/v1"
)

// A controller as client-go's examples write it: shared informers, an index, a work queue.
func TestInformers(t *testing.T) {
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			client, room := typed(t, body), room(t)
			maps := client.CoreV1().ConfigMaps(room)
			for i := range 20 {
				_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
					Name: fmt.Sprint("before-", i), Labels: map[string]string{"half": fmt.Sprint(i % 2)},
				}}, metav1.CreateOptions{})
				try(t, "create", err)
			}
			factory := informers.NewSharedInformerFactoryWithOptions(client, time.Hour, informers.WithNamespace(room))
			informer := factory.Core().V1().ConfigMaps()
			by := cache.Indexers{"half": func(object any) ([]string, error) {
				return []string{object.(*corev1.ConfigMap).Labels["half"]}, nil
			}}
			try(t, "indexers", informer.Informer().AddIndexers(by))
			queue := workqueue.NewTypedRateLimitingQueue(workqueue.DefaultTypedControllerRateLimiter[string]())
			defer queue.ShutDown()
			add := func(object any) {
				if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(object); err == nil {
					queue.Add(key)
				}
			}
			_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
				AddFunc: add, DeleteFunc: add, UpdateFunc: func(_, object any) { add(object) },
			})
			try(t, "handler", err)
			factory.Start(ctx.Done())
			for kind, synced := range factory.WaitForCacheSync(ctx.Done()) {
				if !synced {
					t.Fatalf("%v did not sync", kind)
				}
			}
			seen := map[string]bool{}
			until := func(what string, done func() bool) {
				for !done() {
					timer := time.AfterFunc(patience, queue.ShutDown)
					key, shutdown := queue.Get()
					timer.Stop()
					if shutdown {
						t.Fatalf("%s: not within %v; seen: %v", what, patience, seen)
					}
					seen[key] = true
					queue.Done(key)
				}
			}
			until("all that was there", func() bool { return len(seen) == 20 })
			odd, err := informer.Informer().GetIndexer().ByIndex("half", "1")
			if err != nil || len(odd) != 10 {
				t.Fatalf("index: %d, %v", len(odd), err)
			}
			_, err = maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "after"}}, metav1.CreateOptions{})
			try(t, "create", err)
			until("what came after", func() bool { return seen[room+"/after"] })
			try(t, "delete all", maps.DeleteCollection(ctx, metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "half"}))
			until("an empty cache", func() bool {
				left, _ := informer.Lister().ConfigMaps(room).List(labels.Everything())
				return len(left) == 1
			})

			// Until a condition is true, from a list on.
			source := &cache.ListWatch{
				ListFunc: func(options metav1.ListOptions) (runtime.Object, error) { return maps.List(ctx, options) },
				WatchFunc: func(options metav1.ListOptions) (watch.Interface, error) { return maps.Watch(ctx, options) },
			}
			limited, stop := context.WithTimeout(ctx, patience)
			defer stop()
			time.AfterFunc(100*time.Millisecond, func() {
				_, err := maps.Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "awaited"}}, metav1.CreateOptions{})
				if err != nil {
					t.Error(err)
				}
			})
			_, err = watchtools.UntilWithSync(limited, source, &corev1.ConfigMap{}, nil, func(event watch.Event) (bool, error) {
				return event.Object.(*corev1.ConfigMap).Name == "awaited", nil
			})
			try(t, "until", err)
		})
	}
}

// Two candidates: one leads, the other one follows when the first steps down.
func TestLeaderElection(t *testing.T) {
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, room := typed(t, body), room(t)
			started := make(chan string, 2)
			candidate := func(ctx context.Context, who string) {
				leaderelection.RunOrDie(ctx, leaderelection.LeaderElectionConfig{
					Lock: &resourcelock.LeaseLock{
						LeaseMeta: metav1.ObjectMeta{Namespace: room, Name: "seat"}, Client: client.CoordinationV1(),
						LockConfig: resourcelock.ResourceLockConfig{Identity: who},
					},
					ReleaseOnCancel: true, LeaseDuration: 15 * time.Second, RenewDeadline: 10 * time.Second,
					RetryPeriod: 200 * time.Millisecond,
					Callbacks: leaderelection.LeaderCallbacks{
						OnStartedLeading: func(ctx context.Context) { started <- who; <-ctx.Done() },
						OnStoppedLeading: func() {},
					},
				})
			}
			var all sync.WaitGroup
			ctx, cancel := context.WithCancel(context.Background())
			stops := map[string]context.CancelFunc{}
			for _, who := range []string{"one", "two"} {
				own, stop := context.WithCancel(ctx)
				stops[who] = stop
				all.Go(func() { candidate(own, who) })
			}
			first := within(t, "a leader", started)
			stops[first]()
			second := within(t, "another leader", started)
			if first == second {
				t.Fatalf("%s followed himself", first)
			}
			lease, err := client.CoordinationV1().Leases(room).Get(context.Background(), "seat", metav1.GetOptions{})
			try(t, "lease", err)
			if *lease.Spec.HolderIdentity != second || *lease.Spec.LeaseTransitions < 1 || lease.Spec.RenewTime.Nanosecond()%1000 != 0 {
				t.Fatalf("lease: %+v", lease.Spec)
			}
			cancel()
			all.Wait()
		})
	}
}

func within[T any](t *testing.T, what string, from chan T) T {
	t.Helper()
	select {
	case got := <-from:
		return got
	case <-time.After(patience):
		t.Fatal(errors.New(what + " did not come"))
		panic("unreachable")
	}
}

// Events of both groups are one kind; the recorders aggregate by patches.
func TestEvents(t *testing.T) {
	ctx, client, room := context.Background(), typed(t, bodies["protobuf"]), room(t)
	about, err := client.CoreV1().ConfigMaps(room).Create(ctx, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "subject"}}, metav1.CreateOptions{})
	try(t, "create", err)

	broadcaster := record.NewBroadcaster()
	defer broadcaster.Shutdown()
	broadcaster.StartRecordingToSink(&typedcorev1.EventSinkImpl{Interface: client.CoreV1().Events(room)})
	recorder := broadcaster.NewRecorder(scheme.Scheme, corev1.EventSource{Component: "test"})
	for range 3 {
		recorder.Event(about, corev1.EventTypeNormal, "Happened", "something happened")
	}
	eventually(t, "an event that was counted", func() error {
		list, err := client.CoreV1().Events(room).List(ctx, metav1.ListOptions{FieldSelector: "involvedObject.name=subject,reason=Happened"})
		if err != nil {
			return err
		}
		if len(list.Items) != 1 || list.Items[0].Count != 3 {
			return fmt.Errorf("events: %d", len(list.Items))
		}
		return nil
	})

	newer := events.NewBroadcaster(&events.EventSinkImpl{Interface: client.EventsV1()})
	defer newer.Shutdown()
	try(t, "recording", newer.StartRecordingToSinkWithContext(ctx))
	newer.NewRecorder(scheme.Scheme, "test.example.com/controller").
		Eventf(about, nil, corev1.EventTypeWarning, "Regarded", "Looking", "a note of %d", 7)
	eventually(t, "an event of the newer group", func() error {
		list, err := client.EventsV1().Events(room).List(ctx, metav1.ListOptions{FieldSelector: "reason=Regarded"})
		if err != nil {
			return err
		}
		if len(list.Items) != 1 || list.Items[0].Note != "a note of 7" {
			return fmt.Errorf("events: %+v", list.Items)
		}
		return nil
	})
}
