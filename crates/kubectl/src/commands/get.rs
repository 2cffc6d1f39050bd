//! `get`: the server's tables, or objects as they are; once, or as they change.

use clap::Args;
use futures::StreamExt;
use serde_json::{Value, json};

use crate::error::{Error, Result, fail};
use crate::printer::jsonpath::Template;
use crate::printer::table::{Options, TablePrinter};
use crate::printer::{Format, list_of, say, without_managed_fields};
use crate::resources::Resource;
use crate::rest::{JSON, Query, TABLE};
use crate::select::{self, Files, Selectors, Target};
use crate::session::Session;

#[derive(Args, Debug)]
pub struct Get {
    /// TYPE, TYPE NAME..., TYPE/NAME... or TYPE,TYPE
    arguments: Vec<String>,
    #[command(flatten)]
    files: Files,
    #[command(flatten)]
    selectors: Selectors,
    /// wide, json, yaml, name or jsonpath=TEMPLATE
    #[arg(short, long, value_name = "FORMAT")]
    output: Option<String>,
    /// Of all namespaces
    #[arg(short = 'A', long)]
    all_namespaces: bool,
    /// Go on with each change
    #[arg(short, long)]
    watch: bool,
    /// Only the changes from now on
    #[arg(long)]
    watch_only: bool,
    /// Say of each change whether it was an addition, a modification or a deletion
    #[arg(long)]
    output_watch_events: bool,
    /// No line with the columns' names
    #[arg(long)]
    no_headers: bool,
    /// A column with all labels
    #[arg(long)]
    show_labels: bool,
    /// Columns of these labels
    #[arg(short = 'L', long = "label-columns", value_delimiter = ',')]
    label_columns: Vec<String>,
    /// The kind before each name
    #[arg(long)]
    show_kind: bool,
    /// Order by a field, such as .metadata.creationTimestamp
    #[arg(long, default_value = "", hide_default_value = true)]
    sort_by: String,
    /// No error for an object that does not exist
    #[arg(long)]
    ignore_not_found: bool,
    /// Ask for so many at a time; 0 for all at once
    #[arg(long, default_value_t = 500)]
    chunk_size: u32,
    /// Of this subresource: status or scale
    #[arg(long, default_value = "", hide_default_value = true)]
    subresource: String,
    /// Show the bookkeeping of server-side apply too
    #[arg(long)]
    show_managed_fields: bool,
}

/// One thing to ask for: a collection or an object.
struct Ask {
    resource: Resource,
    namespace: String,
    name: Option<String>,
}

/// An answer: the tables or objects of all its pages.
struct Found {
    ask: Ask,
    pages: Vec<Value>,
}

impl Get {
    pub async fn run(self, session: &Session) -> Result<()> {
        if self.arguments.is_empty() && self.files.filename.is_empty() {
            return Err(Error::Plain(
                "You must specify the type of resource to get. Use \"kubectl api-resources\" for a complete list of supported \
                 resources.\n\nerror: Required resource not specified.\nUse \"kubectl explain <resource>\" for a detailed description \
                 of that resource (e.g. kubectl explain pods).\nSee 'kubectl get -h' for help and examples"
                    .into(),
            ));
        }
        let format = Format::parse(self.output.as_deref())?;
        let asks = self.asks(session).await?;
        if self.watch || self.watch_only {
            return self.follow(session, &format, asks).await;
        }
        let several = asks.iter().any(|ask| ask.resource != asks[0].resource);
        let (mut found, mut errors) = (Vec::new(), Vec::new());
        for ask in asks {
            match self.fetch(session, &format, ask).await {
                Ok(answer) => found.push(answer),
                Err(error) if self.ignore_not_found && error.is_not_found() => {}
                Err(error) => errors.push(error),
            }
        }
        if format.is_table() {
            self.tables(session, &format, found, several, errors.is_empty())?;
        } else {
            self.objects(&format, found)?;
        }
        Error::gather(errors)
    }

