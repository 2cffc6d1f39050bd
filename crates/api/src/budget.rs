//! How much a body may become once it is decoded: text, values and depth. One budget for JSON, YAML, protobuf and all
//! patches, so that a few bytes of input (aliases, copies) never become much memory or work.

use serde_json::Value;

use crate::status::Status;

/// Deeper documents are refused: no type of the API nests as deep, and every walk recurses.
pub const MAX_DEPTH: usize = 100;
/// Names and strings of one document together, in bytes. A body has at most three million of them.
pub const MAX_BYTES: usize = 4 << 20;
/// Values of one document. What etcd can hold of real objects is below half of this.
pub const MAX_NODES: usize = 400_000;
/// Steps that one patch may take beside what it adds: compared, moved and searched values.
pub const MAX_WORK: usize = 20_000_000;

/// Why a body cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// 413
    #[error("{0}")]
    TooLarge(String),
    /// 400
    #[error("{0}")]
    Malformed(String),
}

impl DecodeError {
    /// `what` begins the message of a malformed body: "the body is not JSON".
    pub fn status(self, what: &str) -> Status {
        match self {
            Self::TooLarge(why) => Status::too_large(format!("the request is too large: {why}")),
            Self::Malformed(why) => Status::bad_request(format!("{what}: {why}")),
        }
    }
}

/// What is left of the budget of one document.
#[derive(Clone, Debug)]
pub struct Budget {
    bytes: usize,
    nodes: usize,
    work: usize,
}

impl Default for Budget {
    fn default() -> Self {
        Self { bytes: MAX_BYTES, nodes: MAX_NODES, work: MAX_WORK }
    }
}

/// What a value takes of a budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    pub bytes: usize,
    pub nodes: usize,
    /// 1 for a scalar.
    pub depth: usize,
}

impl Budget {
    /// The budget that is left once `document` is there.
    pub fn holding(document: &Value) -> Result<Self, DecodeError> {
        let mut budget = Self::default();
        budget.take(size(document))?;
        Ok(budget)
    }

    /// One more value with this much text of its own.
    pub fn node(&mut self, text: usize) -> Result<(), DecodeError> {
        self.take(Size { bytes: text, nodes: 1, depth: 0 })
    }

    /// A value as a whole.
    pub fn take(&mut self, size: Size) -> Result<(), DecodeError> {
        self.bytes = self.bytes.checked_sub(size.bytes).ok_or_else(|| {
            DecodeError::TooLarge(format!("the names and texts of the document take more than {MAX_BYTES} bytes"))
        })?;
        self.nodes = self
            .nodes
            .checked_sub(size.nodes)
            .ok_or_else(|| DecodeError::TooLarge(format!("the document has more than {MAX_NODES} values")))?;
        deep_enough(size.depth)
    }

    /// Steps that add nothing.
    pub fn work(&mut self, steps: usize) -> Result<(), DecodeError> {
        self.work = self
            .work
            .checked_sub(steps)
            .ok_or_else(|| DecodeError::TooLarge(format!("the patch takes more than {MAX_WORK} steps")))?;
        Ok(())
    }
}

/// `depth` counts the value itself and all that it stands in.
pub fn deep_enough(depth: usize) -> Result<(), DecodeError> {
    // The innermost scalar does not count.
    if depth > MAX_DEPTH + 1 {
        return Err(DecodeError::TooLarge(format!("the document is nested deeper than {MAX_DEPTH} levels")));
    }
    Ok(())
}

/// Refuses a document that is past the budget: the result of a patch.
pub fn check(document: &Value) -> Result<(), DecodeError> {
    Budget::default().take(size(document))
}

/// Walks without recursion, as the value may come from anywhere.
pub fn size(value: &Value) -> Size {
    let mut total = Size::default();
    let mut rest = vec![(value, 1)];
    while let Some((value, depth)) = rest.pop() {
        total.nodes += 1;
        total.depth = total.depth.max(depth);
        match value {
            Value::String(text) => total.bytes += text.len(),
            Value::Array(items) => rest.extend(items.iter().map(|item| (item, depth + 1))),
            Value::Object(fields) => {
                for (name, value) in fields {
                    total.bytes += name.len();
                    rest.push((value, depth + 1));
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
    total
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sizes_and_limits() {
        assert_eq!(size(&json!(1)), Size { bytes: 0, nodes: 1, depth: 1 });
        assert_eq!(size(&json!({"ab": ["c", null]})), Size { bytes: 3, nodes: 4, depth: 3 });
        assert!(check(&json!({"a": "x".repeat(MAX_BYTES - 1)})).is_ok());
        assert!(matches!(check(&json!({"a": "x".repeat(MAX_BYTES)})), Err(DecodeError::TooLarge(_))));
        assert!(matches!(check(&json!(vec![0; MAX_NODES])), Err(DecodeError::TooLarge(_))));
        let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!([inner]));
        assert!(check(&nested(MAX_DEPTH)).is_ok());
        assert!(matches!(check(&nested(MAX_DEPTH + 1)), Err(DecodeError::TooLarge(_))));
    }
}
