//! Which nodes a pod must or would like to run on, by their labels and names.
use api::selector::{Operator, Requirement};
use k8s_openapi::api::core::v1::{Affinity, NodeSelectorRequirement, NodeSelectorTerm};

use super::{Labels, Node};

/// All of it must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeTerm {
    labels: Vec<Requirement>,
    /// Of the node's name: the operator is `In` or `NotIn`.
    names: Vec<(bool, Vec<String>)>,
    /// A term that can't be read, or is empty, matches no node.
    impossible: bool,
}

impl NodeTerm {
    fn new(term: &NodeSelectorTerm) -> Self {
        let expressions = term.match_expressions.iter().flatten();
        let labels: Option<Vec<_>> = expressions.map(requirement).collect();
        let fields = term.match_fields.iter().flatten();
        let names: Option<Vec<_>> = fields.map(name_requirement).collect();
        let empty = labels.as_ref().is_some_and(Vec::is_empty) && names.as_ref().is_some_and(Vec::is_empty);
        let impossible = empty || labels.is_none() || names.is_none();
        Self { labels: labels.unwrap_or_default(), names: names.unwrap_or_default(), impossible }
    }

    pub fn matches(&self, node: &Node) -> bool {
        static NONE: Labels = Labels::new();
        let labels = node.metadata.labels.as_ref().unwrap_or(&NONE);
        let name = node.metadata.name.as_deref().unwrap_or_default();
        !self.impossible
            && self.labels.iter().all(|requirement| requirement.matches(labels))
            && self.names.iter().all(|(is_in, names)| names.iter().any(|one| one == name) == *is_in)
    }
}

fn requirement(expression: &NodeSelectorRequirement) -> Option<Requirement> {
    let operator = match expression.operator.as_str() {
        "In" => Operator::In,
        "NotIn" => Operator::NotIn,
        "Exists" => Operator::Exists,
        "DoesNotExist" => Operator::DoesNotExist,
        "Gt" => Operator::GreaterThan,
        "Lt" => Operator::LessThan,
        _ => return None,
    };
    Requirement::new(&expression.key, operator, expression.values.iter().flatten().cloned()).ok()
}

fn name_requirement(field: &NodeSelectorRequirement) -> Option<(bool, Vec<String>)> {
    let is_in = match (field.key.as_str(), field.operator.as_str()) {
        ("metadata.name", "In") => true,
        ("metadata.name", "NotIn") => false,
        _ => return None,
    };
    Some((is_in, field.values.clone().unwrap_or_default()))
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NodeAffinity {
    pub node_selector: Labels,
    /// One of them must hold, where there are any.
    pub required: Option<Vec<NodeTerm>>,
    pub preferred: Vec<(i64, NodeTerm)>,
}

impl NodeAffinity {
    pub fn new(node_selector: Option<Labels>, affinity: Option<&Affinity>) -> Self {
        let node = affinity.and_then(|affinity| affinity.node_affinity.as_ref());
        let required = node.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
        let preferred = node.and_then(|node| node.preferred_during_scheduling_ignored_during_execution.as_ref());
        Self {
            node_selector: node_selector.unwrap_or_default(),
            required: required.map(|required| required.node_selector_terms.iter().map(NodeTerm::new).collect()),
            preferred: preferred
                .into_iter()
                .flatten()
                .map(|term| (i64::from(term.weight), NodeTerm::new(&term.preference)))
                .collect(),
        }
    }

    pub fn allows(&self, node: &Node) -> bool {
        let labels = node.metadata.labels.as_ref();
        let has = |(key, value): (&String, &String)| labels.is_some_and(|labels| labels.get(key) == Some(value));
        self.node_selector.iter().all(has)
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(node)))
    }
}
