//! People and the flows that need one: signing in, consent, codes, devices, presence.

mod client;
mod clients;
mod code;
mod device;
mod people;
mod presence;
mod pushed;
mod refresh;
