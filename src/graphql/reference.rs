//! A schema as a document for people, as it stands in `docs/api/`: what can be asked, and what every type is. Pure. Must
//! never know more than the schema's text says.

use async_graphql::Positioned;
use async_graphql::parser::types::{
    ConstDirective, FieldDefinition, InputValueDefinition, TypeDefinition, TypeKind, TypeSystemDefinition,
};
use async_graphql::parser::{self, parse_schema};
use std::fmt::{self, Write};

/// What the operations of a schema are called, and in which order they come.
const ROOTS: [(&str, &str, &str); 3] = [
    ("Query", "Queries", "query"),
    ("Mutation", "Mutations", "mutation"),
    ("Subscription", "Subscriptions", "subscription"),
];

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum Unwritten {
    /// The text is no schema.
    #[error("cannot read the schema: {0}")]
    Schema(#[from] parser::Error),
    /// The text cannot be put together.
    #[error("cannot write the document: {0}")]
    Text(#[from] fmt::Error),
}

/// The document of a schema.
pub fn markdown(title: &str, sdl: &str) -> Result<String, Unwritten> {
    let document = parse_schema(sdl)?;
    let types: Vec<_> = document
        .definitions
        .iter()
        .filter_map(|definition| match definition {
            TypeSystemDefinition::Type(definition) => Some(&definition.node),
            TypeSystemDefinition::Schema(_) | TypeSystemDefinition::Directive(_) => None,
        })
        .collect();
    let mut text = format!("# {title}\n");
    for (root, heading, word) in ROOTS {
        for found in types.iter().filter(|found| found.name.node == root) {
            writeln!(text, "\n## {heading}\n\n{}", described(found.description.as_ref()))?;
            for field in fields(found) {
                operation(&mut text, word, &field.node)?;
            }
        }
    }
    for (heading, belongs) in KINDS {
        let is_root = |found: &TypeDefinition| ROOTS.iter().any(|(root, ..)| found.name.node == *root);
        let mut found = types.iter().filter(|found| belongs(&found.kind) && !is_root(found)).peekable();
        if found.peek().is_some() {
            writeln!(text, "\n## {heading}")?;
        }
        for found in found {
            one_type(&mut text, found)?;
        }
    }
    Ok(text)
}

type Belongs = fn(&TypeKind) -> bool;

const KINDS: [(&str, Belongs); 4] = [
    ("Objects", |kind| matches!(kind, TypeKind::Object(_) | TypeKind::Interface(_) | TypeKind::Union(_))),
    ("Inputs", |kind| matches!(kind, TypeKind::InputObject(_))),
    ("Enums", |kind| matches!(kind, TypeKind::Enum(_))),
    ("Scalars", |kind| matches!(kind, TypeKind::Scalar)),
];

fn fields(definition: &TypeDefinition) -> &[Positioned<FieldDefinition>] {
    match &definition.kind {
        TypeKind::Object(object) => &object.fields,
        TypeKind::Interface(interface) => &interface.fields,
        TypeKind::Scalar | TypeKind::Union(_) | TypeKind::Enum(_) | TypeKind::InputObject(_) => &[],
    }
}

/// What can be asked, mutated or followed.
fn operation(text: &mut String, word: &str, field: &FieldDefinition) -> fmt::Result {
    let (name, what) = (&field.name.node, described(field.description.as_ref()));
    writeln!(text, "\n### {word} {name}\n\n{what}{}", deprecated(&field.directives))?;
    writeln!(text, "Gives {}.", linked(&field.ty.node.to_string()))?;
    if !field.arguments.is_empty() {
        writeln!(text, "\n| argument | type | what |\n|---|---|---|")?;
    }
    for argument in &field.arguments {
        value(text, &argument.node)?;
    }
    Ok(())
}

fn one_type(text: &mut String, definition: &TypeDefinition) -> fmt::Result {
    let (name, what) = (&definition.name.node, described(definition.description.as_ref()));
    writeln!(text, "\n### type {name}\n\n{what}")?;
    match &definition.kind {
        TypeKind::Object(_) | TypeKind::Interface(_) => {
            writeln!(text, "\n| field | type | what |\n|---|---|---|")?;
            for field in fields(definition) {
                let FieldDefinition { name, ty, description, directives, arguments } = &field.node;
                let arguments: Vec<_> =
                    arguments.iter().map(|one| format!("{}:", one.node.name.node)).collect();
                let arguments =
                    if arguments.is_empty() { String::new() } else { format!("({})", arguments.join(" ")) };
                let what = cell(description.as_ref(), directives);
                writeln!(text, "| `{}{arguments}` | {} | {what} |", name.node, linked(&ty.node.to_string()))?;
            }
        }
        TypeKind::InputObject(input) => {
            writeln!(text, "\n| field | type | what |\n|---|---|---|")?;
            for field in &input.fields {
                value(text, &field.node)?;
            }
        }
        TypeKind::Enum(values) => {
            writeln!(text, "\n| value | what |\n|---|---|")?;
            for one in &values.values {
                let what = cell(one.node.description.as_ref(), &one.node.directives);
                writeln!(text, "| `{}` | {what} |", one.node.value.node)?;
            }
        }
        TypeKind::Union(union) => {
            let members: Vec<_> = union.members.iter().map(|member| linked(&member.node)).collect();
            writeln!(text, "\nOne of {}.", members.join(", "))?;
        }
        TypeKind::Scalar => {}
    }
    Ok(())
}

/// A line of a table: an argument, or a field of an input.
fn value(text: &mut String, value: &InputValueDefinition) -> fmt::Result {
    let default =
        value.default_value.as_ref().map_or_else(String::new, |value| format!(" = `{}`", value.node));
    let what = cell(value.description.as_ref(), &value.directives);
    writeln!(text, "| `{}` | {}{default} | {what} |", value.name.node, linked(&value.ty.node.to_string()))
}

/// A type, with a link to where it stands unless it is one of GraphQL's own.
fn linked(ty: &str) -> String {
    match ty.trim_matches(['[', ']', '!']) {
        "ID" | "String" | "Int" | "Float" | "Boolean" => format!("`{ty}`"),
        name => format!("[`{ty}`](#type-{})", name.to_lowercase()),
    }
}

fn described(description: Option<&Positioned<String>>) -> String {
    description.map_or_else(String::new, |text| text.node.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn cell(description: Option<&Positioned<String>>, directives: &[Positioned<ConstDirective>]) -> String {
    (described(description) + &deprecated(directives)).replace('|', "\\|")
}

/// What is said instead, and until when, of what should not be used any more.
fn deprecated(directives: &[Positioned<ConstDirective>]) -> String {
    let found = directives.iter().find(|directive| directive.node.name.node == "deprecated");
    let reason = found.and_then(|directive| directive.node.get_argument("reason"));
    reason.map_or_else(String::new, |reason| {
        format!(" **Deprecated**: {}", reason.node.to_string().trim_matches('"'))
    })
}
