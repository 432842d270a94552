//! Statements as they are written in stores: static text, the types of the parameters, and what is said instead to a
//! tenant whose schema is not migrated yet. Must never run one.

use super::{Param, Type};

/// A statement: its text and the types of its parameters, in order. `{t}` stands for the tenant's schema.
#[derive(Debug)]
pub struct Sql {
    text: &'static str,
    types: &'static [Type],
    older: Option<Older>,
}

/// What is said to a schema that a migration has not reached.
#[derive(Debug)]
struct Older {
    text: &'static str,
    /// The first version that understands the newer text.
    until: u16,
}

impl Sql {
    /// Declares a statement.
    pub const fn new(text: &'static str, types: &'static [Type]) -> Self {
        Self { text, types, older: None }
    }

    /// Says `text` instead to a tenant's schema before version `until`: the same parameters, the same columns. While a
    /// fleet is migrated, the program serves both versions at once; once no tenant is behind, this goes again.
    #[must_use]
    pub const fn before(self, until: u16, text: &'static str) -> Self {
        Self { older: Some(Older { text, until }), ..self }
    }

    /// The text for a schema of that version.
    pub(super) fn text(&self, schema_version: u16) -> &'static str {
        match &self.older {
            Some(older) if schema_version < older.until => older.text,
            Some(_) | None => self.text,
        }
    }

    pub(super) fn types(&self) -> &'static [Type] {
        self.types
    }

    pub(super) fn typed<'p>(&self, params: &[Param<'p>]) -> Vec<(Param<'p>, Type)> {
        params.iter().copied().zip(self.types.iter().cloned()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_that_is_behind_is_asked_what_it_understands() {
        const SQL: Sql = Sql::new("select new", &[]).before(4, "select old");
        assert_eq!([3, 4, 5].map(|version| SQL.text(version)), ["select old", "select new", "select new"]);
        assert_eq!(Sql::new("select 1", &[]).text(0), "select 1");
    }
}
