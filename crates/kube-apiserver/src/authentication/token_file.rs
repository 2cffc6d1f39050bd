//! `--token-auth-file`: users by the tokens that a file lists, as upstream's: a line is `token,user,uid` and, if there are groups, these in
//! one quoted field with commas between them.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use sha2::{Digest, Sha256};

use super::known;
use super::token::{Bearer, TokenAuthenticator};
use crate::attributes::User;

/// By the hash of the token, so that how long a look-up takes tells nothing of the tokens.
pub struct TokenFile(HashMap<[u8; 32], Arc<User>>);

#[derive(Debug, PartialEq, thiserror::Error)]
pub enum TokenFileError {
    #[error("can't be read: {0}")]
    Read(String),
    #[error("line {line}: must be token,user,uid or token,user,uid,\"group,…\", got {fields} fields")]
    Fields { line: usize, fields: usize },
    #[error("line {line}: {field} is empty")]
    Empty { line: usize, field: &'static str },
    #[error("line {line}: the token is that of another line")]
    Duplicate { line: usize },
}

impl TokenFile {
    pub fn read(path: &Path) -> Result<Self, TokenFileError> {
        Self::parse(&std::fs::read_to_string(path).map_err(|error| TokenFileError::Read(error.to_string()))?)
    }

    pub fn parse(text: &str) -> Result<Self, TokenFileError> {
        let mut users = HashMap::new();
        for (at, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
            let (line, fields) = (at + 1, fields(text));
            let (token, name, uid, groups) = match fields.as_slice() {
                [token, name, uid] => (token, name, uid, ""),
                [token, name, uid, groups, ..] => (token, name, uid, groups.as_str()),
                _ => return Err(TokenFileError::Fields { line, fields: fields.len() }),
            };
            for (field, value) in [("the token", token), ("the user", name)] {
                if value.is_empty() {
                    return Err(TokenFileError::Empty { line, field });
                }
            }
            let groups = groups.split(',').map(str::trim).filter(|group| !group.is_empty()).map(str::to_owned);
            let user = User { name: name.clone(), uid: uid.clone(), groups: groups.collect(), ..User::default() };
            if users.insert(digest(token), Arc::new(known(user))).is_some() {
                return Err(TokenFileError::Duplicate { line });
            }
        }
        Ok(Self(users))
    }

    pub fn user(&self, token: &str) -> Option<Arc<User>> {
        self.0.get(&digest(token)).cloned()
    }
}

#[async_trait]
impl TokenAuthenticator for TokenFile {
    async fn authenticate(&self, token: &str, _audiences: &[String]) -> Result<Option<Bearer>, String> {
        Ok(self.user(token).map(|user| Bearer { user, audiences: None }))
    }
}

fn digest(token: &str) -> [u8; 32] {
    Sha256::digest(token.as_bytes()).into()
}

/// The fields of one line of comma-separated values. A quote in a quoted field is doubled.
fn fields(line: &str) -> Vec<String> {
    let (mut fields, mut field, mut quoted) = (Vec::new(), String::new(), false);
    let mut characters = line.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '"' if quoted && characters.peek() == Some(&'"') => {
                characters.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(std::mem::take(&mut field).trim().to_owned()),
            character => field.push(character),
        }
    }
    fields.push(field.trim().to_owned());
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_and_groups_and_what_is_wrong_by_line() {
        let file = TokenFile::parse("a,alice,1\n\nb, bob ,2,\"dev,ops\"\nc,\"the \"\"c\"\"\",3,single\n").unwrap();
        let groups = |token: &str| file.user(token).map(|user| (user.name.clone(), user.groups.join(" ")));
        let some = |name: &str, groups: &str| Some((name.to_owned(), groups.to_owned()));
        assert_eq!(groups("a"), some("alice", "system:authenticated"));
        assert_eq!(groups("b"), some("bob", "dev ops system:authenticated"));
        assert_eq!(groups("c"), some("the \"c\"", "single system:authenticated"));
        assert_eq!(groups("d"), None);
        for (text, expected) in [
            ("a,b", TokenFileError::Fields { line: 1, fields: 2 }),
            ("a,b,c\n,b,c", TokenFileError::Empty { line: 2, field: "the token" }),
            ("a,,c", TokenFileError::Empty { line: 1, field: "the user" }),
            ("a,b,c\na,d,e", TokenFileError::Duplicate { line: 2 }),
        ] {
            assert_eq!(TokenFile::parse(text).err(), Some(expected), "{text}");
        }
    }
}
