//! RFC 6902: operations one after the other, each paid for before it is done.

use serde_json::Value;

use super::{pointer, refused, unprocessable};
use crate::budget::{self, Budget, MAX_DEPTH, Size};
use crate::status::Status;

/// Upstream's limit.
const MAX_OPERATIONS: usize = 10_000;

/// One operation. Paths are kept as they were written, for messages.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    Add { path: String, value: Value },
    Remove { path: String },
    Replace { path: String, value: Value },
    Move { from: String, path: String },
    Copy { from: String, path: String },
    Test { path: String, value: Value },
}

pub fn read(patch: Value) -> Result<Vec<Operation>, Status> {
    let wrong = |why: String| Status::bad_request(format!("error decoding patch: {why}"));
    let Value::Array(items) = patch else {
        return Err(wrong("a JSON patch is a list of operations".into()));
    };
    if items.len() > MAX_OPERATIONS {
        return Err(Status::too_large(format!(
            "The allowed maximum operations in a JSON patch is {MAX_OPERATIONS}, got {}",
            items.len()
        )));
    }
    let read = |(at, item): (usize, Value)| operation(item).map_err(|why| wrong(format!("operation {at}: {why}")));
    items.into_iter().enumerate().map(read).collect()
}

fn operation(mut item: Value) -> Result<Operation, String> {
    if !item.is_object() {
        return Err("must be an object with `op` and `path`".into());
    }
    let text = |field: &str| match item.get(field) {
        Some(Value::String(text)) => Ok(text.clone()),
        Some(_) => Err(format!("`{field}` must be a string")),
        None => Err(format!("lacks `{field}`")),
    };
    let place = |field: &str| {
        let text = text(field)?;
        match pointer::parse(&text) {
            Some(steps) if steps.len() <= MAX_DEPTH => Ok(text),
            Some(_) => Err(format!("`{field}` has more than {MAX_DEPTH} steps")),
            None => Err(format!("`{field}` must be empty or begin with /")),
        }
    };
    let (name, path) = (text("op")?, place("path")?);
    let from = if matches!(name.as_str(), "move" | "copy") { place("from")? } else { String::new() };
    // A value of null is a value; none at all is null, too, for `test` as upstream has it.
    let value = item.get_mut("value").map(Value::take);
    let needed = |value: Option<Value>| value.ok_or_else(|| "lacks `value`".to_owned());
    match name.as_str() {
        "add" => Ok(Operation::Add { path, value: needed(value)? }),
        "remove" => Ok(Operation::Remove { path }),
        "replace" => Ok(Operation::Replace { path, value: needed(value)? }),
        "move" => Ok(Operation::Move { from, path }),
        "copy" => Ok(Operation::Copy { from, path }),
        "test" => Ok(Operation::Test { path, value: value.unwrap_or_default() }),
        other => Err(format!("the operation {:?} is not known", other.chars().take(40).collect::<String>())),
    }
}

pub fn apply(operations: &[Operation], document: &mut Value, budget: &mut Budget) -> Result<(), Status> {
    operations.iter().try_for_each(|operation| one(operation, document, budget))
}

