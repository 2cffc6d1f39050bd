//! The cluster as the scheduler sees it: nodes with the sums of what runs on them, kept by deltas.
//!
//! It holds bound pods and those that are assumed to be bound soon. It is read by one task, and never copied.
use std::{
    collections::{BTreeSet, HashMap},
    sync::Arc,
};

use crate::model::{HostPort, Labels, Node, Pod, Resources, Service};

/// What pods have in common that should not fail together: their controller's uid, or `service:<namespace>/<name>`.
pub type Group = Arc<str>;

#[derive(Debug)]
pub struct NodeInfo {
    pub name: Arc<str>,
    /// Absent while only pods of it are known.
    pub node: Option<Arc<Node>>,
    pub requested: Resources,
    pub pods: usize,
    pub ports: Vec<HostPort>,
    /// How many pods of each group run here.
    pub groups: HashMap<Group, u32>,
}

#[derive(Debug)]
struct Placed {
    pod: Arc<Pod>,
    node: usize,
    groups: Vec<Group>,
}

#[derive(Debug, Default)]
pub struct Cache {
    /// A node that is gone leaves its place to the next one.
    nodes: Vec<NodeInfo>,
    by_name: HashMap<Arc<str>, usize>,
    /// Places that can be filled.
    known: usize,
    pods: HashMap<String, Placed>,
    services: Services,
}

/// Services, found by one pair of their selector.
#[derive(Debug, Default)]
struct Services {
    by_pair: HashMap<(String, String, String), BTreeSet<String>>,
    selectors: HashMap<(String, String), Labels>,
}

impl Services {
    fn set(&mut self, namespace: &str, name: &str, selector: Option<&Labels>) {
        let key = (namespace.to_owned(), name.to_owned());
        if let Some(old) = self.selectors.remove(&key)
            && let Some(place) = pair(namespace, &old)
            && let Some(names) = self.by_pair.get_mut(&place)
        {
            names.remove(name);
            if names.is_empty() {
                self.by_pair.remove(&place);
            }
        }
        if let Some(selector) = selector
            && let Some(place) = pair(namespace, selector)
        {
            self.by_pair.entry(place).or_default().insert(name.to_owned());
            self.selectors.insert(key, selector.clone());
        }
    }

    fn of(&self, namespace: &str, labels: &Labels) -> Vec<Group> {
        let mut found = BTreeSet::new();
        for (key, value) in labels {
            let place = (namespace.to_owned(), key.clone(), value.clone());
            for name in self.by_pair.get(&place).into_iter().flatten() {
                let selector = self.selectors.get(&(namespace.to_owned(), name.clone()));
                if selector.is_some_and(|selector| selector.iter().all(|(key, value)| labels.get(key) == Some(value))) {
                    found.insert(name);
                }
            }
        }
        found.into_iter().map(|name| format!("service:{namespace}/{name}").into()).collect()
    }
}

fn pair(namespace: &str, selector: &Labels) -> Option<(String, String, String)> {
    let (key, value) = selector.first_key_value()?;
    Some((namespace.to_owned(), key.clone(), value.clone()))
}

impl Cache {
    /// All places; those without a node object take no pods.
    pub fn nodes(&self) -> &[NodeInfo] {
        &self.nodes
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.known
    }

    pub fn pod_count(&self) -> usize {
        self.pods.len()
    }

    fn place(&mut self, name: &str) -> usize {
        if let Some(index) = self.by_name.get(name) {
            return *index;
        }
        let name: Arc<str> = name.into();
        let info = NodeInfo {
            name: name.clone(),
            node: None,
            requested: Resources::default(),
            pods: 0,
            ports: Vec::new(),
            groups: HashMap::new(),
        };
        self.nodes.push(info);
        self.by_name.insert(name, self.nodes.len() - 1);
        self.nodes.len() - 1
    }

    pub fn set_node(&mut self, node: Arc<Node>) {
        let index = self.place(node.metadata.name.as_deref().unwrap_or_default());
        let place = &mut self.nodes[index];
        self.known += usize::from(place.node.is_none());
        place.node = Some(node);
    }

    pub fn remove_node(&mut self, name: &str) {
        let Some(index) = self.by_name.get(name).copied() else { return };
        self.known -= usize::from(self.nodes[index].node.take().is_some());
        self.drop_if_empty(index);
    }

    /// A place goes when neither the node nor a pod of it is known.
    fn drop_if_empty(&mut self, index: usize) {
        let info = &self.nodes[index];
        if info.node.is_some() || info.pods > 0 {
            return;
        }
        self.by_name.remove(&info.name);
        let last = self.nodes.len() - 1;
        self.nodes.swap_remove(index);
        if index != last {
            self.by_name.insert(self.nodes[index].name.clone(), index);
            for placed in self.pods.values_mut().filter(|placed| placed.node == last) {
                placed.node = index;
            }
        }
    }

    pub fn groups_of(&self, pod: &Pod) -> Vec<Group> {
        static NONE: Labels = Labels::new();
        let mut groups = self.services.of(pod.namespace(), pod.labels().unwrap_or(&NONE));
        groups.extend(pod.controller().map(Group::from));
        groups
    }