    async fn asks(&self, session: &Session) -> Result<Vec<Ask>> {
        if !self.files.filename.is_empty() {
            if !self.arguments.is_empty() {
                return fail(
                    "when paths, URLs, or stdin is provided as input, you may not specify resource arguments as well",
                );
            }
            let (items, errors) = session.items_of(self.files.read()?).await;
            Error::gather(errors)?;
            let ask = |item: crate::session::Item| Ask {
                resource: item.resource,
                namespace: item.namespace,
                name: Some(item.name),
            };
            return Ok(items.into_iter().map(ask).collect());
        }
        select::check(&self.arguments)?;
        let targets = select::parse(session.discovery().await?, &self.arguments)?;
        if targets.iter().any(|t| matches!(t, Target::One { .. })) {
            if self.all_namespaces {
                return fail("a resource cannot be retrieved by name across all namespaces");
            }
            if !self.selectors.selector.is_empty() || !self.selectors.field_selector.is_empty() {
                return fail("name cannot be provided when a selector is specified");
            }
        }
        let ask = |target: Target| {
            let namespaced = target.resource().namespaced && !self.all_namespaces;
            let namespace = if namespaced { session.namespace.clone() } else { String::new() };
            match target {
                Target::One { resource, name } => Ask { resource, namespace, name: Some(name) },
                Target::All { resource } => Ask { resource, namespace, name: None },
            }
        };
        Ok(targets.into_iter().map(ask).collect())
    }

    async fn fetch(&self, session: &Session, format: &Format, ask: Ask) -> Result<Found> {
        let accept = if format.is_table() { TABLE } else { JSON };
        // Rows are ordered by fields that only the whole object has.
        let query = || match format.is_table() && !self.sort_by.is_empty() {
            true => Query::new().with("includeObject", "Object"),
            false => Query::new(),
        };
        if let Some(name) = &ask.name {
            let sub = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
            let path = query().on(&(ask.resource.object(&ask.namespace, name) + &sub));
            let page = session.client.get_as(&path, accept).await?;
            return Ok(Found { ask, pages: vec![page] });
        }
        let mut pages: Vec<Value> = Vec::new();
        let mut next = String::new();
        loop {
            let limit = if self.chunk_size == 0 { String::new() } else { self.chunk_size.to_string() };
            let query = query().with_some("limit", &limit).with_some("continue", &next);
            let query = query.with_some("labelSelector", &self.selectors.selector);
            let query = query.with_some("fieldSelector", &self.selectors.field_selector);
            let path = query.on(&ask.resource.collection(&ask.namespace));
            let page =
                session.client.get_as(&path, accept).await.map_err(|e| select::unmatched(e, &ask.resource, &query))?;
            next = page["metadata"]["continue"].as_str().unwrap_or("").to_owned();
            pages.push(page);
            if next.is_empty() {
                return Ok(Found { ask, pages });
            }
        }
    }

    fn options(&self, format: &Format, resource: &Resource, several: bool) -> Options {
        Options {
            wide: *format == Format::Wide,
            no_headers: self.no_headers,
            namespace: self.all_namespaces && resource.namespaced,
            prefix: if several || self.show_kind { resource.label() } else { String::new() },
            show_labels: self.show_labels,
            label_columns: self.label_columns.clone(),
        }
    }

