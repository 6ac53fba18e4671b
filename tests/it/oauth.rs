//! People and the flows that need one: signing in, consent, codes, devices, presence.

mod people;
