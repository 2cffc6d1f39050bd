"""What people do with the `kubernetes` package, on the cluster of $KUBECONFIG.

tests/tests/clients.rs starts that cluster: kube-apiserver, etcd, kube-controller-manager. No node is needed.
"""

import datetime
import pathlib
import tempfile
import threading
import time
import unittest

import yaml
from kubernetes import client, config, dynamic, utils, watch
from kubernetes.client.exceptions import ApiException
from kubernetes.dynamic.exceptions import ConflictError, NotFoundError
from kubernetes.leaderelection import electionconfig, leaderelection
from kubernetes.leaderelection.resourcelock.configmaplock import ConfigMapLock

PATIENCE = 60

GUESTBOOK = """
apiVersion: v1
kind: Service
metadata:
  name: front
spec:
  selector: {app: front}
  ports: [{port: 80, targetPort: 8080}]
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: front
  labels: {app: front}
spec:
  replicas: 3
  selector: {matchLabels: {app: front}}
  template:
    metadata: {labels: {app: front}}
    spec:
      containers:
      - name: main
        image: busybox
        resources: {requests: {cpu: 100m, memory: 64Mi}}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: ConfigMap, metadata: {name: one}, data: {a: b}}
- apiVersion: rbac.authorization.k8s.io/v1
  kind: Role
  metadata: {name: reader}
  rules: [{apiGroups: [""], resources: [pods], verbs: [get]}]
"""


