//! `api-resources`: the kinds of objects that the server knows.

use clap::Args;

use crate::error::{Result, fail};
use crate::printer::columns::Columns;
use crate::printer::say;
use crate::resources::Resource;
use crate::session::Session;

#[derive(Args, Debug)]
pub struct ApiResources {
    /// wide or name
    #[arg(short, long, default_value = "", hide_default_value = true)]
    output: String,
    /// No line with the columns' names
    #[arg(long)]
    no_headers: bool,
    /// Only those that are (or with =false are not) in namespaces
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", action = clap::ArgAction::Set)]
    namespaced: Option<bool>,
    /// Only those of this API group
    #[arg(long)]
    api_group: Option<String>,
    /// Only those that know all of these verbs
    #[arg(long, value_delimiter = ',')]
    verbs: Vec<String>,
}

impl ApiResources {
    pub async fn run(self, session: &Session) -> Result<()> {
        if !matches!(self.output.as_str(), "" | "wide" | "name") {
            return fail(format!("--output {} is not available", self.output));
        }
        let all = &session.discovery().await?.resources;
        let mut found: Vec<&Resource> = all.iter().filter(|resource| self.wants(resource)).collect();
        found.sort_by(|a, b| (&a.group, &a.plural).cmp(&(&b.group, &b.plural)));
        if self.output == "name" {
            return say(&found.iter().map(|r| format!("{}\n", r.qualified())).collect::<String>());
        }
        let wide = self.output == "wide";
        let mut text = String::new();
        if !self.no_headers {
            text += "NAME\tSHORTNAMES\tAPIVERSION\tNAMESPACED\tKIND";
            text += if wide { "\tVERBS\tCATEGORIES\n" } else { "\n" };
        }
        for r in found {
            text += &format!(
                "{}\t{}\t{}\t{}\t{}",
                r.plural,
                r.short_names.join(","),
                r.api_version(),
                r.namespaced,
                r.kind
            );
            if wide {
                text += &format!("\t{}\t{}", r.verbs.join(","), r.categories.join(","));
            }
            text.push('\n');
        }
        say(&Columns::of_table().align(&text))
    }

    fn wants(&self, resource: &Resource) -> bool {
        self.namespaced.is_none_or(|wanted| wanted == resource.namespaced)
            && self.api_group.as_ref().is_none_or(|wanted| *wanted == resource.group)
            && self.verbs.iter().all(|verb| resource.verbs.contains(verb))
    }
}
