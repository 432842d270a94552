//! Whole calls, over real sockets and in real time.

mod calls;
mod product;
mod rest;
mod wrong;
