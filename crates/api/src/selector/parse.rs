//! The text form of label selectors: `a=b,c!=d,e in (x,y),f notin (z),g,!h,i>1`.
use super::{Operator, Requirement, SelectorError};
use crate::validation::names;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    End,
    Open,
    Close,
    Comma,
    Not,
    Equal,
    NotEqual,
    Greater,
    Less,
    Identifier,
    Unknown,
}

#[derive(Clone, Copy, Debug)]
struct Token<'a> {
    kind: Kind,
    text: &'a str,
}

fn is_symbol(c: char) -> bool {
    "=!(),><".contains(c)
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut rest = text;
    let mut tokens = Vec::new();
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        let Some(first) = rest.chars().next() else {
            tokens.push(Token { kind: Kind::End, text: "" });
            return tokens;
        };
        let (kind, length) = if !is_symbol(first) {
            let ends = |c: char| is_symbol(c) || matches!(c, ' ' | '\t' | '\r' | '\n');
            (Kind::Identifier, rest.find(ends).unwrap_or(rest.len()))
        } else {
            // The longest known run of symbols; a longer unknown run is reported as one token.
            match first {
                '(' => (Kind::Open, 1),
                ')' => (Kind::Close, 1),
                ',' => (Kind::Comma, 1),
                '>' => (Kind::Greater, 1),
                '<' => (Kind::Less, 1),
                '=' if rest.starts_with("==") => (Kind::Equal, 2),
                '=' => (Kind::Equal, 1),
                '!' if rest.starts_with("!=") => (Kind::NotEqual, 2),
                '!' => (Kind::Not, 1),
                _ => (Kind::Unknown, first.len_utf8()),
            }
        };
        tokens.push(Token { kind, text: &rest[..length] });
        rest = &rest[length..];
    }
}

struct Parser<'a> {
    tokens: Vec<Token<'a>>,
    next: usize,
}

fn unexpected<T>(token: Token<'_>, expected: &'static str) -> Result<T, SelectorError> {
    Err(SelectorError::Unexpected { found: token.text.to_owned(), expected })
}

impl<'a> Parser<'a> {
    fn peek(&self) -> Token<'a> {
        // The last token is the end, and is never passed.
        self.tokens[self.next.min(self.tokens.len() - 1)]
    }

    fn take(&mut self) -> Token<'a> {
        let token = self.peek();
        self.next += 1;
        token
    }

    fn requirement(&mut self) -> Result<Requirement, SelectorError> {
        let negated = self.peek().kind == Kind::Not;
        if negated {
            self.take();
        }
        let key = self.take();
        if key.kind != Kind::Identifier {
            return unexpected(key, "identifier");
        }
        let reasons = names::qualified_name(key.text);
        if !reasons.is_empty() {
            return Err(SelectorError::Key { key: key.text.to_owned(), reasons });
        }
        if negated {
            return Requirement::new(key.text, Operator::DoesNotExist, []);
        }
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Requirement::new(key.text, Operator::Exists, []);
        }
        let token = self.take();
        let operator = match (token.kind, token.text) {
            (Kind::Identifier, "in") | (Kind::Equal, _) => Operator::In,
            (Kind::Identifier, "notin") | (Kind::NotEqual, _) => Operator::NotIn,
            (Kind::Greater, _) => Operator::GreaterThan,
            (Kind::Less, _) => Operator::LessThan,
            _ => return unexpected(token, "in, notin, =, ==, !=, gt, lt"),
        };
        let values = if token.kind == Kind::Identifier { self.values()? } else { vec![self.exact_value()?] };
        Requirement::new(key.text, operator, values)
    }

    fn exact_value(&mut self) -> Result<String, SelectorError> {
        if matches!(self.peek().kind, Kind::End | Kind::Comma) {
            return Ok(String::new());
        }
        let token = self.take();
        if token.kind == Kind::Identifier { Ok(token.text.to_owned()) } else { unexpected(token, "identifier") }
    }

    /// `(a,b)`; an empty place between commas is the empty value.
    fn values(&mut self) -> Result<Vec<String>, SelectorError> {
        let open = self.take();
        if open.kind != Kind::Open {
            return unexpected(open, "'('");
        }
        if self.peek().kind == Kind::Close {
            self.take();
            return Ok(Vec::new());
        }
        let mut values = Vec::new();
        loop {
            let value = match self.peek().kind {
                Kind::Identifier => self.take().text,
                Kind::Comma | Kind::Close => "",
                _ => return unexpected(self.peek(), "',', ')' or identifier"),
            };
            values.push(value.to_owned());
            let token = self.take();
            match token.kind {
                Kind::Comma => {}
                Kind::Close => return Ok(values),
                _ => return unexpected(token, "',' or ')'"),
            }
        }
    }
}

pub(super) fn requirements(text: &str) -> Result<Vec<Requirement>, SelectorError> {
    let mut parser = Parser { tokens: tokens(text), next: 0 };
    let mut requirements = Vec::new();
    let first = parser.peek();
    match first.kind {
        Kind::End => return Ok(requirements),
        Kind::Identifier | Kind::Not => {}
        _ => return unexpected(first, "!, identifier, or 'end of string'"),
    }
    loop {
        requirements.push(parser.requirement().map_err(|error| SelectorError::Requirement(Box::new(error)))?);
        let separator = parser.take();
        match separator.kind {
            Kind::End => return Ok(requirements),
            Kind::Comma if matches!(parser.peek().kind, Kind::Identifier | Kind::Not) => {}
            Kind::Comma => return unexpected(parser.peek(), "identifier after ','"),
            _ => return unexpected(separator, "',' or 'end of string'"),
        }
    }
}