    fn tables(
        &self,
        session: &Session,
        format: &Format,
        found: Vec<Found>,
        several: bool,
        complete: bool,
    ) -> Result<()> {
        // The answers of one resource become one table.
        let mut groups: Vec<(Resource, Vec<Value>)> = Vec::new();
        for answer in found {
            match groups.last_mut() {
                Some((resource, pages)) if *resource == answer.ask.resource => pages.extend(answer.pages),
                _ => groups.push((answer.ask.resource, answer.pages)),
            }
        }
        let rows =
            |pages: &[Value]| pages.iter().any(|page| page["rows"].as_array().is_some_and(|rows| !rows.is_empty()));
        let namespaced = groups.iter().any(|(resource, _)| resource.namespaced);
        groups.retain(|(_, pages)| rows(pages));
        if groups.is_empty() && complete && !self.ignore_not_found {
            let place = if namespaced && !self.all_namespaces {
                format!(" in {} namespace", session.namespace)
            } else {
                String::new()
            };
            eprintln!("No resources found{place}.");
        }
        let sorted = self.sort_template()?;
        for (at, (resource, mut pages)) in groups.into_iter().enumerate() {
            if let Some(template) = &sorted {
                sort_rows(&mut pages, template);
            }
            let mut printer = TablePrinter::new(self.options(format, &resource, several));
            if at > 0 {
                say("\n")?;
            }
            // All pages are one text, so that its columns are as wide as the widest cell of all.
            let mut table = pages.remove(0);
            for page in &mut pages {
                let more = page["rows"].as_array_mut().map(std::mem::take).unwrap_or_default();
                if let Some(rows) = table["rows"].as_array_mut() {
                    rows.extend(more);
                }
            }
            say(&printer.render(&table))?;
        }
        Ok(())
    }

    fn sort_template(&self) -> Result<Option<Template>> {
        if self.sort_by.is_empty() {
            return Ok(None);
        }
        let wrong = |e| Error::Message(format!("error parsing --sort-by {}: {e}", self.sort_by));
        Template::parse_relaxed(&self.sort_by).map(Some).map_err(wrong)
    }

    fn objects(&self, format: &Format, found: Vec<Found>) -> Result<()> {
        let single = found.len() == 1 && found[0].ask.name.is_some();
        if found.is_empty() {
            return Ok(());
        }
        let mut items: Vec<(String, Value)> = Vec::new();
        for answer in found {
            let resource = &answer.ask.resource;
            for mut page in answer.pages {
                if answer.ask.name.is_some() {
                    items.push((resource.label(), page));
                    continue;
                }
                for mut object in page["items"].as_array_mut().map(std::mem::take).unwrap_or_default() {
                    object["apiVersion"] = resource.api_version().into();
                    object["kind"] = resource.kind.clone().into();
                    items.push((resource.label(), object));
                }
            }
        }
        if let Some(template) = self.sort_template()? {
            items.sort_by(|(_, a), (_, b)| compare(&template, a, b));
        }
        if *format == Format::Name {
            let name = |(label, object): &(String, Value)| {
                format!("{label}/{}\n", object["metadata"]["name"].as_str().unwrap_or(""))
            };
            return say(&items.iter().map(name).collect::<String>());
        }
        let objects = items
            .into_iter()
            .map(|(_, object)| if self.show_managed_fields { object } else { without_managed_fields(object) });
        let mut objects: Vec<Value> = objects.collect();
        let shown = if single { objects.remove(0) } else { list_of(objects) };
        say(&format.render(&shown)?.unwrap_or_default())
    }