def eventually(what, check):
    """What `check` gives, once it is something."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        if found := check():
            return found
        time.sleep(0.05)
    raise AssertionError(f"{what}: not within {PATIENCE} s")


class Clients(unittest.TestCase):
    def setUp(self):
        config.load_kube_config()
        self.core, self.apps = client.CoreV1Api(), client.AppsV1Api()
        made = self.core.create_namespace({"metadata": {"generateName": "python-"}})
        self.room = made.metadata.name
        self.addCleanup(self.core.delete_namespace, self.room)

    def refused(self, code, reason, call, *arguments, **named):
        with self.assertRaises(ApiException) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.status, code, caught.exception.body)
        self.assertIn(f'"reason":"{reason}"', caught.exception.body.replace(": ", ":"))
        return caught.exception

    def test_version_and_discovery(self):
        self.assertEqual(client.VersionApi().get_code().major, "1")
        groups = {group.name for group in client.ApisApi().get_api_versions().groups}
        self.assertLessEqual({"apps", "batch", "rbac.authorization.k8s.io", "networking.k8s.io"}, groups)
        kinds = {resource.kind for resource in self.core.get_api_resources().resources}
        self.assertLessEqual({"Pod", "Service", "Node", "Scale"}, kinds)
        review = client.AuthenticationV1Api().create_self_subject_review({})
        self.assertIn("system:masters", review.status.user_info.groups)

    def test_objects_from_create_to_delete(self):
        body = client.V1ConfigMap(
            metadata=client.V1ObjectMeta(name="words", labels={"app": "web"}),
            data={"a": "1"},
            binary_data={"b": "AP8H"},
        )
        made = self.core.create_namespaced_config_map(self.room, body, field_manager="python")
        self.assertIsInstance(made.metadata.creation_timestamp, datetime.datetime)
        self.assertEqual((made.binary_data["b"], made.metadata.managed_fields[0].manager), ("AP8H", "python"))
        self.refused(409, "AlreadyExists", self.core.create_namespaced_config_map, self.room, body)
        bad = client.V1ConfigMap(metadata=client.V1ObjectMeta(name="Bad_Name"))
        self.refused(422, "Invalid", self.core.create_namespaced_config_map, self.room, bad)

        # A stale replace, then the newest.
        stale = self.core.read_namespaced_config_map("words", self.room)
        made.data["a"] = "2"
        made = self.core.replace_namespaced_config_map("words", self.room, made)
        self.refused(409, "Conflict", self.core.replace_namespaced_config_map, "words", self.room, stale)
        self.assertEqual(made.data["a"], "2")

        # A dict is a strategic merge patch, a list a JSON patch.
        patched = self.core.patch_namespaced_config_map("words", self.room, {"data": {"c": "3", "a": None}})
        self.assertEqual(patched.data, {"c": "3"})
        patch = [{"op": "replace", "path": "/data/c", "value": "4"}]
        patched = self.core.patch_namespaced_config_map("words", self.room, patch)
        self.assertEqual(patched.data, {"c": "4"})
        dry = self.core.patch_namespaced_config_map("words", self.room, {"data": {"c": "5"}}, dry_run="All")
        self.assertEqual((dry.data["c"], self.core.read_namespaced_config_map("words", self.room).data["c"]), ("5", "4"))

        # Pages and selectors.
        for n in range(5):
            self.core.create_namespaced_config_map(self.room, {"metadata": {"name": f"n{n}", "labels": {"n": str(n % 2)}}})
        names, token = [], None
        while token != "":
            page = self.core.list_namespaced_config_map(self.room, limit=2, _continue=token)
            names += [item.metadata.name for item in page.items]
            token = page.metadata._continue or ""
        self.assertEqual(names, ["n0", "n1", "n2", "n3", "n4", "words"])
        odd = self.core.list_config_map_for_all_namespaces(label_selector="n=1", field_selector=f"metadata.namespace={self.room}")
        self.assertEqual([item.metadata.name for item in odd.items], ["n1", "n3"])

        status = self.core.delete_namespaced_config_map("words", self.room)
        self.assertEqual(status["status"], "Success")
        self.refused(404, "NotFound", self.core.read_namespaced_config_map, "words", self.room)
        self.core.delete_collection_namespaced_config_map(self.room, label_selector="n")
        self.assertEqual(self.core.list_namespaced_config_map(self.room).items, [])

    def test_watches(self):
        """From a list on, in another thread, until it is stopped."""
        told, started = [], self.core.list_namespaced_secret(self.room).metadata.resource_version
        stream = watch.Watch()

        def follow():
            for event in stream.stream(self.core.list_namespaced_secret, self.room, resource_version=started, timeout_seconds=PATIENCE):
                told.append((event["type"], event["object"].metadata.name))
                if event["type"] == "DELETED":
                    stream.stop()

        follower = threading.Thread(target=follow)
        follower.start()
        self.core.create_namespaced_secret(self.room, {"metadata": {"name": "s"}, "stringData": {"word": "x"}})
        self.core.patch_namespaced_secret("s", self.room, {"metadata": {"labels": {"a": "b"}}})
        self.core.delete_namespaced_secret("s", self.room)
        follower.join(PATIENCE)
        self.assertEqual(told, [("ADDED", "s"), ("MODIFIED", "s"), ("DELETED", "s")])

    def test_yaml_files_and_what_controllers_make_of_them(self):
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "guestbook.yaml")
            path.write_text(GUESTBOOK)
            api = client.ApiClient()
            made = utils.create_from_yaml(api, str(path), namespace=self.room)
            self.assertEqual(len([one for many in made for one in many]), 4)
            with self.assertRaises(utils.FailToCreateError):
                utils.create_from_yaml(api, str(path), namespace=self.room)
        service = self.core.read_namespaced_service("front", self.room)
        self.assertTrue(service.spec.cluster_ip)
        self.assertEqual(service.spec.ports[0].target_port, 8080)
        # The endpoints controller knows the service, which nobody serves yet.
        eventually("endpoints", lambda: any(
            item.metadata.name == "front" for item in self.core.list_namespaced_endpoints(self.room).items))
        deployment = self.apps.read_namespaced_deployment("front", self.room)
        self.assertEqual(deployment.spec.strategy.rolling_update.max_surge, "25%")
        self.assertEqual(utils.parse_quantity(deployment.spec.template.spec.containers[0].resources.requests["cpu"]) * 10, 1)
        scale = self.apps.patch_namespaced_deployment_scale("front", self.room, {"spec": {"replicas": 5}})
        self.assertEqual(scale.spec.replicas, 5)
        status = {"status": {"conditions": [{"type": "Available", "status": "True", "reason": "Told", "message": "m"}]}}
        told = self.apps.patch_namespaced_deployment_status("front", self.room, status)
        self.assertEqual(told.status.conditions[0].reason, "Told")

    def test_replication(self):
        template = {"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}}
        spec = {"replicas": 2, "selector": {"app": "web"}, "template": template}
        self.core.create_namespaced_replication_controller(self.room, {"metadata": {"name": "web"}, "spec": spec})
        pods = lambda: self.core.list_namespaced_pod(self.room, label_selector="app=web").items
        eventually("two pods", lambda: len(pods()) == 2)
        self.core.patch_namespaced_replication_controller_scale("web", self.room, {"spec": {"replicas": 0}})
        eventually("no pods", lambda: not pods())
        options = client.V1DeleteOptions(propagation_policy="Foreground")
        self.core.delete_namespaced_replication_controller("web", self.room, body=options)
        eventually("no controller", lambda: not self.core.list_namespaced_replication_controller(self.room).items)

    def test_dynamic_client(self):
        resources = dynamic.DynamicClient(client.ApiClient())
        sets = resources.resources.get(api_version="apps/v1", kind="ReplicaSet")
        self.assertTrue(sets.namespaced)
        manifest = yaml.safe_load(GUESTBOOK.split("---")[1]) | {"kind": "ReplicaSet"}
        manifest["metadata"] = {"name": "front"}
        made = sets.create(body=manifest, namespace=self.room)
        self.assertEqual(made.spec.template.spec.restartPolicy, "Always")
        with self.assertRaises(ConflictError):
            sets.create(body=manifest, namespace=self.room)
        merged = sets.patch(
            name="front", namespace=self.room, body={"spec": {"replicas": 7}}, content_type="application/merge-patch+json"
        )
        self.assertEqual(merged.spec.replicas, 7)
        applied = {"apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": {"name": "front", "labels": {"by": "apply"}}}
        applied = sets.server_side_apply(applied, name="front", namespace=self.room, field_manager="python")
        self.assertEqual((applied.metadata.labels.by, applied.spec.replicas), ("apply", 7))
        scale = sets.scale.get(name="front", namespace=self.room)
        self.assertEqual((scale.kind, scale.spec.replicas), ("Scale", 7))
        self.assertEqual([item.metadata.name for item in sets.get(namespace=self.room).items], ["front"])
        for event in sets.watch(namespace=self.room, timeout=PATIENCE):
            self.assertEqual((event["type"], event["object"].metadata.name), ("ADDED", "front"))
            break
        sets.delete(name="front", namespace=self.room)
        with self.assertRaises(NotFoundError):
            sets.get(name="front", namespace=self.room)

    def test_leader_election(self):
        lock = ConfigMapLock("seat", self.room, "one")
        led = threading.Event()

        def lead():
            led.set()

        election = leaderelection.LeaderElection(
            electionconfig.Config(lock, lease_duration=17, renew_deadline=15, retry_period=1, onstarted_leading=lead, onstopped_leading=None)
        )
        threading.Thread(target=election.run, daemon=True).start()
        self.assertTrue(led.wait(PATIENCE))
        self.assertIn("one", str(self.core.read_namespaced_config_map("seat", self.room).metadata.annotations))


if __name__ == "__main__":
    unittest.main()
