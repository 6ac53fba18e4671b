//! Security events to others and from others (OpenID Shared Signals Framework 1.0, CAEP 1.0).

mod conformance;
mod forged;
mod mass;
mod receiver;
mod streams;
mod two;
