package clients

import (
	"context"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	applyappsv1 "k8s.io/client-go/applyconfigurations/apps/v1"
	applycorev1 "k8s.io/client-go/applyconfigurations/core/v1"
	applymetav1 "k8s.io/client-go/applyconfigurations/meta/v1"
)

// Server-side apply with typed configurations: fields have managers, conflicts name them, force takes over, and what a
// manager leaves out goes.
func TestApply(t *testing.T) {
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx, client, room := context.Background(), typed(t, body), room(t)
			deployments := client.AppsV1().Deployments(room)
			container := func(image string) *applycorev1.ContainerApplyConfiguration {
				return applycorev1.Container().WithName("main").WithImage(image).
					WithPorts(applycorev1.ContainerPort().WithContainerPort(80).WithProtocol(corev1.ProtocolTCP))
			}
			intent := func(image string, replicas int32) *applyappsv1.DeploymentApplyConfiguration {
				app := map[string]string{"app": "web"}
				return applyappsv1.Deployment("web", room).WithLabels(app).WithSpec(applyappsv1.DeploymentSpec().
					WithReplicas(replicas).WithSelector(applymetav1.LabelSelector().WithMatchLabels(app)).
					WithTemplate(applycorev1.PodTemplateSpec().WithLabels(app).
						WithSpec(applycorev1.PodSpec().WithContainers(container(image)))))
			}
			one := metav1.ApplyOptions{FieldManager: "one"}
			made, err := deployments.Apply(ctx, intent("nginx", 2), one)
			try(t, "apply", err)
			again, err := deployments.Apply(ctx, intent("nginx", 2), one)
			try(t, "apply again", err)
			if made.ResourceVersion != again.ResourceVersion {
				t.Fatalf("nothing to do, and yet a write: %s, %s", made.ResourceVersion, again.ResourceVersion)
			}
			_, err = deployments.Apply(ctx, intent("nginx", 5), metav1.ApplyOptions{FieldManager: "two"})
			if !apierrors.IsConflict(err) || !strings.Contains(err.Error(), `conflict with "one": .spec.replicas`) {
				t.Fatalf("another's field: %v", err)
			}
			forced, err := deployments.Apply(ctx, intent("nginx", 5), metav1.ApplyOptions{FieldManager: "two", Force: true})
			try(t, "force", err)
			if *forced.Spec.Replicas != 5 || len(forced.ManagedFields) != 2 {
				t.Fatalf("forced: %d, %+v", *forced.Spec.Replicas, forced.ManagedFields)
			}

			// Extract what a manager holds, change it, apply it: the sidecar and its label are his alone.
			mine, err := applyappsv1.ExtractDeployment(forced, "one")
			try(t, "extract", err)
			if mine.Spec.Replicas != nil || *mine.Spec.Template.Spec.Containers[0].Image != "nginx" {
				t.Fatalf("extracted: %+v", mine.Spec)
			}
			mine.Spec.Template.Spec.WithContainers(applycorev1.Container().WithName("side").WithImage("busybox"))
			mine.WithLabels(map[string]string{"extra": "x"})
			with, err := deployments.Apply(ctx, mine, one)
			try(t, "apply what was extracted", err)
			if len(with.Spec.Template.Spec.Containers) != 2 || with.Labels["extra"] != "x" {
				t.Fatalf("with a sidecar: %+v", with.Spec.Template.Spec.Containers)
			}
			mine.Spec.Template.Spec.Containers = mine.Spec.Template.Spec.Containers[:1]
			delete(mine.Labels, "extra")
			without, err := deployments.Apply(ctx, mine, one)
			try(t, "leave out", err)
			if len(without.Spec.Template.Spec.Containers) != 1 || without.Labels["extra"] != "" || *without.Spec.Replicas != 5 {
				t.Fatalf("left out: %+v %v", without.Spec.Template.Spec.Containers, without.Labels)
			}

			// Status and scale have managers of their own.
			status := applyappsv1.Deployment("web", room).WithStatus(applyappsv1.DeploymentStatus().WithConditions(
				applyappsv1.DeploymentCondition().WithType(appsv1.DeploymentAvailable).WithStatus(corev1.ConditionTrue).
					WithReason("Told").WithMessage("by a test")))
			told, err := deployments.ApplyStatus(ctx, status, metav1.ApplyOptions{FieldManager: "watcher"})
			try(t, "apply status", err)
			if len(told.Status.Conditions) != 1 {
				t.Fatalf("status: %+v", told.Status)
			}
		})
	}
}
