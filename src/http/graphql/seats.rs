//! How many sockets each tenant has in this process. Must never know what is said on them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ids::TenantId;

/// Sockets of a tenant at most: a twentieth of all that a process holds.
pub(super) const SEATS_MAX: usize = 100;

/// The seats of every tenant. Cheap to clone; clones share.
#[derive(Clone, Default)]
pub(super) struct Seats(Arc<Mutex<HashMap<TenantId, usize>>>);

/// A socket's seat among those of its tenant; given back when dropped.
pub(super) struct Seat {
    seats: Seats,
    tenant: TenantId,
}

impl Seats {
    /// Takes a seat, if there is one left.
    pub(super) fn take(&self, tenant: TenantId) -> Option<Seat> {
        let mut taken = self.taken();
        let count = taken.entry(tenant).or_default();
        if SEATS_MAX <= *count {
            return None;
        }
        *count += 1;
        Some(Seat { seats: self.clone(), tenant })
    }

    fn taken(&self) -> MutexGuard<'_, HashMap<TenantId, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut taken = self.seats.taken();
        if let Some(count) = taken.get_mut(&self.tenant) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.remove(&self.tenant);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    #[test]
    fn a_tenant_has_so_many_seats_and_gets_them_back() {
        let seats = Seats::default();
        let (one, other) = (Uuid::from_u128(1).into(), Uuid::from_u128(2).into());
        let mut taken: Vec<_> = (0..SEATS_MAX).map(|_| seats.take(one).unwrap()).collect();
        assert!(seats.take(one).is_none());
        assert!(seats.take(other).is_some(), "nobody else's are touched");
        taken.pop();
        assert!(seats.take(one).is_some());
        drop(taken);
        assert!(seats.taken().is_empty(), "nothing is kept of those who left");
    }
}
