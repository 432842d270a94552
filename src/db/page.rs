//! Pages of a list: how many, after which cursor. A cursor is the id of the last row, signed and bound to whose list
//! it is and to which, so that it can neither be made up nor used elsewhere. Must never know what is listed.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use subtle::ConstantTimeEq as _;
use uuid::Uuid;

use super::Row;
use crate::error::{Error, Fault};
use crate::ids::TenantId;
use crate::secret::MasterKey;

/// Which part of a list is asked for; lists are newest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Page {
    /// Rows at most.
    pub first: u16,
    /// Only rows after (older than) this id.
    pub after: Option<Uuid>,
}

impl Page {
    /// Rows of a page at most.
    pub const FIRST_MAX: u16 = 100;

    /// Checks what was asked for; the cursor must be one of ours for this tenant and list.
    pub fn asked(first: Option<i32>, after: Option<&str>, cursors: &Cursors<'_>) -> Result<Self, Error> {
        let first =
            u16::try_from(first.unwrap_or(20)).ok().filter(|rows| (1..=Self::FIRST_MAX).contains(rows));
        let first = first.ok_or_else(|| Error::invalid("first", "must be between 1 and 100"))?;
        let after = match after {
            None => None,
            Some(text) => Some(
                cursors.open(text).ok_or_else(|| Error::invalid("after", "is not a cursor of this list"))?,
            ),
        };
        Ok(Self { first, after })
    }

    /// The `limit` that shows whether there is a next page.
    pub fn limit(&self) -> i64 {
        i64::from(self.first) + 1
    }

    /// The bound of the keyset: every id is below the greatest.
    pub fn before(&self) -> Uuid {
        self.after.unwrap_or(Uuid::max())
    }

    /// Cuts the extra row off; true if there was one.
    pub fn cut<T>(&self, rows: &mut Vec<T>) -> bool {
        let more = usize::from(self.first) < rows.len();
        rows.truncate(usize::from(self.first));
        more
    }
}

/// A page of the list that one of many has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PageOf<K> {
    /// Whose list.
    pub of: K,
    /// Which part of it.
    pub page: Page,
}

impl<K: Copy> PageOf<K> {
    /// What a statement is asked with for many at once: whose, before which id, how many rows.
    pub fn columns(asked: &[Self], id: impl Fn(K) -> Uuid) -> (Vec<Uuid>, Vec<Uuid>, Vec<i64>) {
        let whose = asked.iter().map(|one| id(one.of)).collect();
        let before = asked.iter().map(|one| one.page.before()).collect();
        (whose, before, asked.iter().map(|one| one.page.limit()).collect())
    }
}

/// The lists that were asked for in one statement, each row of which ends with its list's place, counted from 1.
pub fn lists<T>(
    count: usize,
    rows: &[Row],
    read: impl Fn(&Row) -> Result<T, Fault>,
) -> Result<Vec<Vec<T>>, Fault> {
    let mut lists: Vec<Vec<T>> = std::iter::repeat_with(Vec::new).take(count).collect();
    for row in rows {
        let place = usize::try_from(row.get::<_, i64>(row.len() - 1)).ok();
        let place = place.and_then(|place| place.checked_sub(1));
        let list = place.and_then(|place| lists.get_mut(place));
        list.ok_or_else(|| Fault::new("read a row of a list that was not asked for"))?.push(read(row)?);
    }
    Ok(lists)
}

/// Makes and opens the cursors of one list of one tenant, or of the platform.
#[derive(Debug, Clone, Copy)]
pub struct Cursors<'k> {
    key: &'k MasterKey,
    whose: Uuid,
    list: &'static str,
}

impl<'k> Cursors<'k> {
    const ID_BYTES: usize = 16;
    const TAG_BYTES: usize = 8;

    /// For the named list of a tenant.
    pub fn new(key: &'k MasterKey, tenant: TenantId, list: &'static str) -> Self {
        Self { key, whose: tenant.uuid(), list }
    }

    /// For the named list of the platform itself, which no tenant's id stands for.
    pub fn of_platform(key: &'k MasterKey, list: &'static str) -> Self {
        Self { key, whose: Uuid::nil(), list }
    }

    /// The cursor that stands for a row.
    pub fn seal(&self, id: Uuid) -> String {
        let mut bytes = id.as_bytes().to_vec();
        bytes.extend_from_slice(&self.tag(id));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    fn open(&self, text: &str) -> Option<Uuid> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (id, tag) = bytes.split_at_checked(Self::ID_BYTES)?;
        let id = Uuid::from_slice(id).ok()?;
        bool::from(self.tag(id).ct_eq(tag)).then_some(id)
    }

    fn tag(&self, id: Uuid) -> Vec<u8> {
        let message = [self.list.as_bytes(), self.whose.as_bytes(), id.as_bytes()].concat();
        self.key.tag("cursor", &message).into_iter().take(Self::TAG_BYTES).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_is_bound_to_tenant_and_list() {
        let key = MasterKey::parse(&"07".repeat(32)).unwrap();
        let (here, there) = (TenantId::from(Uuid::from_u128(1)), TenantId::from(Uuid::from_u128(2)));
        let calls = Cursors::new(&key, here, "calls");
        let cursor = calls.seal(Uuid::from_u128(9));
        let page = Page::asked(Some(5), Some(&cursor), &calls).unwrap();
        assert_eq!(page, Page { first: 5, after: Some(Uuid::from_u128(9)) });
        for foreign in [
            Cursors::new(&key, there, "calls"),
            Cursors::new(&key, here, "callers"),
            Cursors::of_platform(&key, "calls"),
        ] {
            assert!(Page::asked(None, Some(&cursor), &foreign).is_err());
        }
        for bad in ["", "x", "AAAA", &cursor[1..]] {
            assert!(Page::asked(None, Some(bad), &calls).is_err(), "{bad}");
        }
        for first in [0, -1, 101, i32::MAX] {
            assert!(Page::asked(Some(first), None, &calls).is_err(), "{first}");
        }
        let mut rows = vec![1, 2, 3, 4, 5, 6];
        assert!(page.cut(&mut rows));
        assert_eq!(rows.len(), 5);
        assert!(!page.cut(&mut rows));
    }
}
