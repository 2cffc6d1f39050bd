//! The templates of `-o jsonpath=`, `--sort-by` and `wait --for=jsonpath=`: text with `{paths}`, `{range}` … `{end}`.

use serde_json::Value;

#[derive(Clone, Debug, PartialEq)]
pub struct Template(Vec<Node>);

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Text(String),
    Path(Path),
    Range(Path, Vec<Node>),
}

#[derive(Clone, Debug, PartialEq)]
struct Path {
    /// Begins at the whole object, also inside of a range.
    from_root: bool,
    steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq)]
enum Step {
    Field(String),
    All,
    Descend(Option<String>),
    Indices(Vec<i64>),
    Slice { from: Option<i64>, to: Option<i64>, step: i64 },
    Filter { left: Operand, test: Option<(Compare, Operand)> },
}

#[derive(Clone, Debug, PartialEq)]
enum Operand {
    Path(Path),
    Constant(Value),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Compare {
    Equal,
    NotEqual,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Template {
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut parser = Parser { rest: text };
        let nodes = parser.nodes(false)?;
        Ok(Self(nodes))
    }

    /// A path that may lack its braces and its first dot, as `--sort-by` takes it.
    pub fn parse_relaxed(text: &str) -> Result<Self, String> {
        let inner = text.trim().trim_start_matches('{').trim_end_matches('}');
        let dotted = if inner.starts_with(['.', '[', '$']) { inner.to_owned() } else { format!(".{inner}") };
        Self::parse(&format!("{{{dotted}}}"))
    }

    pub fn render(&self, object: &Value) -> Result<String, String> {
        let mut out = String::new();
        render(&self.0, object, object, &mut out)?;
        Ok(out)
    }

    /// All that the template's paths find.
    pub fn find(&self, object: &Value) -> Result<Vec<Value>, String> {
        let mut found = Vec::new();
        for node in &self.0 {
            if let Node::Path(path) = node {
                found.extend(path.walk(object, object).into_iter().cloned());
            }
        }
        Ok(found)
    }
}

fn render(nodes: &[Node], root: &Value, current: &Value, out: &mut String) -> Result<(), String> {
    for node in nodes {
        match node {
            Node::Text(text) => out.push_str(text),
            Node::Path(path) => {
                let found: Vec<String> = path.walk(root, current).into_iter().map(plain).collect();
                out.push_str(&found.join(" "));
            }
            Node::Range(path, body) => {
                for item in path.walk(root, current) {
                    render(body, root, item, out)?;
                }
            }
        }
    }
    Ok(())
}

/// A string as it is, everything else as JSON.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        other => other.to_string(),
    }
}

impl Path {
    fn walk<'a>(&self, root: &'a Value, current: &'a Value) -> Vec<&'a Value> {
        let start = if self.from_root { root } else { current };
        self.steps
            .iter()
            .fold(vec![start], |values, step| values.into_iter().flat_map(|v| step.take(root, v)).collect())
    }
}

impl Step {
    fn take<'a>(&self, root: &'a Value, value: &'a Value) -> Vec<&'a Value> {
        let items = || value.as_array().map(Vec::as_slice).unwrap_or_default();
        match self {
            Self::Field(name) => value.get(name).into_iter().collect(),
            Self::All => children(value),
            Self::Descend(name) => {
                let mut found = Vec::new();
                descend(value, name.as_deref(), &mut found);
                found
            }
            Self::Indices(indices) => {
                let place = |index: &i64| if *index < 0 { *index + items().len() as i64 } else { *index };
                indices.iter().filter_map(|index| items().get(usize::try_from(place(index)).ok()?)).collect()
            }
            Self::Slice { from, to, step } => {
                let length = items().len() as i64;
                let place = |index: i64| if index < 0 { index + length } else { index }.clamp(0, length);
                let (from, to) = (place(from.unwrap_or(0)), place(to.unwrap_or(length)));
                let chosen = (from..to).step_by(usize::try_from(*step).unwrap_or(1).max(1));
                chosen.filter_map(|index| items().get(index as usize)).collect()
            }
            Self::Filter { left, test } => {
                items().iter().filter(|item| passes(root, item, left, test.as_ref())).collect()
            }
        }
    }
}

fn children(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(items) => items.iter().collect(),
        Value::Object(fields) => fields.values().collect(),
        _ => Vec::new(),
    }
}

fn descend<'a>(value: &'a Value, name: Option<&str>, found: &mut Vec<&'a Value>) {
    match name {
        Some(name) => found.extend(value.get(name)),
        None => found.push(value),
    }
    for child in children(value) {
        descend(child, name, found);
    }
}

fn passes(root: &Value, item: &Value, left: &Operand, test: Option<&(Compare, Operand)>) -> bool {
    fn read<'a>(operand: &'a Operand, root: &'a Value, item: &'a Value) -> Option<&'a Value> {
        match operand {
            Operand::Path(path) => path.walk(root, item).into_iter().next(),
            Operand::Constant(value) => Some(value),
        }
    }
    let Some(left) = read(left, root, item) else { return false };
    let Some((compare, right)) = test else { return true };
    let Some(right) = read(right, root, item) else { return false };
    let order = match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => left.partial_cmp(&right),
        _ => plain(left).partial_cmp(&plain(right)),
    };
    order.is_some_and(|order| match compare {
        Compare::Equal => order.is_eq(),
        Compare::NotEqual => order.is_ne(),
        Compare::Less => order.is_lt(),
        Compare::LessOrEqual => order.is_le(),
        Compare::Greater => order.is_gt(),
        Compare::GreaterOrEqual => order.is_ge(),
    })
}

