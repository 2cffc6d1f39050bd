package clients

import (
	"context"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/discovery"
	"k8s.io/client-go/discovery/cached/memory"
	"k8s.io/client-go/dynamic"
	"k8s.io/client-go/dynamic/dynamicinformer"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/restmapper"
	"k8s.io/client-go/scale"
	"k8s.io/client-go/tools/cache"
)

// Discovery names every kind, and mappers find resources by what it says.
func TestDiscovery(t *testing.T) {
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			client := discovery.NewDiscoveryClientForConfigOrDie(config(t, body))
			groups, lists, err := client.ServerGroupsAndResources()
			try(t, "groups and resources", err)
			if len(groups) < 15 || len(lists) < 15 {
				t.Fatalf("%d groups, %d lists", len(groups), len(lists))
			}
			version, err := client.ServerVersion()
			try(t, "version", err)
			if version.Major != "1" {
				t.Fatalf("version: %v", version)
			}
			document, err := client.OpenAPISchema()
			try(t, "OpenAPI 2", err)
			if document.Info.Title != "Kubernetes" {
				t.Fatalf("title: %q", document.Info.Title)
			}
			paths, err := client.OpenAPIV3().Paths()
			try(t, "OpenAPI 3", err)
			if _, err = paths["apis/apps/v1"].Schema("application/com.github.proto-openapi.spec.v3@v1.0+protobuf"); err != nil {
				t.Fatalf("OpenAPI 3 as protobuf: %v", err)
			}
			mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(client))
			found, err := mapper.RESTMapping(schema.GroupKind{Group: "apps", Kind: "Deployment"})
			try(t, "mapping", err)
			if found.Resource.Resource != "deployments" || found.Scope.Name() != meta.RESTScopeNameNamespace {
				t.Fatalf("mapping: %+v", found)
			}
			short := restmapper.NewShortcutExpander(mapper, client, nil)
			named, err := short.ResourceFor(schema.GroupVersionResource{Resource: "svc"})
			try(t, "short name", err)
			if named.Resource != "services" {
				t.Fatalf("svc: %+v", named)
			}
		})
	}
}

// Objects of kinds that the program has no types for.
func TestDynamic(t *testing.T) {
	ctx, room := context.Background(), room(t)
	client := dynamic.NewForConfigOrDie(config(t, ""))
	resource := schema.GroupVersionResource{Group: "apps", Version: "v1", Resource: "replicasets"}
	sets := client.Resource(resource).Namespace(room)

	factory := dynamicinformer.NewFilteredDynamicSharedInformerFactory(client, time.Hour, room, nil)
	informer := factory.ForResource(resource)
	deleted := make(chan string, 8)
	_, err := informer.Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{DeleteFunc: func(object any) {
		deleted <- object.(*unstructured.Unstructured).GetName()
	}})
	try(t, "handler", err)
	stop := make(chan struct{})
	defer close(stop)
	factory.Start(stop)
	factory.WaitForCacheSync(stop)

	set := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": map[string]any{"name": "web"},
		"spec": map[string]any{
			"replicas": int64(2), "selector": map[string]any{"matchLabels": map[string]any{"app": "x"}},
			"template": map[string]any{
				"metadata": map[string]any{"labels": map[string]any{"app": "x"}},
				"spec":     map[string]any{"containers": []any{map[string]any{"name": "c", "image": "i"}}},
			},
		},
	}}
	made, err := sets.Create(ctx, set, metav1.CreateOptions{FieldValidation: "Strict"})
	try(t, "create", err)
	policy, _, _ := unstructured.NestedString(made.Object, "spec", "template", "spec", "restartPolicy")
	if policy != "Always" {
		t.Fatalf("defaults: %v", made.Object)
	}
	eventually(t, "the informer's cache", func() error {
		_, err := informer.Lister().ByNamespace(room).Get("web")
		return err
	})
	patched, err := sets.Patch(ctx, "web", types.MergePatchType, []byte(`{"status":{"replicas":1}}`), metav1.PatchOptions{}, "status")
	try(t, "patch status", err)
	if n, _, _ := unstructured.NestedInt64(patched.Object, "status", "replicas"); n != 1 {
		t.Fatalf("status: %v", patched.Object["status"])
	}
	list, err := sets.List(ctx, metav1.ListOptions{LabelSelector: "!nothing"})
	try(t, "list", err)
	if len(list.Items) != 1 || list.GetKind() != "ReplicaSetList" {
		t.Fatalf("list: %v", list)
	}

	// The polymorphic scale client finds the subresource by discovery.
	found := discovery.NewDiscoveryClientForConfigOrDie(config(t, ""))
	mapper := restmapper.NewDeferredDiscoveryRESTMapper(memory.NewMemCacheClient(found))
	scales, err := scale.NewForConfig(config(t, ""), mapper, dynamic.LegacyAPIPathResolverFunc, scale.NewDiscoveryScaleKindResolver(found))
	try(t, "scale client", err)
	now, err := scales.Scales(room).Get(ctx, resource.GroupResource(), "web", metav1.GetOptions{})
	try(t, "scale", err)
	now.Spec.Replicas = 5
	now, err = scales.Scales(room).Update(ctx, resource.GroupResource(), now, metav1.UpdateOptions{})
	try(t, "update scale", err)
	if now.Spec.Replicas != 5 {
		t.Fatalf("scale: %+v", now)
	}

	// Metadata alone.
	all, err := metadata.NewForConfigOrDie(config(t, "")).Resource(resource).Namespace(room).List(ctx, metav1.ListOptions{})
	try(t, "metadata", err)
	if len(all.Items) != 1 || all.Items[0].Name != "web" {
		t.Fatalf("metadata: %+v", all)
	}
	try(t, "delete", sets.Delete(ctx, "web", metav1.DeleteOptions{}))
	select {
	case name := <-deleted:
		if name != "web" {
			t.Fatalf("deleted: %s", name)
		}
	case <-time.After(patience):
		t.Fatal("nobody was told of the deletion")
	}
}
