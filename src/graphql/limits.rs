//! What is refused before anything is executed: documents that are too long, too deep, too wide, or that unfold into
//! too much. Pure. Must never know the schema.
//!
//! The engine measures depth and cost ([`super::cost`]) and counts directives, but only after its own passes over the
//! document, which take exponential time when fragments spread fragments twice, and a stack when braces are nested deeply.

use async_graphql::parser::parse_query;
use async_graphql::parser::types::{ExecutableDocument, OperationType, Selection, SelectionSet};
use std::collections::{HashMap, HashSet};

/// Bytes of a document at most.
pub const DOCUMENT_BYTES_MAX: usize = 32 * 1024;
/// Fields deep at most.
pub const DEPTH_MAX: usize = 16;
/// Cost at most: every field costs one, and a page costs its rows times what each of them costs.
pub const COMPLEXITY_MAX: usize = 10_000;
/// Directives on one field at most.
pub const DIRECTIVES_MAX: usize = 5;
/// Fields at most once all fragments are put in their places.
pub const FIELDS_MAX: usize = 1_000;
/// Fields at most that are given another name.
pub const ALIASES_MAX: usize = 30;
/// Fields at most that stand a second time, by the same name, in the braces where they stand already.
pub const DUPLICATES_MAX: usize = 20;
/// Brackets within brackets at most.
pub const NESTING_MAX: usize = 40;

/// Whether a client may ask for the schema itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Introspection {
    /// In development.
    Allowed,
    /// In production.
    Refused,
}

/// Why a document is not executed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// Too many bytes.
    #[error("the document must not exceed {DOCUMENT_BYTES_MAX} bytes")]
    Long,
    /// Brackets within brackets within brackets.
    #[error("the document is nested too deeply")]
    Nested,
    /// Not GraphQL.
    #[error("the document has a syntax error at line {line}, column {column}")]
    Syntax {
        /// Counts from 1.
        line: usize,
        /// Counts from 1.
        column: usize,
    },
    /// Too many fields.
    #[error("the document asks for more than {FIELDS_MAX} fields")]
    Wide,
    /// Too many aliases.
    #[error("the document has more than {ALIASES_MAX} aliases")]
    Aliases,
    /// Too much said twice.
    #[error("the document repeats more than {DUPLICATES_MAX} fields")]
    Duplicates,
    /// Its identifier is of no document that the program was built with.
    #[error("no trusted document has this identifier; send `sha256:` and the digest of one, or a query")]
    Unknown,
    /// Free words where only trusted documents are executed.
    #[error("a browser's session may only have trusted documents executed; use an API key for others")]
    Untrusted,
    /// Asks for the schema where that is off.
    #[error("introspection is switched off; the schema is published with the documentation")]
    Introspection,
}

impl Refused {
    /// The stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Long | Self::Nested | Self::Wide | Self::Aliases | Self::Duplicates => "TOO_COMPLEX",
            Self::Syntax { .. } => "SYNTAX",
            Self::Unknown => "DOCUMENT_UNKNOWN",
            Self::Untrusted => "DOCUMENT_UNTRUSTED",
            Self::Introspection => "INTROSPECTION_OFF",
        }
    }
}

/// Parses a document that stays within the limits.
pub fn parse(text: &str, introspection: Introspection) -> Result<ExecutableDocument, Refused> {
    if DOCUMENT_BYTES_MAX < text.len() {
        return Err(Refused::Long);
    }
    if NESTING_MAX < nesting(text) {
        return Err(Refused::Nested);
    }
    let document = parse_query(text).map_err(|error| {
        let at = error.positions().next().unwrap_or_default();
        Refused::Syntax { line: at.line, column: at.column }
    })?;
    let mut count = Count { document: &document, known: HashMap::new(), under_way: Vec::new() };
    let mut total = Weight::default();
    for (_, operation) in document.operations.iter() {
        total = total.plus(count.of(&operation.node.selection_set.node));
    }
    for fragment in document.fragments.values() {
        total = total.plus(written(&fragment.node.selection_set.node));
    }
    if FIELDS_MAX < total.fields {
        return Err(Refused::Wide);
    }
    if ALIASES_MAX < total.aliases {
        return Err(Refused::Aliases);
    }
    if DUPLICATES_MAX < total.duplicates {
        return Err(Refused::Duplicates);
    }
    if introspection == Introspection::Refused && total.introspects {
        return Err(Refused::Introspection);
    }
    Ok(document)
}