struct Parser<'a> {
    rest: &'a str,
}

impl Parser<'_> {
    fn nodes(&mut self, in_range: bool) -> Result<Vec<Node>, String> {
        let mut nodes = Vec::new();
        loop {
            let Some(open) = self.rest.find('{') else {
                if in_range {
                    return Err("unclosed range, expected {end}".into());
                }
                if !self.rest.is_empty() {
                    nodes.push(Node::Text(std::mem::take(&mut self.rest).to_owned()));
                }
                return Ok(nodes);
            };
            if open > 0 {
                nodes.push(Node::Text(self.rest[..open].to_owned()));
            }
            self.rest = self.rest[open + 1..].trim_start();
            if let Some(rest) = self.rest.strip_prefix("range ") {
                self.rest = rest.trim_start();
                let path = self.path()?;
                self.close()?;
                nodes.push(Node::Range(path, self.nodes(true)?));
            } else if self.rest.strip_prefix("end").is_some_and(|rest| rest.trim_start().starts_with('}')) {
                self.rest = &self.rest[3..];
                self.close()?;
                if in_range {
                    return Ok(nodes);
                }
                return Err("not in range, nothing to end".into());
            } else {
                // Several texts and paths may stand between one pair of braces.
                while !self.rest.starts_with('}') {
                    if self.rest.is_empty() {
                        return Err("unclosed action".into());
                    }
                    match self.constant()? {
                        Some(constant) => nodes.push(Node::Text(plain(&constant))),
                        None => nodes.push(Node::Path(self.path()?)),
                    }
                    self.rest = self.rest.trim_start();
                }
                self.close()?;
            }
        }
    }

    fn close(&mut self) -> Result<(), String> {
        self.rest = self.rest.trim_start().strip_prefix('}').ok_or("unclosed action")?;
        Ok(())
    }

    fn take(&mut self, prefix: &str) -> bool {
        match self.rest.strip_prefix(prefix) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    fn path(&mut self) -> Result<Path, String> {
        let before = self.rest;
        let from_root = self.take("$");
        if !from_root {
            self.take("@");
        }
        let mut steps = Vec::new();
        loop {
            if self.take("..") {
                steps.push(match self.rest.starts_with(['[', '*']) {
                    true => Step::Descend(None),
                    false => Step::Descend(Some(self.name()?)),
                });
                if self.take("*") {
                    steps.push(Step::All);
                }
            } else if self.take(".") {
                if self.take("*") {
                    steps.push(Step::All);
                } else if !self.rest.starts_with('[') && !self.at_end_of_path() {
                    steps.push(Step::Field(self.name()?));
                }
            } else if self.take("[") {
                steps.push(self.brackets()?);
            } else if steps.is_empty() && !self.at_end_of_path() && before == self.rest {
                // The first field may come without its dot.
                steps.push(Step::Field(self.name()?));
            } else {
                return Ok(Path { from_root, steps });
            }
        }
    }

    fn at_end_of_path(&self) -> bool {
        self.rest.is_empty() || self.rest.starts_with(['}', ' ', ')', '=', '!', '<', '>'])
    }

    /// A field's name; a backslash keeps a dot in it.
    fn name(&mut self) -> Result<String, String> {
        let mut name = String::new();
        let mut letters = self.rest.char_indices();
        let mut end = self.rest.len();
        while let Some((at, letter)) = letters.next() {
            match letter {
                '\\' => name.extend(letters.next().map(|(_, c)| c)),
                c if c.is_alphanumeric() || "_-/".contains(c) => name.push(c),
                _ => {
                    end = at;
                    break;
                }
            }
        }
        self.rest = &self.rest[end..];
        if name.is_empty() {
            let found = self.rest.chars().next().map_or("the end".to_owned(), |c| format!("{c:?}"));
            return Err(format!("unrecognized character in action: {found}"));
        }
        Ok(name)
    }

    fn brackets(&mut self) -> Result<Step, String> {
        if self.take("?(") {
            let left = self.operand()?;
            self.rest = self.rest.trim_start();
            const SIGNS: [(&str, Compare); 6] = [
                ("==", Compare::Equal),
                ("!=", Compare::NotEqual),
                ("<=", Compare::LessOrEqual),
                (">=", Compare::GreaterOrEqual),
                ("<", Compare::Less),
                (">", Compare::Greater),
            ];
            let sign = SIGNS.into_iter().find(|(sign, _)| self.take(sign)).map(|(_, compare)| compare);
            let test = match sign {
                Some(compare) => Some((compare, self.operand()?)),
                None => None,
            };
            self.rest = self.rest.trim_start();
            return if self.take(")]") { Ok(Step::Filter { left, test }) } else { Err("unterminated filter".into()) };
        }
        if let Some(Value::String(name)) = self.constant()? {
            return if self.take("]") { Ok(Step::Field(name)) } else { Err("unterminated array".into()) };
        }
        let end = self.rest.find(']').ok_or("unterminated array")?;
        let inner = &self.rest[..end];
        self.rest = &self.rest[end + 1..];
        let number = |text: &str| text.trim().parse::<i64>().map_err(|_| format!("invalid array index {inner}"));
        if inner.trim() == "*" {
            return Ok(Step::All);
        }
        if inner.contains(':') {
            let mut parts =
                inner.split(':').map(|part| if part.trim().is_empty() { Ok(None) } else { number(part).map(Some) });
            let mut part = || parts.next().unwrap_or(Ok(None));
            let (from, to, step) = (part()?, part()?, part()?.unwrap_or(1));
            return if step < 1 {
                Err(format!("step must be > 0 in [{inner}]"))
            } else {
                Ok(Step::Slice { from, to, step })
            };
        }
        Ok(Step::Indices(inner.split(',').map(number).collect::<Result<_, _>>()?))
    }

    fn operand(&mut self) -> Result<Operand, String> {
        self.rest = self.rest.trim_start();
        Ok(match self.constant()? {
            Some(value) => Operand::Constant(value),
            None => Operand::Path(self.path()?),
        })
    }

    /// A quoted string, a number, true or false; None where something else stands.
    fn constant(&mut self) -> Result<Option<Value>, String> {
        let Some(quote) = self.rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
            let end = self.rest.find(['}', ' ', ')', ']', ',', ':']).unwrap_or(self.rest.len());
            let word = &self.rest[..end];
            let looks = word.starts_with(|c: char| c.is_ascii_digit() || c == '-') || word == "true" || word == "false";
            let in_brackets = self.rest[end..].starts_with([']', ',', ':']);
            let Some(value) = serde_json::from_str::<Value>(word).ok().filter(|_| looks && !in_brackets) else {
                return Ok(None);
            };
            self.rest = &self.rest[end..];
            return Ok(Some(value));
        };
        let mut text = String::new();
        let mut letters = self.rest.char_indices().skip(1);
        while let Some((at, letter)) = letters.next() {
            match letter {
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(Some(text.into()));
                }
                '\\' => match letters.next().map(|(_, c)| c) {
                    Some('n') => text.push('\n'),
                    Some('t') => text.push('\t'),
                    Some('r') => text.push('\r'),
                    Some(other) => text.push(other),
                    None => break,
                },
                c => text.push(c),
            }
        }
        Err("unterminated quoted string".into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn templates() {
        let object = json!({"kind": "List", "items": [
            {"metadata": {"name": "a", "labels": {"x.io/y": "1"}}, "spec": {"n": 1}, "status": {"ready": true}},
            {"metadata": {"name": "b"}, "spec": {"n": 2, "ports": [{"port": 80}, {"port": 443}]}}]});
        for (template, expected) in [
            ("{.kind}", "List"),
            ("{$.kind}", "List"),
            ("{kind}", "List"),
            ("text {.kind}!", "text List!"),
            ("{.items[*].metadata.name}", "a b"),
            ("{.items[0].metadata.name}", "a"),
            ("{.items[-1].metadata.name}", "b"),
            ("{.items[0,1].spec.n}", "1 2"),
            ("{.items[0:1].spec.n}", "1"),
            ("{.items[1:].spec.n}", "2"),
            ("{..port}", "80 443"),
            ("{.items[0].metadata.labels.x\\.io/y}", "1"),
            ("{.items[0].metadata.labels['x.io/y']}", "1"),
            ("{.items[?(@.spec.n==2)].metadata.name}", "b"),
            ("{.items[?(@.spec.n < 2)].metadata.name}", "a"),
            ("{.items[?(@.metadata.name!=\"b\")].metadata.name}", "a"),
            ("{.items[?(@.status.ready==true)].metadata.name}", "a"),
            ("{.items[?(@.spec.ports)].metadata.name}", "b"),
            ("{range .items[*]}{.metadata.name}{\"\\t\"}{.spec.n}{\"\\n\"}{end}", "a\t1\nb\t2\n"),
            ("{range .items[*]}{range .spec.ports[*]}{.port},{end};{end}", ";80,443,;"),
            ("{.items[0].metadata.name}{' '}{.missing}", "a "),
            ("{.items[0].spec}", "{\"n\":1}"),
            ("{.items[*]['metadata']['name']}", "a b"),
            ("{@.kind}", "List"),
        ] {
            let told = Template::parse(template).and_then(|t| t.render(&object));
            assert_eq!(told.as_deref(), Ok(expected), "{template}");
        }
    }

    #[test]
    fn wrong_templates_are_refused() {
        for template in
            ["{", "{.a", "{range .a}", "{end}", "{.a[}", "{.a[x]}", "{.a[?(@.b]}", "{'a}", "{.a[::0]}", "{.a%}"]
        {
            assert!(Template::parse(template).is_err(), "{template}");
        }
    }
}