    async fn follow(&self, session: &Session, format: &Format, mut asks: Vec<Ask>) -> Result<()> {
        if asks.len() != 1 {
            return fail("watch is only supported on individual resources and resource collections");
        }
        let ask = asks.remove(0);
        let (resource, namespace, name) = (ask.resource.clone(), ask.namespace.clone(), ask.name.clone());
        let mut printer = TablePrinter::new(self.options(format, &resource, false));
        let answer = self.fetch(session, format, ask).await?;
        let last = answer.pages.last().map(|page| page["metadata"]["resourceVersion"].clone()).unwrap_or_default();
        if !self.watch_only {
            for page in &answer.pages {
                self.show(format, &mut printer, &resource, page, "ADDED")?;
            }
        }
        let mut query = Query::new().with("watch", "true").with_some("resourceVersion", last.as_str().unwrap_or(""));
        query = match &name {
            Some(name) => query.with("fieldSelector", format!("metadata.name={name}")),
            None => query.with_some("fieldSelector", &self.selectors.field_selector),
        };
        let path = query.with_some("labelSelector", &self.selectors.selector).on(&resource.collection(&namespace));
        let accept = if format.is_table() { TABLE } else { JSON };
        let mut events = session.client.watch(&path, accept).await?;
        while let Some(event) = events.next().await {
            let event = event?;
            let kind = event["type"].as_str().unwrap_or("");
            match kind {
                "BOOKMARK" => continue,
                "ERROR" => {
                    let refusal = serde_json::from_value(event["object"].clone()).unwrap_or_default();
                    return Err(Error::Refused(Box::new(refusal)));
                }
                _ => self.show(format, &mut printer, &resource, &event["object"], kind)?,
            }
        }
        Ok(())
    }

    /// A page of a list, or the object of an event.
    fn show(
        &self,
        format: &Format,
        printer: &mut TablePrinter,
        resource: &Resource,
        page: &Value,
        event: &str,
    ) -> Result<()> {
        if format.is_table() {
            let page = if self.output_watch_events { with_event_column(page, event) } else { page.clone() };
            let empty = page["rows"].as_array().is_none_or(Vec::is_empty);
            return if empty { Ok(()) } else { say(&printer.render(&page)) };
        }
        let objects = match page["items"].as_array() {
            Some(items) => items.clone(),
            None => vec![page.clone()],
        };
        for mut object in objects {
            object["apiVersion"] = resource.api_version().into();
            object["kind"] = resource.kind.clone().into();
            if *format == Format::Name {
                say(&format!("{}/{}\n", resource.label(), object["metadata"]["name"].as_str().unwrap_or("")))?;
                continue;
            }
            let mut object = if self.show_managed_fields { object } else { without_managed_fields(object) };
            if self.output_watch_events {
                object = json!({"type": event, "object": object});
            }
            let text = format.render(&object)?.unwrap_or_default();
            say(&if *format == Format::Yaml { format!("---\n{text}") } else { text })?;
        }
        Ok(())
    }
}

fn with_event_column(table: &Value, event: &str) -> Value {
    let mut table = table.clone();
    if let Some(definitions) = table["columnDefinitions"].as_array_mut().filter(|d| !d.is_empty()) {
        definitions.insert(0, json!({"name": "Event", "priority": 0}));
    }
    for row in table["rows"].as_array_mut().into_iter().flatten() {
        if let Some(cells) = row["cells"].as_array_mut() {
            cells.insert(0, event.into());
        }
    }
    table
}

fn sort_rows(pages: &mut Vec<Value>, template: &Template) {
    let mut first = pages.remove(0);
    let mut rows = first["rows"].as_array_mut().map(std::mem::take).unwrap_or_default();
    for mut page in pages.drain(..) {
        rows.extend(page["rows"].as_array_mut().map(std::mem::take).unwrap_or_default());
    }
    rows.sort_by(|a, b| compare(template, &a["object"], &b["object"]));
    first["rows"] = rows.into();
    pages.push(first);
}

/// Numbers by their amount, everything else as text; objects without the field first.
fn compare(template: &Template, a: &Value, b: &Value) -> std::cmp::Ordering {
    let key =
        |object: &Value| template.find(object).ok().and_then(|found| found.into_iter().next()).unwrap_or(Value::Null);
    let (a, b) = (key(a), key(b));
    match (a.as_f64(), b.as_f64()) {
        (Some(a), Some(b)) => a.total_cmp(&b),
        _ => {
            let text = |value: &Value| {
                value
                    .as_str()
                    .map(str::to_owned)
                    .unwrap_or_else(|| if value.is_null() { String::new() } else { value.to_string() })
            };
            text(&a).cmp(&text(&b))
        }
    }
}
