//! The promise that only this room can be held to, with its negative controls.

mod p8;
