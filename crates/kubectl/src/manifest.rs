//! Objects out of files, folders and standard input. Does not know what the server makes of them.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::error::{Error, Result, fail};

/// An object, and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub struct Manifest {
    pub source: String,
    pub object: Value,
}

/// What `-f` names: each file's objects, lists taken apart. A folder's files in the order of their names.
pub fn read(names: &[String], recursive: bool) -> Result<Vec<Manifest>> {
    let mut found = Vec::new();
    for name in names.iter().flat_map(|names| names.split(',')) {
        if name == "-" {
            let mut text = String::new();
            std::io::stdin()
                .read_to_string(&mut text)
                .map_err(|e| Error::Message(format!("error reading STDIN: {e}")))?;
            found.extend(parse("STDIN", &text)?);
            continue;
        }
        if name.starts_with("http://") || name.starts_with("https://") {
            return fail(format!(
                "{name}: manifests are read from files, folders and standard input, not from the network"
            ));
        }
        let path = Path::new(name);
        if !path.exists() {
            return fail(format!("the path {name:?} does not exist"));
        }
        let mut files = Vec::new();
        collect(path, recursive, &mut files)?;
        for file in files {
            let source = file.display().to_string();
            let text =
                std::fs::read_to_string(&file).map_err(|e| Error::Message(format!("error reading {source}: {e}")))?;
            found.extend(parse(&source, &text)?);
        }
    }
    Ok(found)
}

fn collect(path: &Path, recursive: bool, files: &mut Vec<PathBuf>) -> Result<()> {
    if !path.is_dir() {
        files.push(path.to_owned());
        return Ok(());
    }
    let listing = std::fs::read_dir(path).and_then(|entries| entries.map(|e| e.map(|e| e.path())).collect());
    let mut entries: Vec<PathBuf> =
        listing.map_err(|e| Error::Message(format!("error reading the folder {}: {e}", path.display())))?;
    entries.sort();
    for entry in entries {
        let known = entry.extension().is_some_and(|e| e == "json" || e == "yaml" || e == "yml");
        if entry.is_dir() && recursive || !entry.is_dir() && known {
            collect(&entry, recursive, files)?;
        }
    }
    Ok(())
}

/// The objects of a text: JSON documents one behind the other, or YAML documents.
pub fn parse(source: &str, text: &str) -> Result<Vec<Manifest>> {
    let documents = match json_documents(text) {
        Some(documents) => documents,
        None => yaml_documents(source, text)?,
    };
    let mut found = Vec::new();
    for object in documents {
        take_apart(source, object, &mut found)?;
    }
    Ok(found)
}

/// None where the text is no strict JSON: YAML's rules forgive more, and its errors name a line.
fn json_documents(text: &str) -> Option<Vec<Value>> {
    text.trim_start().starts_with('{').then_some(())?;
    serde_json::Deserializer::from_str(text).into_iter().collect::<Result<_, _>>().ok()
}

fn yaml_documents(source: &str, text: &str) -> Result<Vec<Value>> {
    let wrong =
        |why: &str| Error::Message(format!("error parsing {source}: error converting YAML to JSON: yaml: {why}"));
    let documents = api::yaml::read_documents(text.as_bytes()).map_err(|e| wrong(&e.to_string()))?;
    if let Some(repeated) = documents.iter().find_map(|document| document.repeated.first()) {
        return Err(wrong(repeated));
    }
    Ok(documents.into_iter().map(|document| document.value).filter(|value| !value.is_null()).collect())
}

fn take_apart(source: &str, object: Value, found: &mut Vec<Manifest>) -> Result<()> {
    if !object.is_object() {
        return fail(format!("error parsing {source}: a manifest must be an object with `kind` and `apiVersion`"));
    }
    let is_list = object["kind"].as_str().is_some_and(|kind| kind.ends_with("List"));
    match &object["items"] {
        Value::Array(items) if is_list => items.iter().try_for_each(|item| take_apart(source, item.clone(), found)),
        _ => {
            found.push(Manifest { source: source.to_owned(), object });
            Ok(())
        }
    }
}

