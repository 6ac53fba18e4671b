//! The one integration binary: every room through its front door.
#![cfg(test)]

mod authzen;
mod laws;
mod promises;
mod wycheproof;
