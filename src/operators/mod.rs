//! Operators: the platform's own team, and the keys with which they come in. Owns who they are; must never know what they
//! may do (`policies/access.toml` says it), nor any transport.

mod store;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use crate::access::{Action, Actor, PlatformScope, Role};
use crate::audit::{self, Chain, Deed};
use crate::db::Db;
use crate::db::tx::PlatformTx;
use crate::error::{Error, Fault};
use crate::ids::OperatorId;
use crate::secret::{self, Secret};

const NAME_CHARS_MAX: usize = 100;

/// Somebody of the platform's own team.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Its id, by which the audit log names it.
    pub id: OperatorId,
    /// What colleagues call it.
    pub name: String,
    /// Since when.
    pub created_at: DateTime<Utc>,
    /// Since when it may do nothing any more.
    pub disabled_at: Option<DateTime<Utc>>,
}

/// Adds an operator and gives its key, which is shown this once.
pub async fn create(tx: &mut PlatformTx, name: &str) -> Result<(Operator, Secret), Error> {
    let scope = tx.permit(Action::OperatorsChange)?;
    let name = name.trim();
    if !(1..=NAME_CHARS_MAX).contains(&name.chars().count()) || name.contains('\0') {
        return Err(Error::invalid("name", "must have 1 to 100 characters"));
    }
    let Some(operator) = store::add(tx, name).await? else {
        return Err(Error::Conflict {
            code: "operator_exists",
            message: format!("there is an operator called {name}; disable it first or choose another name"),
        });
    };
    let key = Secret::new(format!("nsop_{}", secret::random_token()));
    let prefix = key.reveal().get(..10).unwrap_or_default().to_owned();
    store::add_key(tx, operator.id, &prefix, &secret::digest(key.reveal())).await?;
    let after = json!({ "operator": operator.id.to_string(), "name": name });
    let deed = Deed { action: "operator.create", subject: name, reason: None, before: Value::Null, after };
    audit::record(tx, &scope, Chain::Platform, deed).await?;
    Ok((operator, key))
}

/// Takes an operator's rights and keys away, at once and for good.
pub async fn disable(tx: &mut PlatformTx, name: &str, reason: &str) -> Result<Operator, Error> {
    let scope = tx.permit(Action::OperatorsChange)?;
    let reason = audit::reason(reason)?;
    let operator = store::disable(tx, name.trim()).await?.ok_or(Error::NotFound("operator"))?;
    let before = json!({ "operator": operator.id.to_string(), "name": operator.name });
    let deed = Deed {
        action: "operator.disable",
        subject: &operator.name,
        reason: Some(reason),
        before,
        after: Value::Null,
    };
    audit::record(tx, &scope, Chain::Platform, deed).await?;
    Ok(operator)
}

/// The operator on whose behalf the transaction is.
pub async fn own(tx: &mut PlatformTx) -> Result<Operator, Error> {
    let scope = tx.permit(Action::AuditRead)?;
    match scope.actor() {
        Actor::Operator(id) => get(tx, id).await,
        Actor::ApiKey(_)
        | Actor::Member { .. }
        | Actor::SignIn(_)
        | Actor::Carrier
        | Actor::Call(_)
        | Actor::Job(_)
        | Actor::CommandLine => Err(Error::NotFound("operator")),
    }
}

/// The operator with this id.
pub async fn get(tx: &mut PlatformTx, id: OperatorId) -> Result<Operator, Error> {
    tx.permit(Action::AuditRead)?;
    store::get(tx, id.uuid()).await?.ok_or(Error::NotFound("operator"))
}

/// Every operator, by name.
pub async fn list(tx: &mut PlatformTx) -> Result<Vec<Operator>, Error> {
    tx.permit(Action::AuditRead)?;
    Ok(store::all(tx).await?)
}

/// Whose key it is, and the right to act that it gives.
pub async fn holder_of_key(db: &Db, key: &Secret) -> Result<Option<(OperatorId, PlatformScope)>, Fault> {
    let found = store::key_owner(db, &secret::digest(key.reveal())).await?;
    Ok(found.map(|operator| (operator, PlatformScope::mint(Actor::Operator(operator), Role::Operator))))
}