fn one(operation: &Operation, document: &mut Value, budget: &mut Budget) -> Result<(), Status> {
    match operation {
        Operation::Add { path, value } => {
            let steps = steps(path);
            pay(budget, &steps, budget::size(value))?;
            add(document, &steps, value.clone(), budget).ok_or_else(|| missing("add", path))?
        }
        Operation::Remove { path } => {
            remove(document, &steps(path), budget).ok_or_else(|| missing("remove", path))?.map(drop)
        }
        Operation::Replace { path, value } => {
            let steps = steps(path);
            pay(budget, &steps, budget::size(value))?;
            let place = pointer::get_mut(document, &steps).ok_or_else(|| missing("replace", path))?;
            *place = value.clone();
            Ok(())
        }
        Operation::Move { from, path } => {
            if path.strip_prefix(from.as_str()).is_some_and(|rest| rest.starts_with('/')) {
                return Err(unprocessable(&format!("move operation cannot move {from} into itself")));
            }
            let value = remove(document, &steps(from), budget).ok_or_else(|| missing("move", from))??;
            let (steps, size) = (steps(path), budget::size(&value));
            budget.work(size.nodes).map_err(refused)?;
            budget::deep_enough(steps.len() + size.depth).map_err(refused)?;
            add(document, &steps, value, budget).ok_or_else(|| missing("add", path))?
        }
        Operation::Copy { from, path } => {
            let source = pointer::get(document, &steps(from)).ok_or_else(|| missing("copy", from))?;
            let (steps, size) = (steps(path), budget::size(source));
            budget.work(size.nodes).map_err(refused)?;
            pay(budget, &steps, size)?;
            let value = source.clone();
            add(document, &steps, value, budget).ok_or_else(|| missing("add", path))?
        }
        Operation::Test { path, value } => match pointer::get(document, &steps(path)) {
            Some(found) if same(found, value) => Ok(()),
            // What is not there equals null.
            None if value.is_null() => Ok(()),
            _ => Err(unprocessable(&format!("testing value {path} failed: test failed"))),
        },
    }
}

fn steps(path: &str) -> Vec<String> {
    pointer::parse(path).unwrap_or_default()
}

fn pay(budget: &mut Budget, steps: &[String], size: Size) -> Result<(), Status> {
    let name = steps.last().map_or(0, String::len);
    let size = Size { bytes: size.bytes + name, depth: size.depth + steps.len(), ..size };
    budget.take(size).map_err(refused)
}

/// In the words of upstream's library.
fn missing(operation: &str, path: &str) -> Status {
    let path: String = path.chars().take(200).collect();
    unprocessable(&match operation {
        "remove" => {
            let key = path.rsplit('/').next().unwrap_or("");
            format!("error in remove for path: '{path}': Unable to remove nonexistent key: {key}: missing value")
        }
        "replace" => format!("replace operation does not apply: doc is missing key: {path}: missing value"),
        "add" => format!("add operation does not apply: doc is missing path: \"{path}\": missing value"),
        other => format!("{other} operation does not apply: doc is missing from path: {path}: missing value"),
    })
}

/// None where there is no such place. Moving up the items behind a place is work.
fn add(document: &mut Value, steps: &[String], value: Value, budget: &mut Budget) -> Option<Result<(), Status>> {
    let Some((last, parents)) = steps.split_last() else {
        *document = value;
        return Some(Ok(()));
    };
    match pointer::get_mut(document, parents)? {
        Value::Object(fields) => {
            fields.insert(last.clone(), value);
        }
        Value::Array(items) => {
            let at = if last == "-" {
                items.len()
            } else {
                // Behind the end counts as a place here, so -1 is that one.
                pointer::index(last, items.len() + 1).filter(|at| *at <= items.len())?
            };
            if let Err(refusal) = budget.work(items.len() - at) {
                return Some(Err(refused(refusal)));
            }
            items.insert(at, value);
        }
        _ => return None,
    }
    Some(Ok(()))
}

fn remove(document: &mut Value, steps: &[String], budget: &mut Budget) -> Option<Result<Value, Status>> {
    let Some((last, parents)) = steps.split_last() else {
        return Some(Ok(document.take()));
    };
    match pointer::get_mut(document, parents)? {
        Value::Object(fields) => fields.remove(last).map(Ok),
        Value::Array(items) => {
            let at = pointer::index(last, items.len()).filter(|at| *at < items.len())?;
            if let Err(refusal) = budget.work(items.len() - at) {
                return Some(Err(refused(refusal)));
            }
            Some(Ok(items.remove(at)))
        }
        _ => None,
    }
}

/// Numbers are compared by what they are worth: 1 is 1.0.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, a)| b.get(name).is_some_and(|b| same(a, b)))
        }
        (a, b) => a == b,
    }
}
