//! The operating system's randomness: the one implementation of [`Random`] outside tests.

use chancery_model::Random;

/// The operating system's generator, through the cryptography provider.
#[derive(Debug, Clone, Copy)]
pub struct SystemRandom;

impl Random for SystemRandom {
    #[expect(clippy::disallowed_methods, reason = "the one source of randomness of the process")]
    fn fill(&self, buffer: &mut [u8]) {
        // Without random numbers nothing here is safe to do: ending is the only answer.
        if aws_lc_rs::rand::fill(buffer).is_err() {
            std::process::abort();
        }
    }
}
