//! People in a business: how they come in, what they may do, how that ends.

mod members;
mod pages;
mod sessions;
mod stage;
