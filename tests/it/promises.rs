//! The promises, each with a negative control. `cargo xtask promises` runs them at one of two sizes.

pub(crate) mod p1;
mod p2;
mod p3;
mod p4;
mod p7;
mod p8;

/// How large the tests of the promises are: what `test` has minutes for, or what takes hours.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Size {
    Small,
    Full,
}

/// The size asked for by `cargo xtask promises`.
pub fn size() -> Size {
    #[expect(clippy::disallowed_methods, reason = "a test's parameter has no other way in")]
    let asked = std::env::var("CHANCERY_TEST_SIZE");
    if asked.is_ok_and(|size| size == "full") { Size::Full } else { Size::Small }
}