    /// Counts the pod on its node. A pod that is counted already, assumed or of an older version, is counted anew.
    pub fn add_pod(&mut self, pod: Arc<Pod>, node: &str) {
        self.remove_pod(pod.uid());
        let groups = self.groups_of(&pod);
        let index = self.place(node);
        let info = &mut self.nodes[index];
        info.requested.add(&pod.requests);
        info.pods += 1;
        info.ports.extend(pod.ports.iter().cloned());
        for group in &groups {
            *info.groups.entry(group.clone()).or_default() += 1;
        }
        self.pods.insert(pod.uid().to_owned(), Placed { pod, node: index, groups });
    }

    /// Tells whether the pod was counted.
    pub fn remove_pod(&mut self, uid: &str) -> bool {
        let Some(Placed { pod, node, groups }) = self.pods.remove(uid) else { return false };
        let info = &mut self.nodes[node];
        info.requested.subtract(&pod.requests);
        info.pods -= 1;
        for port in &pod.ports {
            if let Some(index) = info.ports.iter().position(|taken| taken == port) {
                info.ports.swap_remove(index);
            }
        }
        leave(info, &groups);
        self.drop_if_empty(node);
        true
    }

    pub fn has_pod(&self, uid: &str) -> bool {
        self.pods.contains_key(uid)
    }

    /// A service is new, changed (`Some`) or gone. The pods of its namespace are grouped anew.
    pub fn set_service(&mut self, service: &Service, there: bool) {
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let name = service.metadata.name.as_deref().unwrap_or_default();
        self.services.set(namespace, name, there.then_some(&service.selector));
        for placed in self.pods.values_mut().filter(|placed| placed.pod.namespace() == namespace) {
            static NONE: Labels = Labels::new();
            let mut groups = self.services.of(namespace, placed.pod.labels().unwrap_or(&NONE));
            groups.extend(placed.pod.controller().map(Group::from));
            if groups != placed.groups {
                let info = &mut self.nodes[placed.node];
                leave(info, &placed.groups);
                for group in &groups {
                    *info.groups.entry(group.clone()).or_default() += 1;
                }
                placed.groups = groups;
            }
        }
    }
}

fn leave(info: &mut NodeInfo, groups: &[Group]) {
    for group in groups {
        if let Some(count) = info.groups.get_mut(group) {
            *count -= 1;
            if *count == 0 {
                info.groups.remove(group);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(uid: &str, cpu: &str, label: &str) -> Arc<Pod> {
        let json = json!({"metadata": {"uid": uid, "name": uid, "namespace": "default", "labels": {"app": label}},
            "spec": {"containers": [{"resources": {"requests": {"cpu": cpu, "example.com/gpu": "1"}},
                "ports": [{"containerPort": 80, "hostPort": 80}]}]}});
        Arc::new(serde_json::from_value(json).unwrap())
    }

    fn node(name: &str) -> Arc<Node> {
        Arc::new(serde_json::from_value(json!({"metadata": {"name": name}})).unwrap())
    }

    #[test]
    fn sums_follow_the_pods() {
        let mut cache = Cache::default();
        cache.add_pod(pod("1", "250m", "x"), "a");
        assert_eq!((cache.node_count(), cache.nodes().len()), (0, 1));
        cache.set_node(node("a"));
        cache.add_pod(pod("2", "1", "x"), "a");
        // Confirmed, perhaps elsewhere than assumed: counted once.
        cache.add_pod(pod("2", "1", "x"), "a");
        let info = &cache.nodes()[0];
        assert_eq!((info.requested.milli_cpu, info.requested.other["example.com/gpu"], info.pods), (1250, 2, 2));
        assert_eq!(info.ports.len(), 2);
        assert!(cache.remove_pod("2") && !cache.remove_pod("2"));
        assert!(cache.remove_pod("1"));
        let info = &cache.nodes()[0];
        assert_eq!((info.requested.clone(), info.pods, info.ports.len()), (Resources::default(), 0, 0));
    }

    #[test]
    fn a_node_goes_when_its_last_pod_has_gone() {
        let mut cache = Cache::default();
        for name in ["a", "b", "c"] {
            cache.set_node(node(name));
        }
        cache.add_pod(pod("1", "1", "x"), "a");
        cache.add_pod(pod("2", "1", "x"), "c");
        cache.remove_node("a");
        assert_eq!((cache.node_count(), cache.nodes().len()), (2, 3));
        cache.remove_pod("1");
        assert_eq!((cache.node_count(), cache.nodes().len()), (2, 2));
        // c has moved to the place of a; its pod is still counted there.
        assert!(cache.remove_pod("2"));
        assert!(cache.nodes().iter().all(|info| info.pods == 0));
    }

    #[test]
    fn pods_are_grouped_by_the_services_that_select_them() {
        let mut cache = Cache::default();
        cache.set_node(node("a"));
        cache.add_pod(pod("1", "1", "x"), "a");
        cache.add_pod(pod("2", "1", "y"), "a");
        let json = json!({"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "x"}}});
        let service: Service = serde_json::from_value(json).unwrap();
        cache.set_service(&service, true);
        assert_eq!(cache.nodes()[0].groups.get("service:default/s"), Some(&1));
        assert_eq!(cache.groups_of(&pod("3", "1", "x")), ["service:default/s".into()]);
        cache.set_service(&service, false);
        assert!(cache.nodes()[0].groups.is_empty());
    }
}