/// Whether a document does nothing but read once.
pub fn only_queries(document: &ExecutableDocument) -> bool {
    document.operations.iter().all(|(_, operation)| operation.node.ty == OperationType::Query)
}

/// The deepest nesting of brackets outside strings and comments.
fn nesting(text: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let skipped = match first {
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' => string_length(rest),
            '{' | '(' | '[' => {
                depth += 1;
                deepest = deepest.max(depth);
                1
            }
            '}' | ')' | ']' => {
                depth = depth.saturating_sub(1);
                1
            }
            other => other.len_utf8(),
        };
        rest = rest.get(skipped..).unwrap_or_default();
    }
    deepest
}

/// The length of the string, or block string, that a text begins with.
fn string_length(text: &str) -> usize {
    if let Some(inside) = text.strip_prefix("\"\"\"") {
        let unescaped = inside.replace("\\\"\"\"", "....");
        return unescaped.find("\"\"\"").map_or(text.len(), |end| end + 6);
    }
    let mut escaped = false;
    for (place, byte) in text.bytes().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' | b'\n' => return place + 1,
            _ => {}
        }
    }
    text.len()
}

/// What a selection unfolds into.
#[derive(Debug, Clone, Copy, Default)]
struct Weight {
    fields: usize,
    aliases: usize,
    duplicates: usize,
    introspects: bool,
}

impl Weight {
    fn plus(self, other: Self) -> Self {
        Self {
            fields: self.fields.saturating_add(other.fields),
            aliases: self.aliases.saturating_add(other.aliases),
            duplicates: self.duplicates.saturating_add(other.duplicates),
            introspects: self.introspects || other.introspects,
        }
    }
}

/// Weighs each fragment once, so that the whole is linear in the length of the document.
struct Count<'d> {
    document: &'d ExecutableDocument,
    known: HashMap<&'d str, Weight>,
    under_way: Vec<&'d str>,
}

impl<'d> Count<'d> {
    fn of(&mut self, set: &'d SelectionSet) -> Weight {
        let mut total = Weight { duplicates: duplicates(set), ..Weight::default() };
        for selection in &set.items {
            total = total.plus(match &selection.node {
                Selection::Field(field) => {
                    let name = field.node.name.node.as_str();
                    let own = Weight {
                        fields: 1,
                        aliases: usize::from(field.node.alias.is_some()),
                        duplicates: 0,
                        introspects: matches!(name, "__schema" | "__type"),
                    };
                    own.plus(self.of(&field.node.selection_set.node))
                }
                Selection::InlineFragment(inline) => self.of(&inline.node.selection_set.node),
                Selection::FragmentSpread(spread) => self.fragment(spread.node.fragment_name.node.as_str()),
            });
        }
        total
    }

    /// A cycle weighs nothing here: validation refuses it.
    fn fragment(&mut self, name: &'d str) -> Weight {
        if let Some(known) = self.known.get(name) {
            return *known;
        }
        let document = self.document;
        let Some(fragment) = document.fragments.get(name).filter(|_| !self.under_way.contains(&name)) else {
            return Weight::default();
        };
        if NESTING_MAX <= self.under_way.len() {
            return Weight { fields: usize::MAX, ..Weight::default() };
        }
        self.under_way.push(name);
        let weight = self.of(&fragment.node.selection_set.node);
        self.under_way.pop();
        let weight = Weight { aliases: 0, duplicates: 0, ..weight };
        self.known.insert(name, weight);
        weight
    }
}

/// The aliases and duplicates that are written in a selection, however often it is spread.
fn written(set: &SelectionSet) -> Weight {
    let of = |selection: &Selection| match selection {
        Selection::Field(field) => {
            let aliases = usize::from(field.node.alias.is_some());
            Weight { aliases, ..Weight::default() }.plus(written(&field.node.selection_set.node))
        }
        Selection::InlineFragment(inline) => written(&inline.node.selection_set.node),
        Selection::FragmentSpread(_) => Weight::default(),
    };
    let own = Weight { duplicates: duplicates(set), ..Weight::default() };
    set.items.iter().fold(own, |total, selection| total.plus(of(&selection.node)))
}

/// How many fields of a selection answer under a name that an earlier one has.
fn duplicates(set: &SelectionSet) -> usize {
    let named = set.items.iter().filter_map(|selection| match &selection.node {
        Selection::Field(field) => Some(field.node.response_key().node.as_str()),
        Selection::InlineFragment(_) | Selection::FragmentSpread(_) => None,
    });
    let mut seen = HashSet::new();
    named.filter(|name| !seen.insert(*name)).count()
}
