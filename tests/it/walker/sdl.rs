//! Operations made from the published schema: every root field once, with every argument filled and everything selected
//! that a few levels hold. What is new in the schema is asked for by being there; an argument that nobody taught the
//! walker to fill stops it.

use async_graphql::parser::parse_schema;
use async_graphql::parser::types::{
    BaseType, FieldDefinition, InputValueDefinition, Type, TypeKind, TypeSystemDefinition,
};
use chrono::TimeDelta;
use neurosphere::clock::Clock;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::sync::LazyLock;

/// The same in every operation, so that one can be repeated.
static TOMORROW: LazyLock<String> =
    LazyLock::new(|| (Clock::system().now() + TimeDelta::days(1)).to_rfc3339());
/// How deep objects are looked into.
const LEVELS: usize = 5;

/// One root field, as a document.
#[derive(Debug)]
pub(super) struct Operation {
    /// `query`, `mutation` or `subscription`.
    pub(super) kind: &'static str,
    /// The root field.
    pub(super) field: String,
    /// The whole document.
    pub(super) document: String,
}

/// The words for ids and cursors that are put into operations.
pub(super) trait Words {
    /// An id for an argument or input field of this name on this root field.
    fn id(&self, field: &str, argument: &str) -> String;
    /// The root lists with the `pageInfo` of each.
    fn cursors(&self) -> &Value;
    /// A cursor for the list of this name.
    fn cursor(&self, list: &str) -> String {
        let cursor = &self.cursors()[list]["pageInfo"]["endCursor"];
        cursor.as_str().unwrap_or_else(|| panic!("teach the walker where {list} has its cursors")).to_owned()
    }
    /// A text for an argument or input field of this name.
    fn text(&self, argument: &str) -> String;
    /// A whole number for an argument or input field of this name.
    fn int(&self, argument: &str) -> u32 {
        if argument == "first" { 2 } else { 1 }
    }
    /// Whether an argument or input field of this name is left out of this root field: it excludes another.
    fn leaves_out(&self, _field: &str, _argument: &str) -> bool {
        false
    }
}

/// A published schema.
pub(super) struct Sdl {
    types: BTreeMap<String, TypeKind>,
}

impl Sdl {
    pub(super) fn parse(text: &str) -> Self {
        let document = parse_schema(text).expect("the published schema parses");
        let types = document.definitions.into_iter().filter_map(|definition| match definition {
            TypeSystemDefinition::Type(found) => Some((found.node.name.node.to_string(), found.node.kind)),
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        });
        Self { types: types.collect() }
    }

    /// One operation for each root field.
    pub(super) fn operations(&self, words: &dyn Words) -> Vec<Operation> {
        let roots = [("query", "Query"), ("mutation", "Mutation"), ("subscription", "Subscription")];
        let mut operations = Vec::new();
        for (kind, root) in roots {
            for field in self.fields(root) {
                let name = field.name.node.to_string();
                let mut document = format!("{kind} {{ ");
                self.select(&mut document, field, &Filling { root: &name, words }, LEVELS);
                document.push_str(" }");
                operations.push(Operation { kind, field: name, document });
            }
        }
        operations
    }

    /// Every field of every object that can be reached, as `Type.field`.
    pub(super) fn all_fields(&self) -> BTreeSet<String> {
        let objects = self.types.iter().filter(|(_, kind)| matches!(kind, TypeKind::Object(_)));
        objects
            .flat_map(|(name, _)| self.fields(name).map(move |field| format!("{name}.{}", field.name.node)))
            .collect()
    }

    /// The fields that an operation asks for, as `Type.field`.
    pub(super) fn asked_fields(&self, operations: &[Operation]) -> BTreeSet<String> {
        let mut asked = BTreeSet::new();
        for operation in operations {
            let root = match operation.kind {
                "query" => "Query",
                "mutation" => "Mutation",
                _ => "Subscription",
            };
            let field = self.fields(root).find(|field| field.name.node == operation.field.as_str()).unwrap();
            self.mark(root, field, LEVELS, &mut asked);
        }
        asked
    }

