//! The one integration binary: every room through its front door.
#![cfg(test)]

mod acme;
mod authzen;
mod cli;
mod discover;
mod federation;
mod front;
mod gateway;
mod kill;
mod laws;
mod nodes;
mod notify;
mod oauth;
mod oversee;
mod people;
mod promises;
mod signals;
mod spiffe;
mod wycheproof;
