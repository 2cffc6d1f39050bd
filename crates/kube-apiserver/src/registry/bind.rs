//! Assigning pods to nodes: the `binding` subresource and the scheduler's stream.

use api::catalog::Rules;
use api::meta;
use api::status::Status;
use api::strategy;
use serde_json::{Map, Value};

use super::{Context, Registry, Target};

impl Registry {
    /// `uid`: the pod must be this one, if given. Binding a pod twice is a conflict.
    pub async fn bind(
        &self,
        context: &Context,
        pod: &Target,
        node: &str,
        uid: &str,
        annotations: Option<&Map<String, Value>>,
    ) -> Result<(), Status> {
        let now = meta::now();
        let change = |current: &Value| {
            let is = meta::text(current, "uid");
            if !uid.is_empty() && uid != is {
                let why = format!("Precondition failed: UID in precondition: {uid}, UID in object meta: {is}");
                return Err(Status::conflict("", "pods/binding", &pod.name, &why));
            }
            let mut bound = current.clone();
            strategy::bind(&mut bound, node, annotations, &now)?;
            Ok(bound)
        };
        self.update(context, pod, Rules::Checked, &change).await.map(|_| ())
    }
}
