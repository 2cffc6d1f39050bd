//! `policy/v1beta1`: an empty selector selects nothing, as opposed to everything. A label that no pod has stands for the one in the other version.

use serde_json::{Value, json};

use super::{Conversion, each};

const LABEL: &str = "pdb.kubernetes.io/deprecated-v1beta1-empty-selector-match";

pub const POD_DISRUPTION_BUDGET: Conversion = Conversion {
    to_stored: |document| {
        swap(document, "DoesNotExist", "Exists");
        // The label never stands beside what a client wants of pods.
        if document.pointer("/spec/selector") != Some(&only("Exists")) {
            each(document, "spec.selector", &mut |selector| {
                let Some(Value::Array(expressions)) = selector.get_mut("matchExpressions") else { return };
                expressions.retain(|expression| expression.get("key").is_none_or(|key| key != LABEL));
                if expressions.is_empty() {
                    selector.remove("matchExpressions");
                }
            });
        }
    },
    from_stored: |document| swap(document, "Exists", "DoesNotExist"),
    ..super::SAME
};

fn only(operator: &str) -> Value {
    json!({"matchExpressions": [{"key": LABEL, "operator": operator}]})
}

/// What had to be written with the label becomes the empty selector, and the empty selector what must be written with the label.
fn swap(document: &mut Value, written: &str, empty: &str) {
    let Some(selector) = document.pointer_mut("/spec/selector") else { return };
    if *selector == only(written) {
        *selector = json!({});
    } else if *selector == json!({}) {
        *selector = only(empty);
    }
}
