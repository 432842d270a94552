//! Tenants: how they are made, what becomes of them, and by what they are reached.

mod birth;
mod domains;
mod life;
mod numbers;
mod reach;