    fn mark(&self, parent: &str, field: &FieldDefinition, levels: usize, asked: &mut BTreeSet<String>) {
        let of = named(&field.ty.node);
        if self.is_object(of) && levels == 0 {
            return;
        }
        asked.insert(format!("{parent}.{}", field.name.node));
        if self.is_object(of) {
            for inner in self.fields(of) {
                self.mark(of, inner, levels - 1, asked);
            }
        }
    }

    /// Writes a field with its arguments and everything below it.
    fn select(&self, document: &mut String, field: &FieldDefinition, filling: &Filling<'_>, levels: usize) {
        let of = named(&field.ty.node);
        if self.is_object(of) && levels == 0 {
            return;
        }
        let arguments = field.arguments.iter().filter_map(|argument| {
            let value = self.value(&argument.node, filling, field.name.node.as_str())?;
            Some(format!("{}: {value}", argument.node.name.node))
        });
        let arguments: Vec<_> = arguments.collect();
        write!(document, "{} ", field.name.node).unwrap();
        if !arguments.is_empty() {
            write!(document, "({}) ", arguments.join(", ")).unwrap();
        }
        if self.is_object(of) {
            document.push_str("{ __typename ");
            for inner in self.fields(of) {
                self.select(document, inner, filling, levels - 1);
            }
            document.push_str("} ");
        }
    }

    /// The value for an argument; nothing for a cursor of a list that is not at the root: there each list is another.
    fn value(&self, argument: &InputValueDefinition, filling: &Filling<'_>, field: &str) -> Option<String> {
        let name = argument.name.node.as_str();
        if filling.words.leaves_out(filling.root, name) {
            return None;
        }
        if name == "after" {
            return (field == filling.root).then(|| quoted(&filling.words.cursor(field)));
        }
        Some(self.value_of(&argument.ty.node, name, filling))
    }

    fn value_of(&self, of: &Type, name: &str, filling: &Filling<'_>) -> String {
        let scalar = match &of.base {
            BaseType::List(inner) => return format!("[{}]", self.value_of(inner, name, filling)),
            BaseType::Named(scalar) => scalar.as_str(),
        };
        match (scalar, self.types.get(scalar)) {
            ("ID", _) => quoted(&filling.words.id(filling.root, name)),
            ("String", _) => quoted(&filling.words.text(name)),
            ("Int", _) => filling.words.int(name).to_string(),
            ("Float", _) => "0.5".to_owned(),
            ("Boolean", _) => "true".to_owned(),
            ("DateTime", _) => quoted(&TOMORROW),
            ("JSON", _) => format!("{{name: {}}}", quoted(&filling.words.text(name))),
            (_, Some(TypeKind::Enum(words))) => words.values[0].node.value.node.to_string(),
            (_, Some(TypeKind::InputObject(object))) => {
                let fields = object.fields.iter().map(|field| (field.node.name.node.as_str(), &field.node));
                let fields = fields.filter(|(name, _)| !filling.words.leaves_out(filling.root, name));
                let fields = fields
                    .map(|(name, field)| format!("{name}: {}", self.value_of(&field.ty.node, name, filling)));
                format!("{{{}}}", fields.collect::<Vec<_>>().join(", "))
            }
            other => panic!("teach the walker to fill {name}: {other:?}"),
        }
    }

    fn fields(&self, of: &str) -> impl Iterator<Item = &FieldDefinition> {
        let fields = match self.types.get(of) {
            Some(TypeKind::Object(object)) => object.fields.as_slice(),
            Some(other) => panic!("teach the walker about {of}: {other:?}"),
            None => &[],
        };
        fields.iter().map(|field| &field.node)
    }

    fn is_object(&self, of: &str) -> bool {
        match self.types.get(of) {
            Some(TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_)) => true,
            Some(TypeKind::Enum(_) | TypeKind::Scalar | TypeKind::InputObject(_)) | None => false,
        }
    }
}

/// What arguments are filled with.
struct Filling<'a> {
    root: &'a str,
    words: &'a dyn Words,
}

fn named(of: &Type) -> &str {
    match &of.base {
        BaseType::Named(name) => name.as_str(),
        BaseType::List(inner) => named(inner),
    }
}

fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}
