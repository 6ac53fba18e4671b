//! People with roles: how they come in, prove that they are there, and what they may do at the door.

mod browser;
mod door;
mod nouns;
mod passkeys;
mod second;
