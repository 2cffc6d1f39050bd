//! Joins k8s-openapi's schemas (which fields are required, what they mean) with the facts of `schema/*.tsv`
//! (wire form, merge keys, defaults) into the two texts that `src/schema` embeds.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::PathBuf;

use schemars::SchemaGenerator;
use serde_json::Value;

macro_rules! roots {
    ($($root:path,)*) => {
        fn register(generator: &mut SchemaGenerator) {
            use k8s_openapi::*;
            $(generator.subschema_for::<$root>();)*
        }
    };
}
include!("schema/roots.rs");

/// Types that are written as a scalar or as any JSON: `fields.tsv` names them by word, so they have no fields here.
const SCALARS: [&str; 9] = [
    "io.k8s.apimachinery.pkg.apis.meta.v1.Time",
    "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Duration",
    "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1",
    "io.k8s.apimachinery.pkg.api.resource.Quantity",
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString",
    "io.k8s.apimachinery.pkg.runtime.RawExtension",
    "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON",
    "io.k8s.apimachinery.pkg.apis.meta.v1.Patch",
];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=schema");
    let mut generator = SchemaGenerator::default();
    register(&mut generator);
    let described = generator.take_definitions(true);

    let read = |name: &str| std::fs::read_to_string(name).unwrap_or_else(|e| panic!("crates/api/{name}: {e}"));
    let (fields, kinds, defaults) = (read("schema/fields.tsv"), read("schema/kinds.tsv"), read("schema/defaults.tsv"));
    let (old_fields, old_kinds) = (read("schema/old-fields.tsv"), read("schema/old-kinds.tsv"));
    let old_packages = read("schema/old-packages.tsv");
    let old_packages: Vec<Vec<&str>> = rows(&old_packages).collect();
    let defaults: BTreeMap<(&str, &str), &str> = rows(&defaults).map(|row| ((row[0], row[1]), row[2])).collect();

    let mut by_type: BTreeMap<&str, Vec<Vec<&str>>> = BTreeMap::new();
    for row in rows(&fields).chain(rows(&old_fields)) {
        by_type.entry(row[0]).or_default().push(row);
    }
    let alike: Vec<&str> = by_type.iter().filter(|(_, rows)| rows[0][1] == LIKE).map(|(name, _)| *name).collect();
    for name in alike {
        let merged = like(name, &by_type);
        by_type.insert(name, merged);
    }
    // What a type of an old version is described by: the type of the same name in a newer one.
    let newer = |name: &str| {
        let (package, short) = name.rsplit_once('.')?;
        let packages = old_packages.iter().filter(|row| row[0] == package).flat_map(|row| row[1].split(','));
        packages.map(|newer| format!("{newer}.{short}")).find_map(|name| described.get(&name))
    };
    let old =
        |name: &str| name.rsplit_once('.').is_some_and(|(package, _)| old_packages.iter().any(|row| row[0] == package));
    let (mut types, mut docs) = (String::new(), String::new());
    let known = |name: &str| {
        old(name)
            || described.contains_key(name)
            || name.strip_suffix("List").is_some_and(|item| described.contains_key(item))
    };
    // Types that only the table has, but that a described type holds inline or by value.
    let mut wanted: Vec<&str> = by_type.keys().copied().filter(|name| known(name)).collect();
    let mut seen: std::collections::BTreeSet<&str> = wanted.iter().copied().collect();
    while let Some(name) = wanted.pop() {
        if SCALARS.contains(&name) {
            continue;
        }
        let schema = described.get(name).or_else(|| newer(name));
        if let Some(doc) = schema.and_then(|s| s.get("description")).and_then(Value::as_str) {
            docs.push_str(&format!("{name}\t{}\n", escape(doc)));
        }
        types.push_str(&format!("T\t{name}\n"));
        for row in &by_type[name] {
            let [_, field, value, wire, patch, merge, presence, _] = row[..] else { panic!("fields.tsv: {row:?}") };
            let item = value.trim_start_matches("[]");
            let item = item.rsplit('}').next().unwrap_or(item);
            if item.starts_with("io.k8s.") && by_type.contains_key(item) && seen.insert(item) {
                wanted.push(item);
            }
            let property = schema.and_then(|s| s.get("properties")).and_then(|p| p.get(field));
            let required = schema
                .and_then(|s| s.get("required"))
                .and_then(Value::as_array)
                .is_some_and(|names| names.iter().any(|n| n == field));
            let number = wire.split(':').next().unwrap_or("0");
            let default = defaults.get(&(name, field)).copied().unwrap_or("-");
            types.push_str(&format!(
                "F\t{field}\t{value}\t{number}\t{patch}\t{merge}\t{presence}\t{}\t{default}\n",
                if required { "1" } else { "0" },
            ));
            if let Some(doc) = property.and_then(|p| p.get("description")).and_then(Value::as_str) {
                docs.push_str(&format!("{name}.{field}\t{}\n", escape(doc)));
            }
        }
    }
    for row in rows(&kinds).chain(rows(&old_kinds)) {
        types.push_str(&format!("K\t{}\t{}\t{}\t{}\n", row[0], row[1], row[2], row[3]));
    }
    for (name, field) in defaults.keys() {
        assert!(
            by_type.get(name).is_some_and(|rows| rows.iter().any(|row| row[1] == *field)),
            "defaults.tsv: {name} has no field {field}"
        );
    }
    let out = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR"));
    for (name, text) in [("types", types), ("docs", docs)] {
        let file = std::fs::File::create(out.join(name)).expect("OUT_DIR can be written");
        let mut encoder = flate2::write::DeflateEncoder::new(file, flate2::Compression::best());
        encoder.write_all(text.as_bytes()).and_then(|()| encoder.finish()).expect("OUT_DIR can be written");
    }
}

/// The field of a row that says: all fields of the type in the value's place that have no row here. Rows whose value is `-` leave a field out.
const LIKE: &str = "(like)";

fn like<'a>(name: &'a str, by_type: &BTreeMap<&'a str, Vec<Vec<&'a str>>>) -> Vec<Vec<&'a str>> {
    let (first, own) = by_type[name].split_first().expect("a type has rows");
    assert!(
        !by_type[first[2]].iter().any(|row| row[1] == LIKE),
        "old-fields.tsv: {name} is like a type that is like another"
    );
    let mut merged = Vec::new();
    for base in &by_type[first[2]] {
        match own.iter().find(|row| row[1] == base[1]) {
            Some(other) => merged.push(other.clone()),
            None => merged.push([&[name], &base[1..]].concat()),
        }
    }
    let new = own.iter().filter(|row| !merged.iter().any(|have| have[1] == row[1]));
    let new: Vec<_> = new.cloned().collect();
    merged.extend(new);
    merged.retain(|row| row[2] != "-");
    merged
}

fn rows(table: &str) -> impl Iterator<Item = Vec<&str>> {
    table.lines().skip(1).filter(|line| !line.is_empty()).map(|line| line.split('\t').collect())
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('\n', "\\n").replace('\t', " ")
}
