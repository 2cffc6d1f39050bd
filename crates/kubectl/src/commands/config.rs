//! `config`: the kubeconfig itself. Nobody is asked; secrets are not shown unless `--raw` says so.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::error::{Error, Result, fail};
use crate::kubeconfig::Connection;
use crate::printer::columns::Columns;
use crate::printer::{Format, say, say_line};

#[derive(Args, Debug)]
pub struct Config {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Show the merged kubeconfig
    View {
        /// json, yaml or jsonpath=TEMPLATE
        #[arg(short, long, default_value = "yaml")]
        output: String,
        /// With keys, certificates and tokens
        #[arg(long)]
        raw: bool,
        /// Only what the context of now uses
        #[arg(long)]
        minify: bool,
    },
    /// Show the name of the context of now
    CurrentContext,
    /// Show the contexts
    GetContexts,
    /// Make a context the one of now
    #[command(alias = "use")]
    UseContext { name: String },
}

impl Config {
    pub fn run(self, connection: &Connection) -> Result<()> {
        let kubeconfig = connection.load()?;
        let current = connection.context.clone().or_else(|| kubeconfig.current_context.clone()).unwrap_or_default();
        match self.what {
            What::CurrentContext if current.is_empty() => fail("current-context is not set"),
            What::CurrentContext => say_line(&current),
            What::UseContext { name } => use_context(connection, &name),
            What::GetContexts => {
                let mut text = String::from("CURRENT\tNAME\tCLUSTER\tAUTHINFO\tNAMESPACE\n");
                for named in &kubeconfig.contexts {
                    let context = named.context.clone().unwrap_or_default();
                    let star = if named.name == current { "*" } else { "" };
                    let (user, namespace) = (context.user.unwrap_or_default(), context.namespace.unwrap_or_default());
                    text += &format!("{star}\t{}\t{}\t{user}\t{namespace}\n", named.name, context.cluster);
                }
                say(&Columns::of_table().align(&text))
            }
            What::View { output, raw, minify } => {
                let mut shown = serde_json::to_value(&kubeconfig).map_err(|e| Error::Message(e.to_string()))?;
                shown["apiVersion"] = "v1".into();
                shown["kind"] = "Config".into();
                shown["current-context"] = current.clone().into();
                without_nulls(&mut shown);
                if minify {
                    reduce(&mut shown, &current)?;
                }
                if !raw {
                    hide(&mut shown);
                }
                match Format::parse(Some(&output))?.render(&shown)? {
                    Some(text) => say(&text),
                    None => fail(format!("unable to match a printer suitable for the output format {output:?}")),
                }
            }
        }
    }
}

/// The first file that names a context of now is the one to change; the first of all where none does.
fn use_context(connection: &Connection, name: &str) -> Result<()> {
    let read = |file: &std::path::Path| -> Result<Value> {
        let text = std::fs::read_to_string(file)?;
        serde_yaml::from_str(&text).map_err(|e| Error::Message(format!("error loading config file {file:?}: {e}")))
    };
    if !connection.load()?.contexts.iter().any(|context| context.name == name) {
        return fail(format!("no context exists with the name: {name:?}"));
    }
    let files = connection.files();
    let mut existing = Vec::new();
    for file in files.iter().filter(|file| file.exists()) {
        existing.push((file, read(file)?));
    }
    let set = existing.iter().position(|(_, config)| config["current-context"].as_str().is_some_and(|c| !c.is_empty()));
    let Some((file, mut config)) = existing.into_iter().nth(set.unwrap_or(0)) else {
        return fail(format!("no context exists with the name: {name:?}"));
    };
    config["current-context"] = name.into();
    // Replaced at once: whoever reads it meanwhile sees the old file or the new one, and its mode stays.
    let beside = file.with_extension("kubectl-new");
    let text = api::yaml::render(&config);
    std::fs::write(&beside, text)
        .and_then(|()| std::fs::set_permissions(&beside, std::fs::metadata(file)?.permissions()))
        .and_then(|()| std::fs::rename(&beside, file))
        .map_err(|e| Error::Message(format!("cannot write {}: {e}", file.display())))?;
    say(&format!("Switched to context {name:?}.\n"))
}

fn without_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(without_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(without_nulls),
        _ => {}
    }
}

fn reduce(config: &mut Value, current: &str) -> Result<()> {
    let named = |list: &Value, name: &Value| {
        list.as_array().into_iter().flatten().filter(|entry| entry["name"] == *name).cloned().collect::<Vec<_>>()
    };
    let contexts = named(&config["contexts"], &json!(current));
    let Some(context) = contexts.first().map(|named| named["context"].clone()) else {
        return fail("current-context must exist in order to minify");
    };
    config["clusters"] = named(&config["clusters"], &context["cluster"]).into();
    config["users"] = named(&config["users"], &context["user"]).into();
    config["contexts"] = contexts.into();
    Ok(())
}

fn hide(config: &mut Value) {
    const SECRETS: [(&str, &str); 5] = [
        ("client-certificate-data", "DATA+OMITTED"),
        ("client-key-data", "DATA+OMITTED"),
        ("certificate-authority-data", "DATA+OMITTED"),
        ("token", "REDACTED"),
        ("password", "REDACTED"),
    ];
    for (list, inner) in [("clusters", "cluster"), ("users", "user")] {
        for entry in config[list].as_array_mut().into_iter().flatten() {
            for (field, instead) in SECRETS {
                if let Some(value) = entry[inner].get_mut(field) {
                    *value = instead.into();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_hidden_and_the_rest_is_kept() {
        let mut config = json!({"users": [{"name": "u", "user": {"token": "t", "username": "n"}}], "contexts": [
            {"name": "a", "context": {"cluster": "c", "user": "u"}}],
            "clusters": [{"name": "c", "cluster": {"server": "s"}}, {"name": "d", "cluster": {}}]});
        hide(&mut config);
        assert_eq!(config["users"][0]["user"], json!({"token": "REDACTED", "username": "n"}));
        reduce(&mut config, "a").unwrap();
        assert_eq!(config["clusters"].as_array().unwrap().len(), 1);
        assert!(reduce(&mut config, "x").is_err());
    }
}
