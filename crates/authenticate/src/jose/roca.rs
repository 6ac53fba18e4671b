//! RSA moduli of a faulty key generator (CVE-2017-15361): they can be factored.

/// Primes for which the faulty moduli are always powers of 65537. A sound modulus passes all with a chance below 2^-27.
const PRIMES: [u32; 17] = [11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157];

/// Was this modulus (big-endian) made by the faulty generator?
pub(super) fn is_weak(modulus: &[u8]) -> bool {
    PRIMES.iter().all(|&prime| is_power(rest(modulus, prime), prime))
}

fn rest(modulus: &[u8], prime: u32) -> u32 {
    modulus.iter().fold(0, |rest, byte| (rest * 256 + u32::from(*byte)) % prime)
}

/// Is it a power of 65537 modulo the prime?
fn is_power(rest: u32, prime: u32) -> bool {
    let mut power = 1;
    for _ in 0..prime {
        if power == rest {
            return true;
        }
        power = power * (65_537 % prime) % prime;
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_power_of_65537_is_weak_and_its_neighbour_is_not() {
        let power: u64 = 65_537 * 65_537;
        assert!(is_weak(&power.to_be_bytes()));
        assert!(!is_weak(&(power + 2).to_be_bytes()));
    }
}
