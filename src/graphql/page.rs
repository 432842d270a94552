//! Connections: lists in pages, with signed cursors. Must never know what is listed.

use async_graphql::OutputType;
use async_graphql::connection::{Connection, Edge};
use uuid::Uuid;

use crate::db::page::{Cursors, Page};

/// A list in pages.
pub(super) type Listed<T> = Connection<String, T>;

const FIRST_DEFAULT: i32 = 20;

/// Makes a connection of the rows that were read with `page.limit()`.
pub(super) fn connection<R, T: OutputType>(
    page: Page,
    mut rows: Vec<R>,
    cursors: &Cursors<'_>,
    place: impl Fn(&R) -> Uuid,
    node: impl Fn(R) -> T,
) -> Listed<T> {
    let more = page.cut(&mut rows);
    let mut connection = Connection::new(page.after.is_some(), more);
    let edges = rows.into_iter().map(|row| Edge::new(cursors.seal(place(&row)), node(row)));
    connection.edges.extend(edges);
    connection
}

/// What a page costs: its rows times what each of them costs.
pub(super) fn cost(first: Option<i32>, each: usize) -> usize {
    let rows = first.unwrap_or(FIRST_DEFAULT).clamp(1, i32::from(Page::FIRST_MAX));
    each.saturating_mul(usize::try_from(rows).unwrap_or(1)).saturating_add(1)
}

/// The place of a numbered row, such as a turn, in the form that cursors carry.
pub(super) fn place_of(sequence: impl Into<i64>) -> Uuid {
    Uuid::from_u128(u128::from(sequence.into().unsigned_abs()))
}

/// The number that a page of numbered rows begins after.
pub(super) fn after(page: Page) -> i32 {
    page.after.map_or(0, |place| i32::try_from(place.as_u128()).unwrap_or(i32::MAX))
}

/// The number that a page of numbered rows, newest first, begins before.
pub(super) fn before(page: Page) -> Option<i64> {
    page.after.map(|place| i64::try_from(place.as_u128()).unwrap_or(0))
}

/// Rows to read so that the next page shows.
pub(super) fn rows(page: Page) -> u16 {
    page.first.saturating_add(1)
}
