//! People, and the identities by which issuers know them. Looked up while somebody signs in, by nobody else: a tenant must
//! not find out who there is. Must never know how an issuer's word was checked.

use super::{Address, store};
use crate::access::Action;
use crate::db::tx::PlatformTx;
use crate::error::Error;
use crate::ids::{PersonId, TenantId};

const NAME_CHARS_MAX: usize = 200;

/// A human who signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    /// Its id.
    pub id: PersonId,
    /// What it is called.
    pub name: String,
    /// Its address, proved; absent for whoever is known through a tenant's own issuer alone.
    pub address: Option<Address>,
    /// Whether it must show a passkey, too.
    pub has_second_factor: bool,
}

/// Whom an issuer means.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The issuer.
    pub iss: &'a str,
    /// Its name for the person.
    pub sub: &'a str,
    /// The tenant whose own issuer it is; what such a one says counts in that tenant alone.
    pub tenant: Option<TenantId>,
}

/// The person who proved this address to us.
pub async fn at_address(tx: &mut PlatformTx, address: &Address) -> Result<Option<Person>, Error> {
    tx.permit(Action::SignInsHold)?;
    Ok(store::people::at_address(tx, address).await?)
}

/// The person whom an issuer means, if it was here before; notes that the identity was used.
pub async fn known_as(tx: &mut PlatformTx, subject: Subject<'_>) -> Result<Option<Person>, Error> {
    tx.permit(Action::SignInsHold)?;
    Ok(store::people::known_as(tx, subject).await?)
}

/// Notes that an issuer means this person, who was found out to be one whom it did not mean before. `address` is what the
/// issuer says of it.
pub async fn link(
    tx: &mut PlatformTx,
    person: PersonId,
    subject: Subject<'_>,
    address: Option<&Address>,
) -> Result<(), Error> {
    tx.permit(Action::SignInsHold)?;
    Ok(store::people::link(tx, person, subject, address).await?)
}

/// Somebody new. The address must be proved to us, or to an issuer that we trust with it, and be nobody else's yet.
pub async fn meet(tx: &mut PlatformTx, name: &str, address: Option<&Address>) -> Result<Person, Error> {
    tx.permit(Action::SignInsHold)?;
    let name = known_name(name, address);
    Ok(store::people::add(tx, &name, address).await?)
}

/// A name as it is kept: what an issuer says may be anything, and somebody without one is called by the address.
fn known_name(name: &str, address: Option<&Address>) -> String {
    let plain: String = name.trim().chars().filter(|c| !c.is_control()).take(NAME_CHARS_MAX).collect();
    if !plain.is_empty() {
        return plain;
    }
    let local = address.and_then(|address| address.reveal().split('@').next().map(str::to_owned));
    local.unwrap_or_else(|| "Somebody".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_kept_plain_and_never_empty() {
        let address: Address = "ann@example.com".parse().unwrap();
        assert_eq!(known_name(" Ann\u{0}\n Lee ", None), "Ann Lee");
        assert_eq!(known_name(" ", Some(&address)), "ann");
        assert_eq!(known_name("\u{7}", None), "Somebody");
        assert_eq!(known_name(&"ä".repeat(300), None).chars().count(), 200);
    }
}