/// What a manifest must say before the server can be asked; `kind not set` and `apiVersion not set` in upstream's words.
pub fn check(manifest: &Manifest) -> Result<()> {
    let missing: Vec<String> = ["apiVersion", "kind"]
        .into_iter()
        .filter(|field| manifest.object[field].as_str().unwrap_or("").is_empty())
        .map(|field| format!("{field} not set"))
        .collect();
    let missing = match missing.as_slice() {
        [] => return Ok(()),
        [one] => one.clone(),
        several => format!("[{}]", several.join(", ")),
    };
    fail(format!(
        "error validating {:?}: error validating data: {missing}; if you choose to ignore these errors, turn validation off \
         with --validate=false",
        manifest.source
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn objects(text: &str) -> Vec<Value> {
        parse("x", text).unwrap().into_iter().map(|m| m.object).collect()
    }

    #[test]
    fn documents_and_lists_are_taken_apart() {
        assert_eq!(objects("# nothing\n"), Vec::<Value>::new());
        assert_eq!(objects("---\na: 1\n---\n\n---\nb: yes\n"), [json!({"a": 1}), json!({"b": true})]);
        assert_eq!(objects("{\"a\":1}\n{\"b\":2}"), [json!({"a": 1}), json!({"b": 2})]);
        assert_eq!(
            objects("kind: List\nitems: [{kind: A}, {kind: BList, items: [{c: 1}]}]"),
            [json!({"kind": "A"}), json!({"c": 1})]
        );
        assert_eq!(
            objects("x: &x {a: 1}\nz: {<<: *x, b: 2}\n80: z\n"),
            [json!({"x": {"a": 1}, "z": {"a": 1, "b": 2}, "80": "z"})]
        );
    }

    #[test]
    fn trailing_commas_are_forgiven() {
        assert_eq!(
            objects("{\"a\": [{\"b\": 1,}],\n \"c\": {\"d\": 2,},\n}"),
            [json!({"a": [{"b": 1}], "c": {"d": 2}})]
        );
    }

    #[test]
    fn errors_name_file_and_line() {
        for (text, message) in [
            (
                "a: b: c\n",
                "error parsing x: error converting YAML to JSON: yaml: line 1: mapping values are not allowed in this context",
            ),
            (
                "a: 1\n---\nb: 2\nc: d: e\n",
                "error parsing x: error converting YAML to JSON: yaml: line 4: mapping values are not allowed in this context",
            ),
            (
                "a: 1\na: 2\n",
                "error parsing x: error converting YAML to JSON: yaml: line 2: key \"a\" already set in map",
            ),
            ("- a\n", "error parsing x: a manifest must be an object with `kind` and `apiVersion`"),
        ] {
            assert_eq!(parse("x", text).unwrap_err().to_string(), message);
        }
    }

    #[test]
    fn a_folder_is_read_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("b.yaml", "b: 1"), ("a.json", "{\"a\": 1}"), ("c.txt", "c: 1"), ("sub/d.yml", "d: 1")] {
            let file = folder.path().join(name);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, text).unwrap();
        }
        let name = folder.path().display().to_string();
        let read = |recursive| {
            read(std::slice::from_ref(&name), recursive).unwrap().into_iter().map(|m| m.object).collect::<Vec<_>>()
        };
        assert_eq!(read(false), [json!({"a": 1}), json!({"b": 1})]);
        assert_eq!(read(true).len(), 3);
    }

    #[test]
    fn kind_and_version_are_asked_for() {
        let told = |object: Value| check(&Manifest { source: "x".into(), object }).map_err(|e| e.to_string());
        assert_eq!(told(json!({"kind": "A", "apiVersion": "v1"})), Ok(()));
        assert!(told(json!({"kind": "A"})).unwrap_err().contains("error validating data: apiVersion not set;"));
        assert!(told(json!({})).unwrap_err().contains("[apiVersion not set, kind not set]"));
    }
}
