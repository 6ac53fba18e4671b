//! Randomness as a parameter.

/// Where unpredictable bytes come from. The binary has one backed by the operating system's generator.
pub trait Random: Send + Sync + 'static {
    /// Fills the whole buffer with bytes an attacker cannot predict.
    fn fill(&self, buffer: &mut [u8]);
}

impl dyn Random {
    /// An array of fresh random bytes.
    pub fn bytes<const N: usize>(&self) -> [u8; N] {
        let mut buffer = [0; N];
        self.fill(&mut buffer);
        buffer
    }
}
