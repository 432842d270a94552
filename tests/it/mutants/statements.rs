//! Every statement of the program, read from its sources: what each `Sql::new` is given. A form that is not understood
//! here fails by not being SQL.

use std::collections::BTreeMap;
use std::fs;
use std::iter::Peekable;
use std::path::{Path, PathBuf};
use std::str::Chars;
use tokio_postgres::types::Type;

/// One statement, or what is said instead to a schema that is behind.
pub(super) struct Statement {
    pub(super) place: String,
    pub(super) text: String,
    pub(super) types: Vec<Type>,
}

impl Statement {
    /// Whether it is about a tenant's own tables.
    pub(super) fn is_of_tenant(&self) -> bool {
        self.text.contains("{t}.")
    }
}

/// All of them.
pub(super) fn all() -> Vec<Statement> {
    let mut sources = Vec::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut sources);
    let macros = sources.iter().flat_map(|(_, text)| columns(text)).collect();
    let mut statements = Vec::new();
    for (path, text) in &sources {
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (at, begin) in product.match_indices("Sql::new(") {
            let given = &product[at + begin.len()..];
            let line = product[..at].lines().count();
            let place = format!("{}:{line}", path.file_name().unwrap().to_string_lossy());
            let mut reader = Reader { tokens: Tokens(given.chars().peekable()), path, macros: &macros };
            let (text, types) = reader.arguments();
            if let Some(older) = reader.older() {
                statements.push(Statement {
                    place: format!("{place} (older)"),
                    text: older,
                    types: types.clone(),
                });
            }
            statements.push(Statement { place, text, types });
        }
    }
    statements
}

fn read(folder: &Path, sources: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            read(&path, sources);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            sources.push((path, text));
        }
    }
}

/// Macros that stand for a list of columns, by name.
fn columns(source: &str) -> Vec<(String, String)> {
    let bodies = source.split("macro_rules! ").skip(1).filter_map(|rest| {
        let (name, body) = rest.split_once(" {\n    () => {\n")?;
        let body = Tokens(body.trim_start().chars().peekable()).next()?;
        let Token::Text(body) = body else { return None };
        Some((name.to_owned(), body))
    });
    bodies.collect()
}

#[derive(Debug, PartialEq)]
enum Token {
    Text(String),
    Word(String),
    Sign(char),
}

/// As much of Rust's grammar as stands between the parentheses of a declaration.
struct Tokens<'s>(Peekable<Chars<'s>>);

impl Iterator for Tokens<'_> {
    type Item = Token;

    fn next(&mut self) -> Option<Token> {
        while self.0.next_if(|c| c.is_whitespace()).is_some() {}
        let first = self.0.next()?;
        if first == '/' && self.0.peek() == Some(&'/') {
            while self.0.next_if(|c| *c != '\n').is_some() {}
            return self.next();
        }
        if first == '"' {
            return Some(Token::Text(self.literal()));
        }
        if !(first.is_alphanumeric() || first == '_') {
            return Some(Token::Sign(first));
        }
        let mut word = String::from(first);
        while let Some(next) = self.0.next_if(|c| c.is_alphanumeric() || *c == '_') {
            word.push(next);
        }
        Some(Token::Word(word))
    }
}

impl Tokens<'_> {
    fn literal(&mut self) -> String {
        let mut text = String::new();
        loop {
            match self.0.next().unwrap() {
                '"' => return text,
                '\\' => match self.0.next().unwrap() {
                    '\n' => while self.0.next_if(|c| c.is_whitespace()).is_some() {},
                    'n' => text.push('\n'),
                    other => text.push(other),
                },
                other => text.push(other),
            }
        }
    }
}

struct Reader<'s> {
    tokens: Tokens<'s>,
    path: &'s Path,
    macros: &'s BTreeMap<String, String>,
}

impl Reader<'_> {
    /// The text of a declaration whose parenthesis was opened, and its types.
    fn arguments(&mut self) -> (String, Vec<Type>) {
        let (mut text, mut types, mut depth, mut words) = (String::new(), Vec::new(), 1, Vec::new());
        while 0 < depth {
            match self.tokens.next().unwrap() {
                Token::Text(part) => match words.last().map(String::as_str) {
                    Some("include_str") => text.push_str(&self.included(&part)),
                    _ => text.push_str(&part),
                },
                Token::Word(word) if words.last().is_some_and(|before| before == "Type") => {
                    types.push(type_named(&word));
                    words.push(word);
                }
                Token::Word(word) => {
                    text.push_str(self.macros.get(&word).map_or("", String::as_str));
                    words.push(word);
                }
                Token::Sign('(' | '[') => depth += 1,
                Token::Sign(')' | ']') => depth -= 1,
                Token::Sign(_) => {}
            }
        }
        (text, types)
    }

    /// What is said to a schema that is behind, where a declaration goes on with it.
    fn older(&mut self) -> Option<String> {
        let goes_on = self.tokens.next()? == Token::Sign('.')
            && self.tokens.next()? == Token::Word("before".to_owned())
            && self.tokens.next()? == Token::Sign('(');
        goes_on.then(|| self.arguments().0)
    }

    fn included(&self, name: &str) -> String {
        fs::read_to_string(self.path.with_file_name(name)).unwrap()
    }
}

fn type_named(name: &str) -> Type {
    const TYPES: [Type; 17] = [
        Type::BOOL,
        Type::BOOL_ARRAY,
        Type::BYTEA,
        Type::FLOAT4_ARRAY,
        Type::INT2,
        Type::INT4,
        Type::INT4_ARRAY,
        Type::INT8,
        Type::INT8_ARRAY,
        Type::JSONB,
        Type::JSONB_ARRAY,
        Type::TEXT,
        Type::TEXT_ARRAY,
        Type::TIMESTAMPTZ,
        Type::TIMESTAMPTZ_ARRAY,
        Type::UUID,
        Type::UUID_ARRAY,
    ];
    let sql = match name.to_lowercase().strip_suffix("_array") {
        Some(element) => format!("_{element}"),
        None => name.to_lowercase(),
    };
    TYPES
        .into_iter()
        .find(|known| known.name() == sql)
        .unwrap_or_else(|| panic!("Type::{name} is not known here"))
}
